# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to hosts, their daemons, etcd and the network before, during and after a fencing.

As in disturbances.py; a fault that concerns a host strikes the victim's, or else the fencer's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hosts import faults
from hosts.proxy import HALF

from . import disturbances as single
from .disturbances import Rounds, strike
from .hosts import HostRound
from .initiator import BUSY, GOOD

Fault = Callable[[HostRound], None]


def of_a_host(name: str) -> Fault:
    fault = faults.OF_A_HOST[name]

    def fault_(r: HostRound) -> None:
        host = r.rng.choice((r.victim, r.victim, r.fencer)).home.host
        if relief := fault(r.cluster.there, host, r.rng):
            r.strikes(name, {host}, relief)

    return fault_


def of_etcd(name: str) -> Fault:
    """All hosts wait for it."""
    fault = faults.OF_ETCD[name]

    def fault_(r: HostRound) -> None:
        there = r.cluster.there
        if relief := fault(there, "", r.rng):
            r.strikes(name, set(there.hosts), relief)

    return fault_


def daemon_restarted(r: HostRound) -> None:
    """At once, as systemd does."""
    of_a_host("SIGKILL of scsi-prd")(r)
    r.relieve()


def answers_lost(r: HostRound) -> None:
    """Those of the fencer's host, from some time on or from the commit, for longer than it asks: then
    nobody may know what has become of it."""
    host, there = r.fencer.home.host, r.cluster.there
    at_commit = r.rng.random() < 0.7
    if at_commit:
        there.cut_at(host, faults.COMMIT)
    fence = r.fence()
    if not at_commit:
        r.pass_time(30)
        there.cut(host, HALF)
    r.strikes("commit lost" if at_commit else "answers lost", {host}, lambda: there.mend(host))
    r.wait(fence)
    r.relieve()
    r.complete(fence)
    r.take_over()


# --- VMs that go from host to host


def migration(r: HostRound) -> None:
    """Of the victim, with all that it has under way."""
    victim, cluster = r.victim, r.cluster
    name = r.rng.choice([name for name in cluster.there.hosts if name != victim.home.host])
    arrived = victim.begin_migration(cluster.home(name))

    def relief() -> None:
        victim.brake(0)
        cluster.until(arrived, f"{victim.name} migrates")

    r.strikes("migration", set(), relief)


# --- whole hosts


def host_frozen(r: HostRound) -> None:
    """QEMUs and daemon, as a hypervisor pauses it, or a machine that hangs."""
    host = r.victim.home.host
    if r.cluster.freezers:
        r.cluster.freeze(host)
        r.strikes("host frozen", {host}, lambda: r.cluster.thaw(host))


def host_off(r: HostRound) -> None:
    host = r.victim.home.host
    r.cluster.switch_off(host)
    r.strikes("host off", {host}, r.cluster.there.hosts[host].start)


def host_off_confirmed(r: HostRound) -> None:
    """And stays off: somebody says so, and that is enough."""
    r.fence_from_elsewhere()
    host, there = r.victim.home.host, r.cluster.there
    fence = r.fence()
    r.pass_time(4)
    r.cluster.switch_off(host)
    r.strikes("host off, confirmed", {host}, there.hosts[host].start)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    done = there.hosts[r.fencer.home.host].ask_tool("confirm-host-dead", host, "--boot-id", boot_id)
    if done.returncode != 0:
        r.cluster.violation(f"{host} is off, and that cannot be confirmed: {done.stderr}")
    r.wait(fence)
    if fence.status == BUSY:  # it was not there in time
        fence = r.fence()
        r.wait(fence)
        if fence.status != GOOD and not fence.unit_attention:
            r.cluster.violation(f"{host} is off, which was confirmed, and the fencing is not GOOD")
    r.complete(fence)
    r.take_over()


def from_elsewhere(fault: Fault) -> Fault:
    round_ = strike(fault)

    def from_elsewhere_(r: HostRound) -> None:
        r.fence_from_elsewhere()
        round_(r)

    return from_elsewhere_


def fencers_host_frozen(r: HostRound) -> None:
    """For longer than others wait, or not. Then it goes on where it was."""
    if not r.cluster.freezers:
        return
    host = r.fencer.home.host
    fence = r.fence()
    r.pass_time(20)
    r.cluster.freeze(host)
    r.strikes("fencer's host frozen", {host}, lambda: r.cluster.thaw(host))
    r.pass_time(r.rng.choice((50, 1500, 6000)))
    r.relieve()
    r.complete(fence)
    r.take_over()


# Those of one host that are about more than the QEMU process that they strike.
_SINGLE = (
    "undisturbed", "SIGKILL", "SIGSTOP", "SIGSTOP with writes in flight", "stop", "LOGICAL UNIT RESET",
    "device_del", "SIGKILL of the fencer", "SIGSTOP of the fencer", "two fencers", "fence each other",
)  # fmt: skip

HOST_ROUNDS: Rounds = {
    **{name: (1, single.ROUNDS[name][1]) for name in _SINGLE},
    **{name: (1, strike(of_a_host(name))) for name in faults.OF_A_HOST},
    **{name: (1, strike(of_etcd(name))) for name in faults.OF_ETCD},
    "scsi-prd started anew": (2, strike(daemon_restarted)),
    "answers lost": (1, answers_lost),
    "migration": (3, strike(migration)),
    "host frozen": (1, from_elsewhere(host_frozen)),
    "host off, confirmed": (1, host_off_confirmed),
    "host off": (1, from_elsewhere(host_off)),
    "fencer's host frozen": (1, fencers_host_frozen),
}
