# SPDX-License-Identifier: GPL-2.0-or-later
"""fence_scsi (Pacemaker), literally: the commands that it runs, in its order."""

from __future__ import annotations

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, good
from guest.lib.nodes import Node, Path
from guest.lib.scsi import GOOD, Reservation, outcome

OTHER_QEMUS_TAKE_LONG = True

KEY_A, KEY_B = 0x4D5B0000, 0x4D5B0001  # it numbers the nodes of a cluster


class FenceScsi:
    """The agent on one node. It works at one path, or at all of a node's paths with the one key."""

    def __init__(self, paths: list[Path], key: int, aptpl: bool = False) -> None:
        self.paths = paths
        self.key = key
        self.aptpl = aptpl

    @staticmethod
    def persist(path: Path, options: str) -> Result:
        """sg_turs takes one unit attention. (sg3-utils 1.48 sends nothing without its -l.)"""
        device = path.device
        return path.vm.run(f"sg_turs -l {device}; sg_persist -n {options} -d {device}")

    def keys(self, path: Path) -> list[str]:
        said = self.persist(path, "-i -y -k")
        good(said)
        return [line.strip() for line in said.out.splitlines() if line.strip().startswith("0x")]

    def listed(self, path: Path, key: int) -> bool:
        return f"{key:#x}" in self.keys(path)

    def reserved_by(self, path: Path) -> str | None:
        said = self.persist(path, "-i -y -r")
        good(said)
        return next((word for word in said.out.split() if word.startswith("Key=")), None)

    def register_path(self, path: Path, key: int, preempt: bool) -> None:
        register = f"-o -I -S {key:x}" + (" -Z" if self.aptpl else "")
        was_listed = self.listed(path, key)
        good(self.persist(path, register))
        if was_listed and preempt:
            good(self.persist(path, f"-o -P -T 5 -K {key:x} -S {key:x}"))
        if was_listed and self.reserved_by(path) != f"Key={key:#x}":
            good(self.persist(path, register))

    def register(self) -> None:
        for path in self.paths:
            self.register_path(path, self.key, preempt=path is self.paths[0])

    def on(self) -> None:
        self.register()
        first = self.paths[0]
        assert self.listed(first, self.key)
        if self.reserved_by(first) is None:
            reserved = self.persist(first, f"-o -R -T 5 -K {self.key:x}")
            assert outcome(reserved) == GOOD or self.reserved_by(first)

    def off(self, victim: int) -> None:
        self.register()
        first = self.paths[0]
        if self.listed(first, victim):
            good(self.persist(first, f"-o -A -T 5 -K {self.key:x} -S {victim:x}"))
        assert not self.listed(first, victim), "the victim's key is gone …"
        assert self.reserved_by(first), "… and a reservation exists"

    def monitor(self) -> bool:
        return self.listed(self.paths[0], self.key)


Agents = tuple[FenceScsi, FenceScsi]


@pytest.fixture
def agents(nodes: tuple[Node, Node]) -> Agents:
    """Agents that see one path each."""
    a, b = nodes
    return FenceScsi(a.paths[:1], KEY_A), FenceScsi(b.paths[:1], KEY_B)


def test_fence_and_unfence(agents: Agents) -> None:
    a, b = agents
    a.on()
    b.on()
    assert a.monitor() and b.monitor()
    good(a.paths[0].write("member", 0), b.paths[0].write("member", 1))
    b.off(KEY_A)
    assert not a.monitor()
    conflict(a.paths[0].write("fenced", 0))
    good(b.paths[0].write("survivor", 1))
    assert b.paths[0].reservation() == Reservation(KEY_B, 5), "the fencing node holds it now"
    a.on()  # when the node has rebooted
    good(a.paths[0].write("member again", 0))
    assert sorted(b.paths[0].keys()) == [KEY_A, KEY_B]


def test_fence_who_does_not_hold_the_reservation(agents: Agents) -> None:
    a, b = agents
    a.on()
    b.on()
    a.off(KEY_B)
    assert a.paths[0].reservation() == Reservation(KEY_A, 5)
    conflict(b.paths[0].write("fenced", 1))
    a.off(KEY_B)  # a second time there is nothing to do


def test_on_twice_as_the_holder(agents: Agents) -> None:
    """PREEMPT of one's own key: the holder stays registered and holds the new reservation."""
    a, _ = agents
    a.on()
    a.on()
    assert a.paths[0].keys() == [KEY_A] and a.paths[0].reservation() == Reservation(KEY_A, 5)


def test_on_twice_as_another(agents: Agents) -> None:
    """PREEMPT of one's own key removes one's own registration; the agent then registers again."""
    a, b = agents
    a.on()
    b.on()
    b.on()
    assert sorted(b.paths[0].keys()) == [KEY_A, KEY_B]
    assert b.paths[0].reservation() == Reservation(KEY_A, 5)
    good(b.paths[0].write("member", 0))


def test_two_nexuses_with_one_key(nodes: tuple[Node, Node]) -> None:
    """Both paths of a node are registered with its key: what fences the node fences both."""
    a, b = FenceScsi(nodes[0].paths, KEY_A), FenceScsi(nodes[1].paths, KEY_B)
    a.on()
    b.on()
    assert sorted(a.paths[0].keys()) == [KEY_A, KEY_A, KEY_B, KEY_B]
    for path in a.paths + b.paths:
        good(path.write("member", 0))
    b.on()  # again: the first path's PREEMPT of the own key removes the other one's registration
    assert sorted(a.paths[0].keys()) == [KEY_A, KEY_A, KEY_B, KEY_B]
    b.off(KEY_A)
    for path in a.paths:
        conflict(path.write("fenced", 0))
    good(b.paths[0].write("survivor", 0), b.paths[1].write("survivor", 0))


def test_stale_nexus_with_the_own_key(nodes: tuple[Node, Node]) -> None:
    """A node comes back through another path: PREEMPT of its key removes what the old one left."""
    stale, path = nodes[0].paths
    good(stale.register(KEY_A), stale.reserve(KEY_A))
    FenceScsi([path], KEY_A).on()
    assert path.full_status()[0].port == path.port and path.keys() == [KEY_A]
    assert path.reservation() == Reservation(KEY_A, 5)


def test_aptpl(nodes: tuple[Node, Node]) -> None:
    FenceScsi(nodes[0].paths[:1], KEY_A, aptpl=True).on()
    (disk, *_) = nodes[0].vm.qmp.execute("query-scsi-pr")
    assert disk["state"]["aptpl"] is True
