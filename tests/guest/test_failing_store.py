# SPDX-License-Identifier: GPL-2.0-or-later
"""A store that fails while a guest runs. tests/durability has every way; this is what a guest sees."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import disk, startup
from guest.lib.agent import Result
from guest.lib.disk import Disk
from guest.lib.expect import conflict, drain, good
from guest.lib.scsi import Initiator
from guest.lib.vm import VM

KEY = 0xABC0001


@dataclass
class Scene:
    """A VM with two nexuses of one store, on a small file system that only QEMU sees as such."""

    holder: Initiator
    other: Initiator
    directory: Path  # of the store, as QEMU sees it

    @property
    def store(self) -> Path:
        return self.directory / "lu.pr"

    def remove(self) -> None:
        """For good: the change that is refused makes the file anew."""
        self.store.unlink()

    def overwrite(self) -> None:
        self.store.write_bytes(b"something else")

    def leave(self) -> None:
        pass

    def move_away(self) -> None:
        self.store.rename(self.store.with_suffix(".aside"))

    def put_back(self) -> None:
        self.store.with_suffix(".aside").rename(self.store)

    def replace(self) -> None:
        self.move_away()
        self.store.write_text("something else")


@pytest.fixture(scope="module")
def scene(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("failing")
    image, stores = disk.create(directory / "disk.img", size=1 << 20), directory / "stores"
    stores.mkdir()
    disks = [
        Disk(image, f"disk{n}", pr_store=f"file:{stores}/lu.pr", pr_initiator=f"0x21000000000000{n:02}")
        for n in (1, 2)
    ]
    wrapper = startup.in_mount_namespace('mount -t tmpfs -o size=1m tmpfs "$1"', str(stores))
    with VM("A", disks, binary=qemu, wrapper=wrapper) as vm:
        seen_by_qemu = Path(f"/proc/{vm.child.pid}/root") / stores.relative_to("/")
        yield Scene(Initiator(vm, "/dev/sda"), Initiator(vm, "/dev/sdb"), seen_by_qemu)


def internal_target_failure(result: Result) -> bool:
    said = (result.out + result.err).lower()
    return "hardware error" in said and "internal target failure" in said


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param(Scene.move_away, Scene.put_back, id="moved away"),
        pytest.param(Scene.replace, Scene.put_back, id="replaced"),
        pytest.param(Scene.remove, Scene.leave, id="removed"),
        pytest.param(Scene.overwrite, Scene.leave, id="overwritten"),
    ],
)
def test_nothing_has_changed(
    scene: Scene, begin: Callable[[Scene], None], end: Callable[[Scene], None]
) -> None:
    holder, other = scene.holder, scene.other
    drain(holder, other)
    good(holder.register_and_ignore(KEY, "-Z"), holder.reserve(KEY))
    begin(scene)
    changed = holder.register_and_ignore(KEY + 1, "-Z -v")
    assert internal_target_failure(changed), str(changed)
    good(holder.write("the holder goes on", 0))
    conflict(other.write("the other stays out", 1))
    end(scene)
    assert other.keys() == [KEY]
    good(holder.release(KEY), other.write("no restart was needed", 1))


def frozen(vm: VM, directory: Path, how: str) -> None:
    # By the root of the VM, too: in a chroot that is not the one of the name space.
    inside = ["nsenter", "-t", str(vm.child.pid), "-m", "-r"]
    subprocess.run([*inside, "fsfreeze", how, directory], check=True)


def test_frozen_file_system(qemu: Path, tmp_path: Path) -> None:
    """fsfreeze of the store's file system: I/O, QMP and what need not survive go on; after it, all."""
    if os.geteuid() != 0:
        pytest.skip("only root freezes file systems")
    image, stores = disk.create(tmp_path / "disk.img", size=1 << 20), tmp_path / "stores"
    stores.mkdir()
    system = disk.create(tmp_path / "ext4.img", size=32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", system], check=True)
    wrapper = startup.in_mount_namespace('mount -o loop "$2" "$1"', str(stores), str(system))
    shared = Disk(image, pr_store=f"file:{stores}/lu.pr", pr_initiator="0x2100000000000001")
    with VM("A", [shared], binary=qemu, wrapper=wrapper) as vm:
        holder = Initiator(vm, "/dev/sda")
        drain(holder)
        good(holder.register_and_ignore(KEY, "-Z"), holder.reserve(KEY))
        frozen(vm, stores, "-f")
        try:
            refused = holder.register_and_ignore(KEY + 1, "-Z -v")
            assert internal_target_failure(refused), str(refused)
            good(holder.write("no write waits for the store", 0))
            answers = []
            for _ in range(9):
                asked = time.monotonic()
                vm.qmp.execute("query-scsi-pr")
                answers.append(time.monotonic() - asked)
            assert sorted(answers)[4] < 0.1, answers
            assert holder.keys() == [KEY]
        finally:
            frozen(vm, stores, "-u")
        assert holder.keys() == [KEY]
        good(holder.register_and_ignore(KEY + 1, "-Z"), holder.write("and again", 0))
        assert holder.keys() == [KEY + 1]
