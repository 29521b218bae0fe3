# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host does to a store in use: containers that share it, files that are removed or restored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk, startup
from guest.lib.disk import Disk
from guest.lib.vm import VM
from tool.run import A, B, BOTH, KEY_B, document, good, paused


BOTH_DOCUMENT = json.loads(document(BOTH))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return disk.create(tmp_path / "disk.img", size=1 << 20)


@pytest.fixture
def vm(qemu: Path, path: Path, image: Path) -> Iterator[VM]:
    vm = paused(qemu, image, path, A, "a")
    yield vm
    vm.close()


def container(tmp_path: Path) -> list[str]:
    """PID and mount namespaces of its own, and, as LXC has it, a boot ID of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root makes PID namespaces here")
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("5c0ffee0-0000-4000-8000-000000000000\n")
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id'
    return [*startup.in_mount_namespace(script, str(boot_id)), "unshare", "--pid", "--fork",
            "--kill-child", "--mount-proc"]  # fmt: skip


def test_two_containers_share_a_store(
    qemu: Path, uri: str, path: Path, image: Path, vm: VM, tmp_path: Path
) -> None:
    """The host's tool tells the truth about both, whatever boot and processes they see."""
    b = paused(qemu, image, path, B, "b", wrapper=container(tmp_path))
    try:
        vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": BOTH_DOCUMENT})
        vm.qmp.wait_event("SCSI_PR_CHANGED")
        for told in (attached_by_tool(uri), attached_by_qmp(vm), attached_by_qmp(b)):
            assert told == {A: True, B: True}
        assert "2 I_T nexuses are attached" in good("check", uri).out
        good("preempt", uri, KEY_B)
        assert KEY_B not in good("info", uri).out
    finally:
        b.close()
    deadline = time.monotonic() + 10  # its kernel's PID 1 goes first
    while attached_by_tool(uri) != {A: True}:
        assert time.monotonic() < deadline


def attached_by_tool(uri: str) -> dict[str, bool]:
    told = json.loads(good("info", "--output=json", uri).out)
    return {each["initiator"]: each["live"] for each in told["attached"]}


def attached_by_qmp(vm: VM) -> dict[str, bool]:
    (told,) = vm.qmp.execute("query-scsi-pr")
    return {each["initiator"]: each["live"] for each in told["attached"]}


def starts_not(qemu: Path, image: Path, store: Path, *patterns: str) -> None:
    startup.start(qemu, [Disk(image, pr_store=f"file:{store}", pr_initiator=B)]).refusal(*patterns)


def test_another_runtime_directory(qemu: Path, path: Path, image: Path, vm: VM, tmp_path: Path) -> None:
    """A container that shares the store's directory only: refused, and told what to share."""
    own = Path("/dev/shm") / f"scsi-pr-own-{os.getpid()}"
    own.mkdir()
    try:
        other = Disk(image, pr_store=f"file:{path}", pr_initiator=B,
                     properties={"pr-runtime-dir": str(own)})  # fmt: skip
        startup.start(qemu, [other]).refusal("another runtime directory", str(own), "[Ss]hare")
    finally:
        shutil.rmtree(own)


def test_a_removed_store_is_not_made_anew(qemu: Path, path: Path, image: Path, vm: VM) -> None:
    """Else who is fenced would start again, with a new store, and write."""
    path.unlink()
    starts_not(qemu, image, path, str(path), "was removed", "VM a")
    assert not path.exists()
    assert vm.qmp.wait_event("SCSI_PR_STORE_ERROR")
    # Under another name, or for the same medium under another one, it is no better.
    starts_not(qemu, image, path.with_name("other.pr"), "guarded by another store", str(path))
    # The next change that must survive is refused once, and makes the file anew.
    vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": BOTH_DOCUMENT})
    assert "error" in vm.qmp.wait_event("SCSI_PR_COMPLETED")["data"]
    vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": BOTH_DOCUMENT})
    assert "error" not in vm.qmp.wait_event("SCSI_PR_COMPLETED")["data"]
    paused(qemu, image, path, B, "b").close()


@pytest.mark.parametrize("how", ["tar", "cp"])
def test_a_restored_store(
    qemu: Path, uri: str, path: Path, image: Path, vm: VM, tmp_path: Path, how: str
) -> None:
    """An old copy, put in place by renaming (tar, rsync) or by overwriting, brings nothing back."""
    old = tmp_path / "backup.pr"
    shutil.copy(path, old)
    vm.qmp.execute("scsi-pr-load", {"device": "disk0", "document": BOTH_DOCUMENT})
    vm.qmp.wait_event("SCSI_PR_CHANGED")
    if how == "tar":
        shutil.copy(old, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
    else:
        subprocess.run(["cp", old, path], check=True)
    starts_not(qemu, image, path, str(path), "replaced|lost version|not the file")
    assert vm.qmp.wait_event("SCSI_PR_STORE_ERROR")
    (told,) = vm.qmp.execute("query-scsi-pr")
    assert {each["initiator"] for each in told["state"]["registrations"]} == {A, B}
