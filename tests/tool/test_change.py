# SPDX-License-Identifier: GPL-2.0-or-later
"""load, clear and preempt, with and without a QEMU, and when they are refused, late or killed."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from guest.lib import store
from guest.lib.vm import VM
from tool.run import (
    A, B, BOTH, DAMAGED, KEY_A, KEY_B, NOT_IN_TIME, REFUSED, UNUSABLE,
    document, fails, good, program, registered, scsi_pr, state_in_qemu,
)  # fmt: skip

ONLY_NEWEST_QEMU = True


def load(uri: str, state: store.State, *options: str) -> None:
    good("load", *options, uri, "-", stdin=document(state))


def test_load(uri: str, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.json"
    file.write_text(document(BOTH))
    done = good("load", "--output=json", uri, file).json
    assert done["done"] == "load" and done["store"] == uri
    assert [change["change"] for change in done["changes"]] == [
        "registered", "registered", "reserved", "aptpl",
    ]  # fmt: skip
    assert done["state"] == store.state(path)
    assert store.state(path)["registrations"] == BOTH["registrations"]


def test_load_says_that_it_will_not_last(uri: str) -> None:
    fleeting = registered((A, KEY_A), aptpl=False)
    assert "powers the logical unit on" in " ".join(
        good("load", uri, "-", stdin=document(fleeting)).out.split()
    )


def test_load_takes_nothing_away_from_who_is_attached(uri: str, vm: VM) -> None:
    load(uri, BOTH)
    said = fails(REFUSED, "load", uri, "-", stdin=document(registered((B, KEY_B), holder=B)))
    assert A in said and str(vm.child.pid) in said
    assert state_in_qemu(vm)["registrations"] == BOTH["registrations"]
    load(uri, registered((B, KEY_B), holder=B), "--force")
    (left,) = state_in_qemu(vm)["registrations"]
    assert left["initiator"] == B


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", DAMAGED),
        ("{}", DAMAGED),
        (document(BOTH).replace(KEY_A, KEY_B), DAMAGED),
        (document(BOTH, schema=99), UNUSABLE),
        ("[" * 100000, DAMAGED),
    ],
)
def test_load_of_what_is_no_document(text: str, code: int, uri: str, path: Path) -> None:
    load(uri, BOTH)
    before = store.state(path)
    fails(code, "load", uri, "-", stdin=text)
    assert store.state(path) == before


def test_load_of_no_file(uri: str, tmp_path: Path) -> None:
    fails(UNUSABLE, "load", uri, tmp_path / "missing")
    fails(UNUSABLE, "load", uri, "/dev/zero")


def test_preempt(uri: str, vm: VM) -> None:
    load(uri, BOTH)
    said = good("preempt", uri, "0xa").out
    assert "unregistered" in said and A in said and "released" in said
    state = state_in_qemu(vm)
    assert [who["initiator"] for who in state["registrations"]] == [B] and "reservation" not in state
    vm.qmp.wait_event("SCSI_PR_PREEMPTED")
    assert KEY_A in fails(REFUSED, "preempt", uri, "0xa"), "nobody has it any more"


def test_clear(uri: str, vm: VM) -> None:
    load(uri, BOTH)
    assert good("clear", "--output=json", uri).json["state"] == state_in_qemu(vm)
    state = state_in_qemu(vm)
    assert state["registrations"] == [] and "reservation" not in state
    assert "nothing was to be changed" in good("clear", uri).out


def test_preempt_and_clear_without_qemu(uri: str, path: Path) -> None:
    load(uri, BOTH)
    good("preempt", uri, KEY_B)
    assert [who["initiator"] for who in store.state(path)["registrations"]] == [A]
    good("clear", uri)
    assert store.state(path)["registrations"] == []


class ChangeLock:
    """Holds the lock of those who change a store in use, as a QEMU that was stopped in the middle."""

    BYTE = (1 << 62) + 2  # hw/scsi/pr/store/host_locks.h

    def __init__(self, path: Path) -> None:
        self.file = store.memory(path).open("r+b")
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, self.BYTE, 1, 0)
        fcntl.fcntl(self.file, 37, lock)  # F_OFD_SETLK


def test_a_store_that_another_process_holds(uri: str, path: Path, vm: VM) -> None:
    load(uri, BOTH)
    holder = ChangeLock(path)
    started = time.monotonic()
    fails(NOT_IN_TIME, "clear", uri)
    assert time.monotonic() - started < 15
    good("info", uri)
    good("check", uri)
    holder.file.close()
    good("clear", uri)


def test_killed_at_any_time(uri: str, path: Path, vm: VM) -> None:
    """The store is sound, and what QEMU shows is one of the states that were loaded. So is what the disk
    has: who died between the disk and the memory leaves it what nobody was told of, until the next
    change takes it back."""
    states = [registered((A, KEY_A), (B, f"0x{key:016x}"), holder=A) for key in range(1, 40)]
    chance = random.Random(7)
    for state in states:
        process = subprocess.Popen(
            [program(), "load", uri, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert process.stdin
        process.stdin.write(document(state))
        process.stdin.close()
        time.sleep(chance.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert good("check", uri).out.startswith(f"{uri} is sound")
        shown, durable = state_in_qemu(vm), store.state(path)
        known = [[], *(loaded["registrations"] for loaded in states)]
        assert shown["registrations"] in known and durable["registrations"] in known
    load(uri, BOTH)
    assert state_in_qemu(vm) == store.state(path)
    assert state_in_qemu(vm)["registrations"] == BOTH["registrations"]


def test_files_get_the_stores_owner(uri: str, path: Path) -> None:
    """Root changes a store of the user that runs QEMU, which must still be able to use it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    user = 64055
    os.chown(path, user, user)
    path.chmod(0o640)
    os.chown(path.parent, user, user)
    for part in path.parent.parents:
        part.chmod(part.stat().st_mode | 0o011)
    good("info", uri)
    assert [file.name for file in path.parent.iterdir()] == [path.name], "who looks makes no gate"
    load(uri, BOTH)
    for file in path.parent.iterdir():
        info = file.stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (user, user, 0o640), file
    as_user = [f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
    assert scsi_pr("clear", uri, wrapper=["setpriv", *as_user]).code == 0
