# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows Server Failover Clustering: validation ([MS-CSVP]) and arbitration, as commands."""

from __future__ import annotations

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, drain, good
from guest.lib.nodes import Node, Path
from guest.lib.scsi import Reservation

OTHER_QEMUS_TAKE_LONG = True

KEY_A, KEY_B = 0x5A17E2B9_61737466, 0x0C44D0F3_61737466
INTERVAL = 3  # DiskArbInterval, in seconds: all commands of a defence must fit into it


@pytest.fixture
def two(nodes: tuple[Node, Node]) -> tuple[Path, Path]:
    return nodes[0].paths[0], nodes[1].paths[0]


def put_reserve(path: Path, key: int) -> Result:
    """RESERVE, Write Exclusive - Registrants Only."""
    return path.reserve(key, 5)


def test_validation(two: tuple[Path, Path]) -> None:
    owner, other = two
    good(owner.register_and_ignore(KEY_A))  # PRRegister
    good(put_reserve(owner, KEY_A))
    assert owner.reservation() == Reservation(KEY_A, 5)  # IsPRPresent
    good(owner.write("owner", 0))
    conflict(other.write("not registered", 1))
    good(other.read(0))
    conflict(put_reserve(other, KEY_B))
    good(other.register_and_ignore(KEY_B))
    conflict(put_reserve(other, KEY_B))
    good(other.write("registered", 1), other.register_and_ignore(0))  # PRUnRegister
    conflict(other.write("not any more", 1))
    good(owner.release(KEY_A))
    assert other.reservation() is None


def test_validation_of_preempt(two: tuple[Path, Path]) -> None:
    owner, other = two
    good(owner.register_and_ignore(KEY_A), put_reserve(owner, KEY_A))
    good(other.register_and_ignore(KEY_B), other.preempt(KEY_B, KEY_A))  # PRPreempt3
    drain(owner)
    assert owner.keys() == [KEY_B], "IsPRPresent3"
    conflict(owner.write("preempted", 0))
    good(other.clear(KEY_B))  # PRClear
    assert owner.reservation() is None and owner.keys() == []
    good(owner.write("free", 0))


def test_verify_unique(nodes: tuple[Node, Node]) -> None:
    """VPD page 83h: an NAA designator, the same in every node and at every path."""
    seen = set()
    for path in [path for node in nodes for path in node.paths]:
        command = f"sg_vpd -p di {path.device} && sg_inq -p di {path.device}"
        said = path.vm.run(command, check=True).out
        assert "designator type: NAA" in said
        seen.add(said)
    assert len(seen) == 1 and "0x5000c50015ea71ac" in seen.pop()


def test_challenge_is_defended(two: tuple[Path, Path]) -> None:
    """The owner sees the challenger's key and preempts it; the challenger finds its key gone."""
    owner, challenger = two
    good(owner.register_and_ignore(KEY_A), put_reserve(owner, KEY_A))
    good(challenger.register_and_ignore(KEY_B))
    assert KEY_B in owner.keys()
    good(owner.preempt(KEY_A, KEY_B))
    drain(challenger)
    assert challenger.keys() == [KEY_A]
    conflict(challenger.preempt(KEY_B, KEY_A), challenger.write("lost", 1))
    good(owner.write("defended", 0))


def test_challenge_succeeds(two: tuple[Path, Path]) -> None:
    """The owner is dead: the challenger's key is still there, and it takes the disk over."""
    owner, challenger = two
    good(owner.register_and_ignore(KEY_A), put_reserve(owner, KEY_A))
    good(challenger.register_and_ignore(KEY_B))
    assert KEY_B in challenger.keys()
    good(challenger.preempt(KEY_B, KEY_A), challenger.write("new owner", 0))
    assert challenger.reservation() == Reservation(KEY_B, 5)
    drain(owner)
    conflict(put_reserve(owner, KEY_A), owner.write("was dead for a while", 0))


def test_defence_is_quick(two: tuple[Path, Path]) -> None:
    owner, challenger = two
    good(owner.register_and_ignore(KEY_A), put_reserve(owner, KEY_A))
    good(challenger.register_and_ignore(KEY_B))
    read, preempt = owner.persist("-i -k"), owner.preempt(KEY_A, KEY_B)
    good(read, preempt)
    assert read.elapsed + preempt.elapsed < INTERVAL
