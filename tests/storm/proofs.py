# SPDX-License-Identifier: GPL-2.0-or-later
"""Rounds in which the victim's host is silent for longer than D, with commands under way, and PREEMPT AND
ABORT from elsewhere ends in GOOD by a proof that nothing of it can arrive any more.

The host's QEMUs reach the medium by a fabric, which holds back what the victim writes. Nothing is done for the
host before GOOD; then it is let go, with all that it still has.
"""

from __future__ import annotations

from collections.abc import Callable

from hosts import faults

from .disturbances import Rounds
from .fabric import Fabric
from .fencing import Fence
from .hosts import HostRound
from .node import DEAD, PAUSED, RUNNING, Node

_CUTS = ("etcd cut off", "etcd half-open", "etcd refused")
Relief = Callable[[], None]


def _prepare(r: HostRound, proof: str) -> Fabric:
    """The fencer's host believes that, and the fencer has the time to hear of it."""
    r.fence_from_elsewhere()
    cluster = r.cluster
    cluster.believe(r.fencer.home.host, proof)
    longest = max(cluster.ABORT_TIMEOUTS)
    if r.fencer.setup.abort_timeout < longest:
        cluster.restart(r.fencer, abort_timeout=longest)
    return cluster.put_behind_fabric(r.victim.home.host)


def _write(r: HostRound, fabric: Fabric) -> None:
    """Until some writes are held back, while others wait in the QEMU."""
    fabric.hold()
    r.victim.brake(50)
    r.victim.depth = r.rng.choice((16, 64))
    r.cluster.until(lambda: fabric.held > 0, "a write is on its way")


def _silence(r: HostRound) -> tuple[str, Relief]:
    """A machine that hangs, or one that does not reach etcd; and what undoes it."""
    cluster, host = r.cluster, r.victim.home.host
    if cluster.freezers and r.rng.random() < 0.5:
        cluster.freeze(host)
        return "host frozen", lambda: cluster.thaw(host)
    name = r.rng.choice(_CUTS)
    mend = faults.OF_A_HOST[name](cluster.there, host, r.rng)
    # Nobody speaks to its QEMUs: they may end at any moment, and wait for what they abort.
    cluster.change_state(host, RUNNING, PAUSED)

    def relief() -> None:
        assert mend is not None
        mend()
        cluster.change_state(host, PAUSED, RUNNING)

    return name, relief


def by_watchdog(r: HostRound) -> None:
    """But for the reset, all would come that the host has; what it had sent is forgotten with it."""
    fabric = _prepare(r, "watchdog")
    cluster, host = r.cluster, r.victim.home.host
    cluster.arm(host)
    _write(r, fabric)
    fault, mend = _silence(r)
    r.complete(r.fence())
    if cluster.is_off(host):
        cluster.figures.by_fabric["forgotten"] += fabric.forget()
    elif r.is_fenced:
        cluster.violation(f"GOOD before the watchdog has reset {host}")
    cluster.switch_off(host)  # which it is; its nodes are told

    def relief() -> None:
        mend()
        cluster.come_back(host)

    r.strikes(fault + ", reset", {host}, lambda: _let_go(r, fabric, relief))
    r.take_over()


def late(_r: HostRound, _fabric: Fabric, _fence: Fence) -> None:
    """What is held back is delivered when the host is let go."""


def in_time_or_never(r: HostRound, fabric: Fabric, fence: Fence) -> None:
    """The host is cut off from the storage, too. What it had sent arrives before GOOD, or not at all."""
    fabric.cut()
    if fence.status is None and r.rng.random() < 0.5:
        r.cluster.figures.by_fabric["in time"] += fabric.deliver()
    else:
        r.cluster.figures.by_fabric["forgotten"] += fabric.forget()


def by(proof: str, delivers: Callable[[HostRound, Fabric, Fence], None]) -> Callable[[HostRound], None]:
    def round_(r: HostRound) -> None:
        fabric = _prepare(r, proof)
        _write(r, fabric)
        fault, mend = _silence(r)
        fence = r.fence()
        r.pass_time(500)
        delivers(r, fabric, fence)
        r.complete(fence)
        r.strikes(fault, {r.victim.home.host}, lambda: _let_go(r, fabric, mend))
        r.take_over()

    return round_


def _let_go(r: HostRound, fabric: Fabric, mend: Relief) -> None:
    """What the host still has comes to the storage. Nobody else writes, or that might not be seen."""
    cluster, host = r.cluster, r.victim.home.host
    there = cluster.nodes_of(host)
    for node in cluster.nodes:
        node.depth = 0
    others = [node for node in cluster.nodes if node not in there and node.state != DEAD]
    cluster.until(lambda: not any(node.initiator.under_way for node in others), "the others' writes end")
    ends, before = cluster.figures.by_fabric, cluster.storage.refused
    mend()
    ends["came late"] += fabric.deliver()
    refused = cluster.storage.refused
    ends["came late: refused"] += refused - before
    for node in there:
        if node.state == RUNNING:
            node.brake(0)
    cluster.until(lambda: all(_has_no_more(node) for node in there), f"all that {host} has arrives")
    cluster.take_off_fabric(host)
    ends["sent afterwards: refused"] += cluster.storage.refused - refused
    cluster.believe(r.fencer.home.host, "")


def _has_no_more(node: Node) -> bool:
    """A write that fails stops the machine (werror=stop), and what is behind it waits."""
    if node.state == RUNNING and node.initiator.under_way and node.stopped_by_error():
        node.qmp.execute("query-status")  # which is answered when nothing is in flight any more
    return node.state != RUNNING or not node.initiator.under_way


PROOF_ROUNDS: Rounds = {
    "host frozen, watchdog": (1, by_watchdog),
    "host cut off, storage": (1, by("storage", late)),
    "host cut off, lease": (1, by("lease", in_time_or_never)),
}
# Of a lease nothing is promised there (docs/many-hosts-setup.md): the judge must see it.
BROKEN_ROUNDS: Rounds = {
    "lease, late fabric": (1, by("lease", late)),
}
