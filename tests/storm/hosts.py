# SPDX-License-Identifier: GPL-2.0-or-later
"""The storm over several hosts: nodes on each, its daemon, and an etcd that all reach.

What a round demands is what it demands on one host, but for the answers that many hosts are
allowed (docs/many-hosts.md): BUSY also where a host is silent, and an outcome that nobody knows.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from hosts.cluster import Cluster as Hosts
from hosts.freezer import Freezer, why_no_freezer
from hosts.network import why_no_network
from hosts.watchdog import Watchdog

from .cluster import PREEMPT_AND_ABORT, Cluster
from .fabric import Fabric, Storage
from .fencing import Fence, NotPossible, Round
from .initiator import BUSY, CHECK_CONDITION
from .node import DEAD, FROZEN, RUNNING, Home, Node


class HostsCluster(Cluster):
    HOSTS, NODES_OF_A_HOST, MEMBERS = 3, 2, 3
    DURATION = 3  # D, seconds
    WATCHDOG = 5  # seconds; scsi-prd takes none that are quicker
    PATIENCE = 60.0
    ABORT_TIMEOUTS = (1500, 1500, 5500)  # the longest: until a silent host has been declared dead
    BRAKES = (0, 0, 50, 300, 3000)  # a fencing takes longer here, and is to meet writes under way
    PASSING = (CHECK_CONDITION, BUSY)  # a host that does not reach etcd admits nothing

    def __init__(self, binary: Path, directory: Path, rng: random.Random) -> None:
        self._runtime = tempfile.TemporaryDirectory(prefix="scsi-pr-hosts-", dir="/dev/shm")
        apart = why_no_network() is None
        self.there = Hosts(Path(self._runtime.name), self.HOSTS, self.MEMBERS, self.DURATION, apart)
        self.freezers = {name: Freezer() for name in self.there.hosts if why_no_freezer() is None}
        self.hurt: set[str] = set()  # hosts that may have to join again
        self._watchdogs: dict[str, Watchdog] = {}
        self._fabrics: dict[str, Fabric] = {}
        try:
            super().__init__(binary, directory, rng)
            self.storage = Storage(self.medium, directory)
        except BaseException:
            self._close_hosts()
            raise

    def homes(self) -> list[Home]:
        names = list(self.there.hosts) * self.NODES_OF_A_HOST
        return [self.home(name) for name in names]

    def home(self, name: str) -> Home:
        store = {"pr-store": "cluster:storm", "pr-runtime-dir": str(self.there.hosts[name].runtime)}
        return Home(store, self.there.way(name), name)

    def close(self) -> None:
        for name in self.freezers:
            self.thaw(name)
        super().close()
        self._close_hosts()
        for each in (*self._watchdogs.values(), *self._fabrics.values(), self.storage):
            each.close()

    def _close_hosts(self) -> None:
        self.there.close()
        for freezer in self.freezers.values():
            freezer.close()
        self._runtime.cleanup()

    def logs(self) -> str:
        return super().logs() + "".join(host.describe() for host in self.there.hosts.values())

    # --- hosts

    def nodes_of(self, name: str) -> list[Node]:
        return [node for node in self.nodes if node.home.host == name]

    def freeze(self, name: str) -> None:
        daemon = self.there.hosts[name].daemon
        assert daemon is not None
        nodes = [node for node in self.nodes_of(name) if node.state == RUNNING]
        for child in (daemon, *(node.child for node in nodes)):
            self.freezers[name].add(child.pid)
        self.freezers[name].freeze()
        for node in nodes:
            node.state = FROZEN

    def thaw(self, name: str) -> None:
        self.freezers[name].thaw()
        for node in self.nodes_of(name):
            if node.state == FROZEN:
                node.thaw()

    def switch_off(self, name: str) -> None:
        """All that runs there ends at once."""
        self.there.hosts[name].kill()
        for node in self.nodes_of(name):
            if node.state != DEAD:
                self.end(node)

    def change_state(self, name: str, before: str, after: str) -> None:
        for node in self.nodes_of(name):
            if node.state == before:
                node.state = after

    def is_off(self, name: str) -> bool:
        children = [node.child for node in self.nodes_of(name)]
        daemon = self.there.hosts[name].daemon
        return all(child.code is not None for child in (daemon, *children) if child)

    # --- what proofs rest on

    def believe(self, name: str, proof: str) -> None:
        """[cluster] proof= of that host; "": what it believes if nothing is said."""
        command = f"fence-command={self.storage.fence_command}\n" if proof == "storage" else ""
        host = self.there.hosts[name]
        host.cluster = f"proof={proof}\n{command}" if proof else ""
        host.restart()

    def arm(self, name: str) -> None:
        """It has a watchdog, which all know of."""
        host = self.there.hosts[name]

        def reset() -> None:  # by the watchdog's thread: only what that one may touch
            host.kill()
            for node in self.nodes_of(name):
                node.child.kill()

        watchdog = Watchdog(host.runtime.parent / "watchdog", self.WATCHDOG, reset)
        self._watchdogs[name] = watchdog
        host.more, host.environment = watchdog.settings()
        host.restart()
        told = next(each for each in self.there.hosts if each != name)
        is_known = lambda: "watchdog-ms" in self.there.record_of(name, told)  # noqa: E731
        self.until(is_known, f"the watchdog of {name} is in its record")

    def come_back(self, name: str) -> None:
        """After its watchdog has reset it, without one."""
        self._watchdogs.pop(name).close()
        host = self.there.hosts[name]
        host.more, host.environment = "", {}
        host.configure()
        host.start()

    def put_behind_fabric(self, name: str) -> Fabric:
        """All VMs of that host, by processes that begin anew."""
        fabric = Fabric(self.storage, name, self.directory / f"{name}.nbd")
        self._fabrics[name] = fabric
        for node in self.nodes_of(name):
            self.restart(node, fabric=fabric.path)
        return fabric

    def take_off_fabric(self, name: str) -> None:
        """Behind the end of all its VMs there."""
        for node in self.nodes_of(name):
            self.end(node)
        self._fabrics.pop(name).close()
        self.storage.admit(name)

    def make_ready(self) -> int:
        """Behind that no host is silent."""
        for name in sorted(self.hurt):
            self.until(self.there.hosts[name].is_member, f"{name} is a member again")
        self.hurt.clear()
        return super().make_ready()


class HostRound(Round):
    """`hurt`: hosts that a fault strikes, until relieve()."""

    cluster: HostsCluster

    def __init__(self, cluster: HostsCluster, action: int = PREEMPT_AND_ABORT) -> None:
        self.hurt: set[str] = set()
        super().__init__(cluster, action)
        for node in cluster.nodes:
            if node not in (self.fencer, self.victim):
                node.depth = self.rng.choice((0, 0, 2))
        where = "another host" if self.fencer.home.host != self.victim.home.host else "the same host"
        if self.rng.random() < 0.3:
            self._add_victim()
            where = "two"
        cluster.figures.victims[where] += 1

    def _add_victim(self) -> None:
        """One command fences all that are registered by a key."""
        others = [node for node in self.cluster.nodes if node not in (self.fencer, self.victim, self.other)]
        second = self.rng.choice(others)
        self.cluster.register(second, self.tenure)
        second.depth = self.rng.choice((8, 64))

    # --- for disturbances

    def strikes(self, fault: str, hosts: set[str], relief: Callable[[], None]) -> None:
        """What has been done, to whom it matters, and what undoes it."""
        self.count(fault)
        self.hurt |= hosts
        self.cluster.hurt |= hosts
        self.relief = relief

    def relieve(self) -> None:
        super().relieve()
        self.hurt.clear()

    def fence_from_elsewhere(self) -> None:
        """The victim's host is going to be one that sends nothing."""
        name = self.victim.home.host
        if self.fencer.home.host == name:
            nodes = [node for node in self.cluster.nodes if node.tenure != self.tenure]
            elsewhere = [node for node in nodes if node.home.host != name]
            if not elsewhere:
                raise NotPossible("all have migrated to one host")
            self.fencer = self.rng.choice(elsewhere)
            self.other = self.rng.choice([node for node in nodes if node is not self.fencer])
            self.fencer.depth = 0

    # --- what is otherwise than on one host

    def _relieve_fencer(self) -> None:
        """Who is to tell something is not to be cut off himself."""
        if self.fencer.home.host in self.hurt or self.fencer.state == FROZEN:
            self.relieve()

    def bear(self, fence: Fence) -> bool:
        self.in_doubt |= fence.unknown
        if self.in_doubt:
            self.relieve()
            return self.turns_out_fenced() or fence.unknown or fence.status == BUSY or fence.unit_attention
        if fence.status == BUSY:
            self._relieve_fencer()
            if self.hurt and self.rng.random() < 0.7:
                self.relieve()
        return super().bear(fence)

    def must_write_on(self) -> None:
        self.relieve()
        if not self.in_doubt:
            return super().must_write_on()
        victim, before = self.victim, self.victim.good
        victim.brake(0)
        victim.depth = max(victim.depth, 1)
        self.cluster.until(
            lambda: victim.good > before or self.turns_out_fenced(), "the victim writes on, or is fenced"
        )

    def take_over(self) -> None:
        self._relieve_fencer()
        super().take_over()
