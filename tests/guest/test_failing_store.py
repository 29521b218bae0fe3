# SPDX-License-Identifier: GPL-2.0-or-later
"""A store that fails while a guest runs. tests/durability has every way; this is what a guest sees."""

from __future__ import annotations

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
