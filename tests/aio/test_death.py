# SPDX-License-Identifier: GPL-2.0-or-later
"""What the death of a process says about its I/O: the kernel's promise that the store relies on.

A fencing takes a dead process for drained once its lock is free (hw/scsi/pr/store/range_lock.h).
In a guest, on a disk that is stuck, a process with writes under way is killed; io-death says how
many of them had reached the medium when each of its locks became free. The kernel under test is
the guest's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.disk import Disk
from guest.lib.vm import VM

ONLY_NEWEST_QEMU = True  # nothing of QEMU is under test

WRITES = 8
DISK = "disk0"
tags = count(1)


@dataclass(frozen=True)
class Seen:
    """Of the WRITES writes, at one moment: on the medium, and in flight in the kernel."""

    landed: int
    in_flight: int


ALL = Seen(WRITES, 0)
NONE = Seen(0, WRITES)


@pytest.fixture(scope="module")
def slow(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    image = disk.create(tmp_path_factory.mktemp("death") / "disk.img")
    with VM("slow", [Disk(image, id=DISK, share_rw=False)], binary=qemu) as vm:
        vm.run("modprobe vhost_scsi", check=True)
        yield vm


def throttle(vm: VM, writes_per_second: int) -> None:
    """0 lets everything pass. A write of 64 KiB counts as 128."""
    limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd"), 0)
    limits |= {"iops_wr": writes_per_second}
    limits |= {"iops_size": 512} if writes_per_second else {}
    vm.qmp.execute("block_set_io_throttle", {"id": DISK, **limits})


def block_medium(vm: VM) -> None:
    """From now on, and for two minutes, no write goes through: one has used up what is allowed."""
    throttle(vm, 1)
    vm.run("dd if=/dev/zero of=/dev/sda bs=64k seek=200 count=1 oflag=direct", check=True)


def die(vm: VM, method: str, *, awaited: str = "-", vhost: bool = False) -> dict[str, Seen]:
    """Kill a process with WRITES writes in flight; what was true when each lock became free.

    The medium moves on once the locks `awaited` are free, or never were for half a second.
    """
    block_medium(vm)
    vm.run("rm -f /run/io-death", check=True)
    option = "vhost" if vhost else ""
    probe = vm.begin(f"io-death {method} /dev/sda {WRITES} {next(tags)} {awaited} {option}")
    try:
        vm.run("until [ -e /run/io-death ]; do usleep 10000; done", check=True)
    finally:
        throttle(vm, 0)
    lines = vm.finish(probe, check=True).out.splitlines()
    seen = {name: Seen(int(a), int(b)) for name, a, b in (line.split() for line in lines)}
    assert seen.pop("end") == ALL, seen
    return seen


@pytest.mark.parametrize("vhost", [False, True], ids=["", "vhost"])
@pytest.mark.parametrize("method", ["threads", "native"])
def test_mapped_lock_outlives_the_io(slow: VM, method: str, vhost: bool) -> None:
    assert die(slow, method, vhost=vhost)["mapped"] == ALL


def test_plain_lock_does_not(slow: VM) -> None:
    """Why the store maps its file: the vhost device keeps the memory, and the memory the I/O."""
    seen = die(slow, "native", vhost=True, awaited="plain")
    assert seen["plain"] == NONE
    assert seen["mapped"] == ALL


def test_io_uring_outlives_the_process(slow: VM) -> None:
    """Why pr-store refuses aio=io_uring. Fails where a kernel has begun to wait: then it need not."""
    seen = die(slow, "io_uring", awaited="plain,mapped,exit")
    assert seen["plain"] == seen["mapped"] == seen["exit"] == NONE
    assert seen["medium"] == seen["ring"] == ALL, "what a request refers to lives as long as it"
