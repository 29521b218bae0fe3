# SPDX-License-Identifier: GPL-2.0-or-later
"""mpathpersist and multipathd: the commands they send to the paths of a node.

Of a multipath device whose path with the reservation is lost, mpathpersist makes two things: before
multipath-tools 0.13 it clears everything and registers the other nodes anew by their TransportIDs;
since then it preempts its own key.

The old one's TransportIDs are right for Fibre Channel only: it sends 16 of 24 bytes for SAS, and an
iSCSI name without its length. Hence the initiator ports in guest/lib/nodes.py.
"""

from __future__ import annotations

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, drain, good, told
from guest.lib.nodes import Node, Path
from guest.lib.scsi import CONFLICT, GOOD, Registration, Reservation, outcome

OTHER_QEMUS_TAKE_LONG = True

KEY_A, KEY_B = 0xA1, 0xB2
Nodes = tuple[Node, Node]


def on_all(paths: list[Path], options: str) -> list[Result]:
    """A thread a path: the commands are under way at the same time. Like mpathpersist each repeats
    its command after a unit attention: one path's success may be told to the others."""
    tasks = []
    for path in paths:
        command = f"sg_persist -n {options} {path.device}; code=$?; [ $code = 6 ] || exit $code"
        tasks.append((path.vm, path.vm.begin(f"for try in 1 2 3 4 5; do {command}; done; exit 6")))
    return [vm.finish(task) for vm, task in tasks]


def register(paths: list[Path], key: int) -> None:
    """--register: where some paths succeed and others conflict, REGISTER AND IGNORE on all."""
    results = on_all(paths, f"-o -G -S {key:#x}")
    if {outcome(result) for result in results} == {GOOD, CONFLICT}:
        results = on_all(paths, f"-o -I -S {key:#x}")
    good(*results)


@pytest.fixture
def members(nodes: Nodes) -> Nodes:
    """Both nodes registered through all of their paths, no reservation."""
    for node, key in zip(nodes, (KEY_A, KEY_B), strict=True):
        register(node.paths, key)
    return nodes


def test_register_and_reserve(members: Nodes) -> None:
    a, b = members
    good(a.paths[0].reserve(KEY_A))
    assert sorted(b.paths[0].keys()) == [KEY_A, KEY_A, KEY_B, KEY_B]
    for path in a.paths + b.paths:
        good(path.write("member", 0))
    conflict(*on_all(b.paths, f"-o -R -T 5 -K {KEY_B:#x}"))


def test_mixed_conflict_falls_back(nodes: Nodes) -> None:
    """One path has a registration from before."""
    a, _ = nodes
    good(a.paths[1].register(0x77))
    register(a.paths, KEY_A)
    assert a.paths[0].keys() == [KEY_A, KEY_A]


def test_fence(members: Nodes) -> None:
    """--preempt-abort --param-rk=B --param-sark=A"""
    a, b = members
    good(a.paths[1].reserve(KEY_A))
    good(b.paths[0].persist(f"-o -A -T 5 -K {KEY_B:#x} -S {KEY_A:#x}"))
    assert b.paths[1].keys() == [KEY_B, KEY_B] and b.paths[1].reservation() == Reservation(KEY_B, 5)
    for path in a.paths:
        told(path, "REGISTRATIONS PREEMPTED")
        conflict(path.write("fenced", 0))
    good(b.paths[0].write("survivor", 0), b.paths[1].write("survivor", 0))


def test_unregister(members: Nodes) -> None:
    """--register --param-rk=A with key 0: on all paths, the holder's among them."""
    a, b = members
    good(a.paths[0].reserve(KEY_A))
    good(*on_all(a.paths, f"-o -G -K {KEY_A:#x} -S 0"))
    assert b.paths[0].keys() == [KEY_B, KEY_B] and b.paths[0].reservation() is None
    told(b.paths[1], "RESERVATIONS RELEASED")


def release_fails_to_release(working: Path) -> None:
    """Both generations begin alike: RELEASE on the path that is left, which does not hold it."""
    good(working.release(KEY_A))
    assert working.reservation() == Reservation(KEY_A, 5)


def test_lost_path_before_0_13(members: Nodes) -> None:
    """READ FULL STATUS, CLEAR, then each port of the other nodes: REGISTER with SPEC_I_PT, which
    registers the sender too, and REGISTER with key 0 for the sender."""
    a, b = members
    working, lost = a.paths
    good(lost.reserve(KEY_A))
    release_fails_to_release(working)
    others = [each for each in working.full_status() if each.key != KEY_A]
    assert {each.wwpn for each in others} == {path.wwpn for path in b.paths}
    good(working.clear(KEY_A))
    for other in others:
        listed = f"--transport-id=fcp,{other.wwpn}"
        good(working.persist(f"-o -G -S {other.key:#x} {listed}"))
        good(working.persist(f"-o -G -K {other.key:#x} -S 0"))
    good(working.register(KEY_A))
    expected = [Registration(KEY_A, working.port, working.wwpn)]
    expected += [Registration(KEY_B, path.port, path.wwpn) for path in b.paths]
    assert sorted(working.full_status(), key=lambda each: each.wwpn) == expected
    assert working.reservation() is None
    for path in b.paths:
        told(path, "RESERVATIONS PREEMPTED")
        good(path.register(KEY_B, old=KEY_B))


def test_lost_path_since_0_13(members: Nodes) -> None:
    """PREEMPT of the own key, RELEASE, REGISTER AND IGNORE; the others keep their registrations."""
    a, b = members
    working, lost = a.paths
    good(lost.reserve(KEY_A))
    release_fails_to_release(working)
    good(working.preempt(KEY_A, KEY_A))
    assert working.reservation() == Reservation(KEY_A, 5)
    assert sorted(b.paths[0].keys()) == [KEY_A, KEY_B, KEY_B]
    good(working.release(KEY_A), working.register_and_ignore(KEY_A))
    assert b.paths[0].reservation() is None
    # The path returns: multipathd reads the keys and registers it.
    drain(lost)
    assert KEY_A in lost.keys()
    good(lost.register_and_ignore(KEY_A))
    assert sorted(b.paths[0].keys()) == [KEY_A, KEY_A, KEY_B, KEY_B]


@pytest.mark.parametrize("type", [7, 8])
def test_preempt_all_registrants(members: Nodes, type: int) -> None:
    """--preempt with key 0: every other registration goes, the own paths' too; they come again."""
    a, b = members
    good(b.paths[0].reserve(KEY_B, type))
    good(a.paths[1].preempt(KEY_A, 0, type))
    assert a.paths[0].keys() == [KEY_A]
    drain(*a.paths)
    good(*on_all(a.paths, f"-o -I -S {KEY_A:#x}"))
    assert [each.type for each in a.paths[0].full_status()] == [type, type]
    for path in b.paths:
        told(path, "REGISTRATIONS PREEMPTED")
        conflict(path.write("fenced", 0))
    good(a.paths[0].write("survivor", 0), a.paths[1].write("survivor", 0))
