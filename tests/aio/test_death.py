# SPDX-License-Identifier: GPL-2.0-or-later
"""What the death of a process says about its I/O: the kernel's promise that the store relies on.

A fencing takes a dead process for drained once its lock is free (hw/scsi/pr/store/range_lock.h).
In a guest, on a disk that is stuck, a process with writes under way is killed; io-death says how
many of them had reached the medium when each of its locks became free. The kernel under test is
the guest's.
"""

from __future__ import annotations

import subprocess
import tempfile
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
SIZE = 16 << 20  # of what is written to
tags = count(1)


@dataclass(frozen=True)
class Medium:
    """What is written to in the guest, and the disk's name in QEMU."""

    path: str
    disk: str


RAW = Medium("/run/disk", "disk")
FILE = Medium("/mnt/file", "ext4")
media = pytest.mark.parametrize("medium", [RAW, FILE], ids=lambda medium: medium.disk)


@dataclass(frozen=True)
class Seen:
    """Of the WRITES writes, at one moment: on the medium, and in flight in the kernel."""

    landed: int
    in_flight: int


ALL = Seen(WRITES, 0)
NONE = Seen(0, WRITES)


def write(path: str) -> str:
    """A command that writes behind what the probe writes."""
    return f"dd if=/dev/zero of={path} bs=64k count=1 seek=200 conv=notrunc oflag=direct"


# Linux numbers disks as it finds them. Nobody else may write meanwhile: lazytime keeps the file's
# times in memory, and what mounting and the first write leave to be written is written at once.
PREPARE = f"""
modprobe -a vhost_scsi ext4
mkdir /mnt
for name in sda sdb; do
    case $(cat /sys/block/$name/size) in
    {SIZE // 512}) ln -s /dev/$name {RAW.path} ;;
    *) mount -t ext4 -o lazytime /dev/$name /mnt || exit ;;
    esac
done
{write(FILE.path)}
sync
"""


def file_system(image: Path) -> Path:
    """An image with a file that has all its blocks; nothing but the probe writes to it."""
    with tempfile.TemporaryDirectory() as content:
        disk.create(Path(content, "file"), SIZE, fill=b"old")
        disk.create(image, 2 * SIZE)
        options = ["-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0"]
        subprocess.run(["/sbin/mkfs.ext4", *options, "-d", content, image], check=True)
    return image


@pytest.fixture(scope="module")
def slow(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    directory = tmp_path_factory.mktemp("death")
    raw = disk.create(directory / "raw.img", SIZE)
    ext4 = file_system(directory / "ext4.img")
    disks = [Disk(raw, id=RAW.disk, wwn=None), Disk(ext4, id=FILE.disk, wwn=None)]
    with VM("slow", disks, binary=qemu) as vm:
        vm.run(PREPARE, check=True)
        yield vm


def throttle(vm: VM, medium: Medium, writes_per_second: int) -> None:
    """0 lets everything pass. A write of 64 KiB counts as 128."""
    limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd"), 0)
    limits |= {"iops_wr": writes_per_second}
    limits |= {"iops_size": 512} if writes_per_second else {}
    vm.qmp.execute("block_set_io_throttle", {"id": medium.disk, **limits})


def block(vm: VM, medium: Medium) -> None:
    """From now on, and for two minutes, no write goes through: one has used up what is allowed."""
    throttle(vm, medium, 1)
    vm.run(write(medium.path), check=True)


def die(
    vm: VM, method: str, medium: Medium, *, awaited: str = "-", vhost: bool = False
) -> dict[str, Seen]:
    """Kill a process with WRITES writes in flight; what was true when each lock became free.

    The medium moves on once the locks `awaited` are free, or never were for half a second.
    """
    vm.run("rm -f /run/io-death", check=True)
    block(vm, medium)
    option = "vhost" if vhost else ""
    probe = vm.begin(f"io-death {method} {medium.path} {WRITES} {next(tags)} {awaited} {option}")
    try:
        vm.run("until [ -e /run/io-death ]; do usleep 10000; done", check=True)
    finally:
        throttle(vm, medium, 0)
    lines = vm.finish(probe, check=True).out.splitlines()
    seen = {name: Seen(int(a), int(b)) for name, a, b in (line.split() for line in lines)}
    assert seen.pop("end") == ALL, seen
    return seen


@media
@pytest.mark.parametrize("vhost", [False, True], ids=["", "vhost"])
@pytest.mark.parametrize("method", ["threads", "native"])
def test_mapped_lock_outlives_the_io(slow: VM, method: str, medium: Medium, vhost: bool) -> None:
    assert die(slow, method, medium, vhost=vhost)["mapped"] == ALL


@media
def test_plain_lock_does_not(slow: VM, medium: Medium) -> None:
    """Why the store maps its file: the vhost device keeps the memory, and the memory the I/O."""
    seen = die(slow, "native", medium, vhost=True, awaited="plain")
    assert seen["plain"] == NONE
    assert seen["mapped"] == ALL


@media
def test_io_uring_outlives_the_process(slow: VM, medium: Medium) -> None:
    """Why pr-store refuses aio=io_uring. When this fails, a kernel has begun to wait for it."""
    seen = die(slow, "io_uring", medium, awaited="plain,mapped,exit")
    assert seen["plain"] == seen["mapped"] == seen["exit"] == NONE
    assert seen["medium"] == seen["ring"] == ALL, "what a request refers to lives as long as it"


def test_sg_io_of_a_block_device(slow: VM) -> None:
    """scsi-block: the kernel waits for commands that are passed through /dev/sdX."""
    assert die(slow, "sg-block", RAW, vhost=True)["mapped"] == ALL


def test_sg_io_of_a_character_device_outlives_the_process(slow: VM) -> None:
    """Why pr-store refuses /dev/sgN: it makes orphans of them, and they are carried out."""
    seen = die(slow, "sg-char", RAW, awaited="plain,mapped,exit")
    assert seen["plain"] == seen["mapped"] == seen["exit"] == NONE
