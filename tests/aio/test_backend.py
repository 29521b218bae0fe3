# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU says about backends whose I/O may outlive its process. Which are refused: qtest."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, Disk, option
from guest.lib.vm import VM

OTHER_QEMUS_TAKE_LONG = True

WARNING = "may still be carried out after this process was killed"


@dataclass
class RawDisk(Disk):
    """A disk without a format, on any protocol driver."""

    blockdev: dict[str, object] | None = None

    def arguments(self) -> list[str]:
        blockdev = {"node-name": self.id} | (self.blockdev or {})
        device = {"id": self.id, "bus": self.bus, "drive": self.id, "share-rw": "on"}
        device |= {"wwn": WWN, "pr-store": str(self.pr_store)}
        return ["-blockdev", option(blockdev), "-device", f"scsi-hd,{option(device)}"]


def export(server: VM, image: Path, socket: Path) -> dict[str, object]:
    """Let a QEMU export the image by NBD; the -blockdev options of a client."""
    node = {"driver": "file", "filename": str(image), "node-name": "exported"}
    address = {"type": "unix", "data": {"path": str(socket)}}
    server.qmp.negotiate()
    server.qmp.execute("blockdev-add", node)
    server.qmp.execute("nbd-server-start", {"addr": address, "max-connections": 0})
    server.qmp.execute(
        "block-export-add",
        {"type": "nbd", "id": "export", "node-name": "exported", "writable": True},
    )
    client = {"driver": "nbd", "server.type": "unix", "server.path": str(socket)}
    return client | {"export": "exported"}


def test_unknown_backend_is_warned_of_once(qemu: Path, tmp_path: Path) -> None:
    image = disk.create(tmp_path / "quorum.img")
    with contextlib.closing(VM("server", binary=qemu)) as server:
        server.start()
        blockdev = export(server, image, tmp_path / "nbd.sock")
        disks = [RawDisk(image, id=f"d{i}", pr_store="memory:", blockdev=blockdev) for i in "ab"]
        with contextlib.closing(VM("client", disks, binary=qemu)) as client:
            client.start()
            client.qmp.negotiate()  # the devices are plugged by then
            warnings = [s for s in client.qemu_log.read_text().splitlines() if WARNING in s]
            assert len(warnings) == 1
            assert "'nbd'" in warnings[0]


def test_no_warning_of_files(qemu: Path, tmp_path: Path) -> None:
    image = disk.create(tmp_path / "quorum.img")
    with contextlib.closing(VM("file", [Disk(image, pr_store="memory:")], binary=qemu)) as vm:
        vm.start()
        vm.qmp.negotiate()
        assert WARNING not in vm.qemu_log.read_text()


def test_io_uring_is_refused_with_the_reason(qemu: Path, tmp_path: Path) -> None:
    image = disk.create(tmp_path / "quorum.img")
    blockdev = {"driver": "file", "filename": str(image), "aio": "io_uring"}
    with contextlib.closing(
        VM("ring", [RawDisk(image, pr_store="memory:", blockdev=blockdev)], binary=qemu)
    ) as vm:
        vm.start()
        assert vm.child.wait(10) == 1
        said = vm.qemu_log.read_text()
    if "Unable to use io_uring" in said:
        pytest.skip("this machine has no io_uring, and QEMU 7.2 insists on it")
    assert "pr-store does not work with io_uring (node 'disk0')" in said
    assert "use aio=native or aio=threads" in said
    assert "a fenced VM could still write" in said
