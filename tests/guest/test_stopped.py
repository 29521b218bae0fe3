# SPDX-License-Identifier: GPL-2.0-or-later
"""A stopped VM: what it had been admitted before must not reach the medium by that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, Disk, option
from guest.lib.scsi import CONFLICT, GOOD, Initiator, outcome
from guest.lib.vm import VM, running

OTHER_QEMUS_TAKE_LONG = True

BLOCK = 7
KEY_B = 0xB


class FailingDisk(Disk):
    """A disk whose first write fails as on a full file system; werror=stop parks the request."""

    def arguments(self) -> list[str]:
        inject = {"event": "none", "iotype": "write", "errno": 28, "once": "on"}
        blockdev = {"driver": "raw", "node-name": self.id, "file.driver": "blkdebug"}
        blockdev |= {"file.image.driver": "file", "file.image.filename": str(self.path)}
        blockdev |= {f"file.inject-error.0.{key}": str(value) for key, value in inject.items()}
        device = {"id": self.id, "bus": self.bus, "drive": self.id, "share-rw": "on"}
        device |= {"wwn": WWN, "werror": "stop", "pr-store": str(self.pr_store)}
        return ["-blockdev", option(blockdev), "-device", f"scsi-hd,{option(device)}"]


@pytest.fixture
def pair_with_failing_disk(qemu: Path, tmp_path: Path) -> Iterator[tuple[VM, VM, Path]]:
    image = disk.create(tmp_path / "quorum.img")
    store = f"file:{tmp_path}/quorum.pr"
    a = VM("A", [FailingDisk(image, pr_store=store)], binary=qemu)
    b = VM("B", [Disk(image, pr_store=store)], binary=qemu)
    with running(a, b):
        yield a, b, image


def test_parked_write_is_admitted_anew(pair_with_failing_disk: tuple[VM, VM, Path]) -> None:
    a, b, image = pair_with_failing_disk
    fencer = Initiator(b)
    write = a.begin(
        f"printf parked | dd of=/dev/sda bs=512 seek={BLOCK} count=1 conv=sync oflag=direct"
    )
    a.qmp.wait_event("STOP", timeout=30)
    assert outcome(fencer.register_and_ignore(KEY_B)) == GOOD
    assert outcome(fencer.reserve(KEY_B, 5)) == GOOD
    a.qmp.execute("cont")
    assert outcome(a.finish(write)) == CONFLICT
    assert image.read_bytes()[BLOCK * 512 :][:6] == bytes(6)


def test_parked_write_goes_on_if_nothing_forbids_it(
    pair_with_failing_disk: tuple[VM, VM, Path],
) -> None:
    a, _, image = pair_with_failing_disk
    write = a.begin(
        f"printf parked | dd of=/dev/sda bs=512 seek={BLOCK} count=1 conv=sync oflag=direct"
    )
    a.qmp.wait_event("STOP", timeout=30)
    a.qmp.execute("cont")
    assert outcome(a.finish(write)) == GOOD
    assert image.read_bytes()[BLOCK * 512 :][:6] == b"parked"
