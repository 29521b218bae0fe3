# SPDX-License-Identifier: GPL-2.0-or-later
"""I/O limits: what waits for its turn is on its way to the medium, for as long as the limits say. A
fencing lets it through instead of giving up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, Disk, option
from guest.lib.expect import drain, good
from guest.lib.scsi import Initiator
from guest.lib.vm import VM, running

OTHER_QEMUS_TAKE_LONG = True

MIB = 1 << 20
BPS = 2 * MIB
WRITES = 64
KEY_A, KEY_B = 0xA, 0xB


@dataclass
class LimitedDisk(Disk):
    """Two megabytes a second for its writes, by a filter node, or by the device's backend."""

    by: str = ""

    def arguments(self) -> list[str]:
        device = {"id": self.id, "bus": self.bus, "drive": self.id, "share-rw": "on", "wwn": WWN}
        scsi_hd = ("-device", f"scsi-hd,{option(device | {'pr-store': self.pr_store})}")
        file = {"file.driver": "file", "file.filename": self.path, "cache.direct": "on"}
        if self.by == "filter":
            limits = {"id": "limits", "x-bps-write": BPS}
            node = {"driver": "throttle", "node-name": self.id, "throttle-group": "limits"}
            node |= {"file.driver": "raw"} | {f"file.{key}": value for key, value in file.items()}
            return [
                *("-object", f"throttle-group,{option(limits)}", "-blockdev", option(node)),
                *scsi_hd,
            ]
        drive = {"if": "none", "id": self.id, "driver": "raw", "throttling.bps-write": BPS} | file
        return ["-drive", option(drive), *scsi_hd]


@pytest.fixture(params=["filter", "backend"])
def pair(
    qemu: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[VM, VM, Path]]:
    image = disk.create(tmp_path / "disk.img", size=(WRITES + 1) * MIB)
    store = f"file:{tmp_path}/q.pr"
    a = VM("a", [LimitedDisk(image, pr_store=store, by=request.param)], binary=qemu, memory=512)
    b = VM("b", [Disk(image, pr_store=store)], binary=qemu)
    with running(a, b):
        yield a, b, image


def test_fenced_with_a_deep_queue(pair: tuple[VM, VM, Path]) -> None:
    """Half a minute's writes wait, and a fencing for ten seconds: GOOD at the first attempt."""
    a, b, image = pair
    victim, fencer = Initiator(a), Initiator(b)
    good(victim.register_and_ignore(KEY_A), fencer.register_and_ignore(KEY_B))
    good(fencer.reserve(KEY_B))
    writes = a.begin(
        f"for i in $(seq {WRITES}); do"
        " dd if=/dev/urandom of=/dev/sda bs=1M seek=$i count=1 oflag=direct & done; wait"
    )
    time.sleep(3)
    before = time.monotonic()
    good(fencer.preempt_and_abort(KEY_B, KEY_A))
    took = time.monotonic() - before
    after = image.read_bytes()
    assert took < 8
    a.finish(writes, timeout=60)
    assert image.read_bytes() == after
    # They hold again for what comes now.
    drain(victim)
    good(victim.register_and_ignore(KEY_A))
    before = time.monotonic()
    done = a.run(f"dd if=/dev/zero of=/dev/sda bs=1M count={4 * BPS // MIB} oflag=direct", timeout=60)
    assert done.code == 0 and time.monotonic() - before > 2.5
