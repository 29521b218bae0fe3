# SPDX-License-Identifier: GPL-2.0-or-later
"""watch: changes as they come, at no cost, and its end."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.vm import VM
from tool.run import A, B, BOTH, KEY_A, KEY_B, Watch, document, good, paused

ONLY_NEWEST_QEMU = True


def load(uri: str) -> None:
    good("load", uri, "-", stdin=document(BOTH))


def test_changes_as_they_come(qemu: Path, uri: str, path: Path, vm: VM, tmp_path: Path) -> None:
    with Watch("--output=json", uri) as watch:
        first = watch.json()
        assert first["event"] == "state" and first["store"] == uri
        assert first["state"]["registrations"] == [] and len(first["attached"]) == 1
        load(uri)
        told = watch.changes("registered", "reserved")
        assert {(t["initiator"], t["key"]) for t in told if t["change"] == "registered"} == {
            (A, KEY_A),
            (B, KEY_B),
        }
        good("preempt", uri, KEY_B)
        (gone,) = watch.changes("unregistered")
        assert gone["initiator"] == B and gone["key"] == KEY_B
        other = paused(qemu, tmp_path / "disk.img", path, B, "other")
        try:
            (came,) = watch.changes("attached")
            assert came["initiator"] == B and came["process-id"] == other.child.pid
            other.child.kill()
            (left,) = watch.changes("detached")
            assert left["process-id"] == other.child.pid
        finally:
            other.close()
        good("clear", uri)
        watch.changes("unregistered", "released")
        assert watch.end() == 0


def test_without_qemu(qemu: Path, uri: str, path: Path, tmp_path: Path) -> None:
    """Nobody rings: the tool, and a QEMU that comes later, are noticed all the same."""
    with Watch("--output=json", uri) as watch:
        assert watch.json()["attached"] == []
        load(uri)
        watch.changes("registered", "reserved", "aptpl")
        vm = paused(qemu, disk.create(tmp_path / "d.img", size=1 << 20), path, A)
        try:
            watch.changes("attached")
            good("clear", uri)
            watch.changes("unregistered", "released")
        finally:
            vm.close()
        watch.changes("detached")


def test_lines_for_people(uri: str, vm: VM) -> None:
    with Watch(uri) as watch:
        assert "watching" in watch.line() and "attached process" in watch.line()
        load(uri)
        line = watch.line()
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d  registered iqn", line), line


def test_a_store_that_goes_and_comes_back(uri: str, path: Path) -> None:
    with Watch("--output=json", uri) as watch:
        watch.json()
        path.rename(path.with_name("aside"))
        assert "no store" in watch.json()["message"]
        path.with_name("aside").rename(path)
        assert watch.json()["event"] == "changed"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ends_on_signals(how: int, uri: str, vm: VM) -> None:
    with Watch(uri) as watch:
        watch.line()
        assert watch.end(how) == 0


def test_ends_when_nobody_reads(uri: str, vm: VM) -> None:
    with Watch(uri) as watch:
        watch.line()
        assert watch.process.stdout
        watch.process.stdout.close()
        assert watch.process.wait(20) == 0


def switches(pid: int) -> int:
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1])


def test_does_not_poll_busily(uri: str, vm: VM) -> None:
    """Five looks a second at most: that is how often it sleeps."""
    with Watch(uri) as watch:
        watch.line()
        before, seconds = switches(watch.process.pid), 2.0
        time.sleep(seconds)
        assert switches(watch.process.pid) - before <= 5 * seconds + 5
