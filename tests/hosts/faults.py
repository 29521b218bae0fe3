# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to daemons, to etcd and to the way between them, and what undoes it."""

from __future__ import annotations

import random
from collections.abc import Callable

from .cluster import Cluster
from .proxy import HALF, REFUSE, SILENT

Relief = Callable[[], None]
# Strikes that host, or etcd; None: it cannot here, or not now.
Fault = Callable[[Cluster, str, random.Random], Relief | None]


# --- between a host and etcd


def cut(mode: str) -> Fault:
    def fault(there: Cluster, host: str, _rng: random.Random) -> Relief:
        there.cut(host, mode)
        return lambda: there.mend(host)

    return fault


# What a commit has, and hardly anything else: `change` is deleted (docs/many-hosts.md).
COMMIT = b"request_delete_range"


def commit_lost(there: Cluster, host: str, _rng: random.Random) -> Relief:
    """From its next one on the host sends, and hears nothing."""
    there.cut_at(host, COMMIT)
    return lambda: there.mend(host)


def slow(there: Cluster, host: str, rng: random.Random) -> Relief:
    """Answers come, but late: also after they have been given up."""

    def delay(seconds: float) -> None:
        for proxy in there.proxies[host]:
            proxy.delay = seconds

    delay(rng.choice((0.02, 0.1, 0.4, 0.9)))
    return lambda: delay(0.0)


def cable(there: Cluster, host: str, _rng: random.Random) -> Relief | None:
    network = there.network
    if network is None:
        return None
    network.cut(host)
    return lambda: network.mend(host)


# --- daemons


def daemon_killed(there: Cluster, host: str, _rng: random.Random) -> Relief:
    there.hosts[host].kill()
    return there.hosts[host].start


def daemon_stopped(there: Cluster, host: str, _rng: random.Random) -> Relief:
    there.hosts[host].freeze()
    return there.hosts[host].thaw


# --- etcd


def member_killed(there: Cluster, _host: str, rng: random.Random) -> Relief:
    """One of three: the others go on."""
    index = rng.randrange(len(there.etcd.members))
    there.etcd.kill(index)
    return lambda: there.etcd.start(index)


def leader_stopped(there: Cluster, _host: str, _rng: random.Random) -> Relief | None:
    index = there.etcd.leader()
    if index is None:
        return None
    there.etcd.freeze(index)
    return lambda: there.etcd.thaw(index)


def without_quorum(there: Cluster, _host: str, rng: random.Random) -> Relief:
    """What they have been asked for meanwhile they may do when they go on."""
    count = len(there.etcd.members)
    stopped = rng.sample(range(count), count // 2 + 1)
    for index in stopped:
        there.etcd.freeze(index)

    def relief() -> None:
        for index in stopped:
            there.etcd.thaw(index)

    return relief


OF_A_HOST: dict[str, Fault] = {
    "etcd cut off": cut(SILENT),
    "etcd half-open": cut(HALF),
    "etcd refused": cut(REFUSE),
    "commit lost": commit_lost,
    "etcd slow": slow,
    "cable pulled": cable,
    "SIGKILL of scsi-prd": daemon_killed,
    "SIGSTOP of scsi-prd": daemon_stopped,
}
OF_ETCD: dict[str, Fault] = {
    "SIGKILL of a member of etcd": member_killed,
    "SIGSTOP of etcd's leader": leader_stopped,
    "etcd without quorum": without_quorum,
}
