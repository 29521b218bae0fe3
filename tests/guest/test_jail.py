# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that changes its root directory or its user when its devices are plugged: what it has
opened before goes on working, and nothing is opened by a path that means something else by now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk, host
from guest.lib.disk import Disk
from guest.lib.qmp import QmpError
from guest.lib.vm import VM

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may")

KEY = "0x00000000000000aa"
DOCUMENT_STATE = {"initiator": "iqn.2026-01.org.example:gone", "target-port": 1, "key": KEY}


def chroot(qemu: Path, directory: Path) -> tuple[str, str]:
    old = host.version(qemu).startswith("7.")
    return ("-chroot", str(directory)) if old else ("-run-with", f"chroot={directory}")


def as_nobody(qemu: Path) -> tuple[str, str]:
    return ("-runas", "nobody") if host.version(qemu).startswith("7.") else ("-run-with", "user=nobody")


class Jailed:
    def __init__(self, qemu: Path, directory: Path, *arguments: str) -> None:
        self.image = disk.create(directory / "disk.img", size=1 << 20)
        self.directory = directory
        self.store = f"file:{directory}/q.pr"
        disks = [Disk(self.image, pr_store=self.store)]
        self.vm = VM("a", disks, binary=qemu, arguments=("-S", *arguments))
        self.vm.start()
        self.vm.qmp.negotiate()

    def plug(self, **properties: object) -> None:
        device: dict[str, Any] = {"driver": "scsi-hd", "id": "late", "bus": "scsi0.0"}
        device |= {"drive": "disk0-image", "share-rw": True, "wwn": 1}
        self.vm.qmp.execute("device_add", device | {"pr-initiator": "naa.5000000000000001"} | properties)

    def look(self) -> dict[str, Any]:
        (device,) = self.vm.qmp.execute("query-scsi-pr")
        assert "error" not in device, device["error"]
        shown: dict[str, Any] = device
        return shown


@pytest.fixture
def jail(tmp_path: Path) -> Path:
    """Where the path of the store leads to another directory."""
    jail = tmp_path / "jail"
    (jail / tmp_path.relative_to("/")).mkdir(parents=True)
    return jail


@pytest.fixture
def jailed(qemu: Path, tmp_path: Path, jail: Path) -> Iterator[Jailed]:
    jailed = Jailed(qemu, tmp_path, *chroot(qemu, jail))
    yield jailed
    jailed.vm.close()


def test_a_device_that_is_plugged_in_the_jail(jailed: Jailed, jail: Path, tmp_path: Path) -> None:
    """Seen: it got a store of its own there."""
    for where in ({"pr-store": jailed.store}, {"pr-dir": str(tmp_path)}):
        with pytest.raises(QmpError, match="another root directory"):
            jailed.plug(**where)
    jailed.plug(**{"pr-store": "memory:"})
    assert not any((jail / tmp_path.relative_to("/")).iterdir())


def test_what_was_plugged_before_works_in_the_jail(jailed: Jailed) -> None:
    before = jailed.look()["state"]["pr-generation"]
    save_and_load(jailed)
    assert jailed.look()["state"]["pr-generation"] == before + 1


def test_what_was_opened_before_works_for_another_user(qemu: Path, tmp_path: Path) -> None:
    """Though that user may neither open the store nor look into its directory."""
    tmp_path.chmod(0o700)
    jailed = Jailed(qemu, tmp_path, *as_nobody(qemu))
    try:
        assert f"Uid:\t{nobody()}" in Path(f"/proc/{jailed.vm.child.pid}/status").read_text()
        before = jailed.look()["state"]["pr-generation"]
        save_and_load(jailed)
        assert jailed.look()["state"]["pr-generation"] == before + 1
    finally:
        jailed.vm.close()


def nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_uid


def save_and_load(jailed: Jailed) -> None:
    """A change of the store, as a guest's command would be."""
    document = jailed.vm.qmp.execute("scsi-pr-save", {"device": "disk0"})
    jailed.vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": document})
    jailed.vm.qmp.wait_event("SCSI_PR_CHANGED")
