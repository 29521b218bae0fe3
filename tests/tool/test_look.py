# SPDX-License-Identifier: GPL-2.0-or-later
"""info, list and dump: what they show, and that they only look."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from guest.lib import store
from guest.lib.vm import VM
from tool.run import A, B, BOTH, DAMAGED, DONE, KEY_A, UNUSABLE, Ran, document, fails, good, scsi_pr, state_in_qemu

ONLY_NEWEST_QEMU = True

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def put(uri: str, state: store.State) -> None:
    good("load", uri, "-", stdin=document(state))


def test_info_without_qemu(uri: str, path: Path) -> None:
    put(uri, BOTH)
    shown = good("info", "--output=json", uri).json
    assert shown["store"] == uri and shown["state"] == store.state(path) and shown["attached"] == []
    assert len(shown["identity"]) == 36
    text = good("info", uri).out
    for word in (uri, A, B, KEY_A, "write-exclusive-registrants-only", "APTPL         on"):
        assert word in text


def test_info_beside_qemu(uri: str, vm: VM) -> None:
    put(uri, BOTH)
    (device,) = vm.qmp.execute("query-scsi-pr")
    shown = good("info", "--output=json", uri).json
    assert shown["state"] == device["state"] and shown["attached"] == device["attached"]
    (attached,) = shown["attached"]
    assert attached["initiator"] == A and attached["process-id"] == vm.child.pid
    assert f"process {vm.child.pid}" in good("info", uri).out


def test_dump_is_what_load_takes(uri: str, path: Path) -> None:
    put(uri, BOTH)
    dumped = good("dump", uri).out
    assert dumped.count("\n") == 1
    kept = store.state(path)
    good("clear", uri)
    good("load", uri, "-", stdin=dumped)
    found = store.state(path)
    assert found["registrations"] == kept["registrations"]
    assert found["reservation"] == kept["reservation"]
    assert found["pr-generation"] > kept["pr-generation"], "it never goes back"


def test_list(uri: str, path: Path) -> None:
    put(uri, BOTH)
    (path.parent / "notes.txt").write_text("no store")
    broken = path.with_name("z.pr")
    broken.write_bytes(path.read_bytes())
    store.damage(broken, store.newest(broken))
    ran = scsi_pr("list", path.parent)
    assert ran.code == DAMAGED and len(ran.out.splitlines()) == 2
    first, second = ran.out.splitlines()
    assert first.startswith(uri) and "2 registered" in first and "APTPL on" in first
    assert second.startswith(f"file:{broken}") and "damaged" in second
    listed = scsi_pr("list", "--output=json", path.parent).json
    assert [entry["store"] for entry in listed] == [uri, f"file:{broken}"]
    assert listed[0]["state"] == store.state(path) and "damaged" in listed[1]["error"]
    broken.unlink()
    assert good("list", cwd=path.parent).out.startswith(uri), "the current directory"


def test_list_of_no_directory(tmp_path: Path) -> None:
    fails(UNUSABLE, "list", tmp_path / "missing")
    assert good("list", tmp_path).out == ""


@pytest.mark.parametrize("command", ["info", "dump", "check", "watch"])
def test_who_looks_needs_no_right_to_write(command: str, uri: str, path: Path, vm: VM) -> None:
    """Beside a running QEMU and without: nothing is created, changed or locked."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for part in (path.parent, *path.parent.parents):
        part.chmod(part.stat().st_mode | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    for file in (path, store.memory(path)):
        file.chmod(0o644)
    if command != "watch":
        good(command, uri, wrapper=NOBODY)
    vm.close()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    if command == "watch":
        wrapper = ["timeout", "--preserve-status", "0.5", *NOBODY]
        assert scsi_pr(command, uri, wrapper=wrapper).code == 0
    else:
        good(command, uri, wrapper=NOBODY)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize("command", ["info", "dump", "check", "watch", "clear"])
@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("memory:", "memory of one QEMU"),
        ("memory:pair", "query-scsi-pr"),
        ("floppy:/a", "no store URI"),
        ("/var/lib/x.pr", "file:/var/lib/x.pr"),
        ("file:relative.pr", "not absolute"),
        ("file:/nowhere/x.pr", "/nowhere"),
        ("file:/etc/passwd-that-is-not-there", "no store"),
    ],
)
def test_uris_that_cannot_be_used(command: str, uri: str, why: str) -> None:
    assert why in fails(UNUSABLE, command, uri)


def test_usage() -> None:
    for arguments in ([], ["info"], ["fly"], ["info", "a", "b"], ["info", "--output=xml", "file:/x"],
                      ["preempt", "file:/x", "12"], ["clear", "--timeout=0", "file:/x"]):
        ran = scsi_pr(*arguments)
        assert ran.code > 100 and ran.out + ran.err, arguments
    assert good("--version").out.strip()
    for command in ("info", "list", "check", "dump", "load", "clear", "preempt", "watch"):
        assert "Examples:" in good(command, "--help").out


def test_state_of_qemu_is_untouched(uri: str, vm: VM) -> None:
    put(uri, BOTH)
    before = state_in_qemu(vm)
    for command in ("info", "dump", "check"):
        good(command, uri)
    assert state_in_qemu(vm) == before


def test_without_memory() -> None:
    """An exception of a library ends it as any other failure does."""
    def within(mebibytes: int, *arguments: str) -> Ran:
        return scsi_pr(*arguments, wrapper=["prlimit", f"--as={mebibytes << 20}", "--"])

    least = next(size for size in range(4, 200) if within(size, "--version").code == DONE)
    directories = ["/nowhere/" + 100_000 * "x"] * 15
    runs = [within(size, "list", *directories) for size in range(least, least + 12)]
    assert not [ran.err for ran in runs if "terminate" in ran.err]
    assert [ran.code for ran in runs if "bad_alloc" in ran.err].count(UNUSABLE) > 0
