# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that changes its root directory or its user when its devices are plugged: what it has
opened before goes on working, and nothing is opened by a path that means something else by now."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk, host, store
from guest.lib.disk import Disk
from guest.lib.qmp import QmpError
from guest.lib.vm import VM

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may")

STATE: dict[str, Any] = {
    "pr-generation": 4,
    "aptpl": True,
    "registrations": [
        {"initiator": "iqn.2026-01.org.example:gone", "target-port": 1, "key": "0x00000000000000aa"}
    ],
}


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
    assert_usable(jailed)


def test_what_was_opened_before_works_for_another_user(qemu: Path, tmp_path: Path) -> None:
    """Though that user may neither open the store nor look into its directory."""
    tmp_path.chmod(0o700)
    jailed = Jailed(qemu, tmp_path, *as_nobody(qemu))
    try:
        nobody = pwd.getpwnam("nobody").pw_uid
        assert f"Uid:\t{nobody}" in Path(f"/proc/{jailed.vm.child.pid}/status").read_text()
        assert_usable(jailed)
    finally:
        jailed.vm.close()


def assert_usable(jailed: Jailed) -> None:
    """A change that is durable, as a guest's command would be."""
    document = {"format": "scsi-pr", "schema": 1, "state": STATE}
    document |= {"checksum": store.checksum(STATE)}
    jailed.vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": document})
    jailed.vm.qmp.wait_event("SCSI_PR_CHANGED")
    assert jailed.look()["state"] == STATE
