# SPDX-License-Identifier: GPL-2.0-or-later
"""One PREEMPT AND ABORT, and a round of the storm: its roles and what every round demands."""

from __future__ import annotations

import time
from collections.abc import Callable

from .cluster import PREEMPT_AND_ABORT, STATUS, Cluster, Hung, pr_out
from .initiator import BUSY, CONFLICT, GOOD, NOT_RUN, Request
from .node import DEAD, FROZEN, RUNNING, Node


class Fence:
    """A PREEMPT AND ABORT under way. `status` is None until it has ended."""

    def __init__(self, cluster: Cluster, fencer: Node, victim: Node, kind: int, action: int) -> None:
        assert fencer.tenure != victim.tenure, "who fences himself loses his access"
        self._cluster, self._tenure = cluster, victim.tenure
        self.fencer = fencer
        self.status: int | None = None
        self.unit_attention = self.unknown = False
        victims = [node for node in cluster.nodes if node.tenure == victim.tenure]
        cluster.figures.in_flight.append(sum(node.initiator.under_way for node in victims))
        cdb, out = pr_out(action, kind, fencer.tenure, victim.tenure)
        self._sent = time.monotonic()
        fencer.send(cdb, out, context=self._ended)

    def _ended(self, request: Request) -> None:
        attempts = self._cluster.figures.attempts[self._cluster.kind]
        if request.status == GOOD:
            attempts.latencies.append(time.monotonic() - self._sent)
            self._cluster.has_been_fenced(self._tenure)
        assert request.status is not None
        status = STATUS.get(request.status, f"{request.status:#x}")
        attempts.ends["unknown" if request.unknown else status] += 1
        self.status, self.unknown = request.status, request.unknown
        self.unit_attention = request.unit_attention


class NotPossible(Exception):
    """What a round was to do does not fit who runs where now; nothing has been done yet."""


class Round:
    """Fencer, victim, and one that looks on, all in a state to begin with."""

    def __init__(self, cluster: Cluster, action: int = PREEMPT_AND_ABORT) -> None:
        self.cluster, self.rng, self._action = cluster, cluster.rng, action
        self.kind = cluster.make_ready()
        self.fencer, self.victim, self.other = self.rng.sample(cluster.nodes, 3)
        self.tenure = self.victim.tenure
        self.relief: Callable[[], None] | None = None  # undoes a fault
        self.in_doubt = False  # over many hosts a fencing may go on whose sender is gone
        self.victim.depth = self.rng.choice((1, 8, 32, 64, 128, 128))
        self.victim.brake(self.rng.choice(cluster.BRAKES))
        self.other.depth = self.rng.choice((0, 2))
        self.pass_time(6)

    # --- for disturbances

    def count(self, fault: str) -> None:
        self.cluster.figures.faults[fault] += 1

    def pass_time(self, most: float) -> None:
        """Up to so many milliseconds."""
        self.cluster.let_pass(self.rng.random() * most / 1000)

    def relieve(self) -> None:
        if self.relief:
            relief, self.relief = self.relief, None
            relief()

    def fence(self, fencer: Node | None = None, victim: Node | None = None) -> Fence:
        fencer, victim = fencer or self.fencer, victim or self.victim
        return Fence(self.cluster, fencer, victim, self.kind, self._action)

    def wait(self, *fences: Fence) -> None:
        self.cluster.until(lambda: all(f.status is not None for f in fences), "fencing ends")

    @property
    def is_fenced(self) -> bool:
        return self.tenure in self.cluster.fenced

    def turns_out_fenced(self) -> bool:
        """Of a fencing of which nobody has heard how it ended."""
        if self.tenure in self.cluster.keys(self.fencer):
            return False
        self.cluster.has_been_fenced(self.tenure)
        return True

    def must_be_listed(self) -> None:
        """Nobody may take an unfinished fencing for a finished one."""
        if self.tenure not in self.cluster.keys(self.fencer):
            self.cluster.violation("READ KEYS does not list the victim, though no fencing was GOOD")

    def must_write_on(self) -> None:
        """No gate stays shut after a fencing that failed."""
        victim, before = self.victim, self.victim.good
        victim.brake(0)
        victim.depth = max(victim.depth, 1)
        self.cluster.until(lambda: victim.good > before, "the victim writes on", 10)

    # --- what every round demands

    def complete(self, fence: Fence) -> None:
        """Until the victim is fenced."""
        deadline = time.monotonic() + 2 * self.cluster.PATIENCE
        while True:
            self.wait(fence)
            if self.is_fenced:
                return
            if time.monotonic() > deadline:
                raise Hung(f"the fencing of {self.victim.name} is BUSY for ever")
            if not self.bear(fence):
                end = STATUS.get(fence.status or 0, str(fence.status))
                self.cluster.violation(f"the fencing ended in {end}")
                self.must_be_listed()
                return
            if self.is_fenced:
                return
            fence = self.fence()

    def bear(self, fence: Fence) -> bool:
        """Whether it may end so, and is to be sent again. BUSY is an answer, if nothing has changed."""
        if fence.status != BUSY:
            return fence.unit_attention
        self.must_be_listed()
        if self.victim.state == FROZEN:
            self.relieve()
        if self.victim.state == RUNNING:
            self.victim.brake(0)
        return True

    def take_over(self) -> None:
        """The fencer rewrites everything that the victim may have written. In a node's traps only
        its own tag can be found: nobody's, tenure 0, takes its place."""
        self.other.depth = 0
        self.cluster.rewrite(self.fencer, range(self.cluster.medium.area))
        self.cluster.rewrite(self.fencer, self.cluster.medium.traps(self.victim.index), tag=0)

    def finish(self) -> None:
        """Everything of the victim is let go; then nothing of it may be on the medium."""
        cluster, victim = self.cluster, self.victim
        self.relieve()
        if self.is_fenced and self.tenure in cluster.keys(self.fencer):
            cluster.violation("READ KEYS lists the victim after GOOD")
        for node in cluster.nodes:
            node.depth = 0
            if node.state == RUNNING:
                node.brake(0)
        idle = [node for node in cluster.nodes if node.state != DEAD]
        cluster.until(lambda: not any(n.initiator.under_way for n in idle), f"{victim.name} ends")
        cluster.check_medium()


def lost(fence: Fence) -> bool:
    """Ended as the second of two must: the key was not registered any more, or it asks again."""
    return fence.status in (CONFLICT, BUSY, NOT_RUN) or fence.unit_attention
