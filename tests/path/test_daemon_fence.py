# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-prd fences silent hosts at real paths: SG_IO of a kernel, to a disk that has reservations.

The hosts are processes in one guest, with two paths each: one that is frozen does not take the
storage with it. The disk is a scsi-hd of ours, of the QEMU around it, and not LIO of the guest's
kernel, which hangs in PREEMPT AND ABORT behind tcm_loop; by iSCSI it does not (test_lio.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.etcd import why_no_etcd

from . import daemons
from .daemons import CONFLICT, DURATION, GROUP, LINES, Fencing, Host, joined, registered, wait_until

ONLY_NEWEST_QEMU = True  # it is the daemon that is looked at
BUSY = "error 5"
Pair = tuple[Host, Host]


@pytest.fixture(scope="module")
def hosts(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if why := why_no_etcd():
        pytest.skip(why)
    with daemons.guest(qemu, tmp_path_factory.mktemp("hosts")) as pair:
        yield pair


@pytest.fixture
def newcomer(hosts: Pair) -> Pair:
    """h2 is a member, h1 is none."""
    h1, h2 = hosts
    joined(h2)
    if h1.runs:
        h1.stop()
        h1.retire()
        assert h2.tool("forget-host h1").code == 0
    return hosts


@pytest.fixture
def members(hosts: Pair) -> Pair:
    joined(*hosts)
    return hosts


@pytest.fixture
def pair(members: Pair) -> Iterator[Pair]:
    """Members, with all their paths."""
    h1, h2 = members
    if registered(h2).count(h1.key) < len(h1.paths):
        begins_anew(h1, h2)
    for host in members:
        host.forget_log()
    yield members
    for host in members:
        host.set_state("running", *host.paths)


def begins_anew(host: Host, other: Host) -> None:
    """It was retired, and nobody told the others: its next daemon takes itself for a member."""
    key = host.key
    host.stop()
    host.retire()
    assert registered(other) == [other.key] * 2
    host.start()
    wait_until(lambda: registered(other).count(key) == len(host.paths), host.log)
    host.wait_joined()


@pytest.fixture
def fencing(pair: Pair) -> Iterator[Fencing]:
    made = Fencing(*pair)
    yield made
    made.close()


OPENING, SENDING = "/dev/sda cannot be used: ", "/dev/sda: "


@pytest.mark.parametrize(
    ("line", "says"),
    zip(LINES, (OPENING + "Permission denied", OPENING + "Operation not permitted", SENDING + "Operation not permitted")),
    ids=LINES,
)
def test_it_takes_each_line_of_the_drop_in(newcomer: Pair, line: str, says: str) -> None:
    h1, h2 = newcomer
    h1.forget_log()
    h1.start(without=line)
    h1.wait_said(says)
    assert not h1.is_member and registered(h2) == [h2.key] * 2
    h1.stop()


def test_a_host_registers_by_all_its_paths_before_it_joins(newcomer: Pair) -> None:
    h1, h2 = newcomer
    assert registered(h2) == [h2.key] * 2
    h1.forget_log()
    h1.set_state("offline", *h1.paths)
    h1.start()
    h1.wait_said(h1.paths[0])
    assert not h1.is_member and registered(h2) == [h2.key] * 2

    h1.set_state("running", h1.paths[0])
    h1.wait_joined()
    assert h1.key != h2.key
    assert registered(h2).count(h1.key) == 1, "what did not work then is not registered"
    h1.set_state("running", h1.paths[1])
    assert h1.write(h1.paths[0]) == ""
    assert CONFLICT in h1.write(h1.paths[1])


def test_a_member_that_is_not_registered_begins_anew(members: Pair) -> None:
    h1, h2 = members
    begins_anew(h1, h2)
    assert [h1.write(path) for path in h1.paths] == ["", ""]
    assert "registered no more" in h1.log()


def test_a_frozen_host_is_fenced_at_the_disk(fencing: Fencing) -> None:
    fencing.freeze()
    began = time.monotonic()
    fencing.fences()
    assert time.monotonic() < began + 1.01 * DURATION + 10
    assert f'host h1 is dead, by the proof "storage": {GROUP}' in fencing.h2.log()
    fencing.has_fenced()


def test_who_is_back_drains_registers_and_only_then_admits(fencing: Fencing) -> None:
    h1 = fencing.h1
    fencing.freeze()
    fencing.fences()
    fencing.thaw()
    h1.wait_said(f'declared dead by h2, by the proof "storage" ({GROUP}); 1 commands are under way here')
    time.sleep(1)
    assert fencing.key not in registered(fencing.h2), "one is on its way still"
    assert not h1.is_member and not fencing.other.admits()
    assert CONFLICT in h1.write(h1.paths[0])
    fencing.a.ask(f"leave {fencing.on_its_way}")
    wait_until(fencing.other.admits, h1.log)
    assert registered(fencing.h2).count(fencing.key) == 2
    assert [h1.write(path) for path in h1.paths] == ["", ""]
    assert not fencing.a.admits(), "it is fenced"


def test_a_fencer_with_a_dead_path_fences_by_the_other_one(fencing: Fencing) -> None:
    """A host that has lost etcd, and nothing else."""
    h1, h2 = fencing.h1, fencing.h2
    h2.set_state("offline", h2.paths[0])
    h1.cut()
    try:
        fencing.fences()
        h2.set_state("running", h2.paths[0])
        fencing.has_fenced()
    finally:
        h1.mend()


def test_a_fencer_without_a_path_proves_nothing(fencing: Fencing) -> None:
    h2 = fencing.h2
    h2.set_state("offline", *h2.paths)
    fencing.freeze()
    assert fencing.fence(1.01 * DURATION + 3).startswith(BUSY)
    assert f"error: no path of group {GROUP} works" in h2.log()
    assert registered(fencing.h1).count(fencing.key) == 2
    h2.set_state("running", *h2.paths)
    fencing.fences()
    fencing.has_fenced()
