# SPDX-License-Identifier: GPL-2.0-or-later
"""Reservations over hosts, with the daemons, etcd and processes that share a logical unit.

What the tests demand is that of docs/many-hosts.md and of SPC-3 5.6, wherever the nexuses are."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Cluster
from .nexus import (
    BUSY,
    CLEAR,
    CONFLICT,
    GOOD,
    PREEMPT,
    PREEMPT_AND_ABORT,
    RELEASE,
    RESERVE,
    Nexus,
)
from .nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO

MakeCluster = Callable[..., Cluster]

REGISTRATIONS_PREEMPTED, RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED = "42 5", "42 3", "42 4"


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Until it is so, in time: how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, f"not within {seconds:g} s"
        time.sleep(0.02)
    return time.monotonic() - began


def reserved_by_a(cluster: Cluster) -> tuple[Nexus, Nexus]:
    """a on h1 holds the reservation, b on h2 is registered."""
    a, b = cluster.nexus("a", "h1"), cluster.nexus("b", "h2")
    a.register(0xA)
    b.register(0xB)
    assert a.out(RESERVE, 0xA, 0, WERO) == GOOD
    return a, b


def test_who_is_registered_is_known_everywhere(cluster_of: MakeCluster) -> None:
    a, b = reserved_by_a(cluster_of(2))
    assert a.ask("keys") == b.ask("keys") == "10,11"
    assert a.ask("state") == b.ask("state")


def test_who_is_not_registered_is_kept_out_on_each_host(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, _ = reserved_by_a(cluster)
    c = cluster.nexus("c", "h2")
    assert a.admits()
    assert not c.admits()
    assert a.out(RELEASE, 0xA, 0, WERO) == GOOD
    assert c.admits()


def test_preempt_and_abort_waits_for_commands_on_another_host(cluster_of: MakeCluster) -> None:
    a, b = reserved_by_a(cluster_of(2))
    on_its_way = a.enter()
    assert on_its_way is not None
    b.begin_out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO)
    assert not b.heard(0.5)
    assert not a.admits()
    a.leave(on_its_way)
    assert b.hear() == GOOD
    assert not a.admits()
    assert b.ask("keys") == "11"
    assert a.ask("heard").split()[1] == "1"


def test_preempt_and_abort_that_waits_in_vain_changes_nothing(cluster_of: MakeCluster) -> None:
    a, b = reserved_by_a(cluster_of(2))
    on_its_way = a.enter()
    assert on_its_way is not None
    b.ask("patience 500")
    answer = b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO)
    assert answer.startswith("error 5"), answer
    until(a.admits, 5)
    assert b.ask("keys") == "10,11"
    a.leave(on_its_way)
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD


def test_unit_attentions_reach_the_right_nexus_once(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(3)
    a, b = reserved_by_a(cluster)
    c = cluster.nexus("c", "h3")
    c.register(0xC)
    for each in (a, b, c):
        each.attentions()
    assert b.out(PREEMPT, 0xB, 0xA, WERO) == GOOD
    assert a.attentions() == [REGISTRATIONS_PREEMPTED]
    assert c.attentions() == []
    assert b.attentions() == []
    assert b.out(RELEASE, 0xB, 0, WERO) == GOOD
    assert c.attentions() == [RESERVATIONS_RELEASED]
    assert b.out(CLEAR, 0xB) == GOOD
    assert c.attentions() == [RESERVATIONS_PREEMPTED]
    assert a.attentions() == []


def test_the_first_one_powers_the_logical_unit_on(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    assert a.ask("detach") == "ok"
    a.attach()
    assert a.ask("keys") == "10,11"  # b has never gone
    for each in (a, b):
        assert each.ask("detach") == "ok"
    until(lambda: '"attached": 0' in told(cluster, "h1"), 10)
    a.attach()
    assert a.ask("keys") == "-"


def told(cluster: Cluster, host: str) -> str:
    """Who is attached, as the tool there says it."""
    asked = cluster.hosts[host].ask_tool("info", "--output=json", "cluster:quorum")
    if asked.returncode:
        return asked.stderr
    return f'"attached": {len(json.loads(asked.stdout)["attached"])}'


def test_registrations_with_aptpl_outlive_all(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a = cluster.nexus("a", "h1")
    a.register(0xA, aptpl=1)
    assert a.ask("detach") == "ok"
    b = cluster.nexus("b", "h2")
    assert b.ask("keys") == "10"


def test_a_nexus_is_attached_once(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    cluster.nexus("a", "h1")
    twin = cluster.start_nexus("a", "h2")
    answer = twin.ask("attach")
    assert answer.startswith("error 4"), answer
    assert "h1" in answer


def test_a_killed_process_is_forgotten(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    assert a.enter() is not None
    a.kill()
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    again = cluster.start_nexus("a", "h2")
    until(lambda: again.ask("attach") == "ok", 10)
    assert not again.admits()


def test_a_stopped_process_is_waited_for(cluster_of: MakeCluster) -> None:
    a, b = reserved_by_a(cluster_of(2))
    assert a.enter() is not None
    a.signal(signal.SIGSTOP)
    b.ask("patience 500")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO).startswith("error 5")
    assert b.out(PREEMPT, 0xB, 0xA, WERO) == GOOD  # ends no task
    a.signal(signal.SIGCONT)
    assert not a.admits()


# --- silent hosts


def test_preempt_of_a_silent_host_ends_with_its_admission(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    cluster.cut("h1")
    began = time.monotonic()
    assert b.out(PREEMPT, 0xB, 0xA, WERO) == GOOD
    assert time.monotonic() - began < cluster.duration + 4
    assert not a.admits()
    assert b.admits()
    cluster.mend("h1")
    until(lambda: REGISTRATIONS_PREEMPTED in a.attentions(), 20)
    assert not a.admits()
    # What was sent while it was cut off may time out still: no member, for a moment.
    until(lambda: a.ask("keys") == "11", 30)


def test_preempt_and_abort_of_a_silent_host_is_busy(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    assert a.enter() is not None
    cluster.cut("h1")
    b.ask("patience 1000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO).startswith("error 5")
    cluster.mend("h1")
    until(lambda: a.ask("keys") == "10,11", 30)


def test_a_host_without_etcd_stops_admitting_and_goes_on(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(1)
    a = cluster.nexus("a", "h1")
    assert a.admits()
    cluster.cut("h1")
    took = until(lambda: not a.admits(), cluster.duration + 2)
    assert took > cluster.duration - 1.5
    cluster.mend("h1")
    until(a.admits, 10)


def test_commands_go_on_while_the_daemon_is_started_again(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2, duration=8)
    a, b = reserved_by_a(cluster)
    host = cluster.hosts["h1"]
    for end in (host.kill, host.stop):
        end()
        assert a.admits()
        host.start()
        until_deadline = time.monotonic() + 8
        while not host.is_member():
            assert a.admits()
            assert time.monotonic() < until_deadline
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert not a.admits()


def test_a_daemon_that_comes_late_finds_out(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    cluster.hosts["h1"].kill()
    assert b.out(PREEMPT, 0xB, 0xA, WERO) == GOOD
    assert not a.admits()
    cluster.hosts["h1"].start()
    cluster.hosts["h1"].wait_joined()
    until(lambda: REGISTRATIONS_PREEMPTED in a.attentions(), 10)
    assert not a.admits()
    a.register(0xA)
    assert a.admits()


def test_the_fencers_daemon_dies_and_nothing_stays_shut(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    on_its_way = a.enter()
    assert on_its_way is not None
    b.begin_out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO)
    until(lambda: not a.admits(), 5)
    cluster.hosts["h2"].kill()
    cluster.hosts["h2"].start()
    answer = b.hear()
    assert answer == GOOD or answer.startswith("error"), answer
    until(a.admits, 60)
    a.leave(on_its_way)


# --- going from host to host


def test_a_nexus_goes_to_another_host(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    there = cluster.start_nexus("a", "h2")
    assert there.ask("incoming") == "ok"
    assert not there.admits()
    text = a.ask("hand-over")
    assert not a.admits()
    assert there.ask(f"arrive {text}") == "ok"
    until(lambda: there.ask("take-over") != "not taken", 10)
    a.close()
    until(there.admits, 5)
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert not there.admits()


def test_a_nexus_comes_back_when_it_was_not_wanted(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, _ = reserved_by_a(cluster)
    there = cluster.start_nexus("a", "h2")
    assert there.ask("incoming") == "ok"
    a.ask("hand-over")
    there.kill()
    until(lambda: a.ask("take-over") != "not taken", 10)
    until(a.admits, 5)


def test_a_nexus_that_is_fenced_on_its_way_stays_fenced(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    there = cluster.start_nexus("a", "h2")
    assert there.ask("incoming") == "ok"
    text = a.ask("hand-over")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert there.ask(f"arrive {text}") == "ok"
    until(lambda: there.ask("take-over") != "not taken", 10)
    assert not there.admits()
    until(lambda: REGISTRATIONS_PREEMPTED in there.attentions(), 5)
    assert not a.admits()


# --- changes at the same time


@pytest.mark.parametrize("members", [1, 3])
def test_two_that_preempt_each_other(cluster_of: MakeCluster, members: int) -> None:
    a, b = reserved_by_a(cluster_of(2, members=members))
    for _ in range(5):
        a.begin_out(PREEMPT_AND_ABORT, 0xA, 0xB, WERO)
        b.begin_out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO)
        ends = {a.hear(), b.hear()}
        assert ends == {GOOD, CONFLICT}, ends
        keys = a.ask("keys")
        assert keys == b.ask("keys")
        assert a.admits() == (keys == "10")
        assert b.admits() == (keys == "11")
        loser, key = (a, 0xA) if keys == "11" else (b, 0xB)
        loser.register(key)
    assert BUSY not in ends
