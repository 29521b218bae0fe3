# SPDX-License-Identifier: GPL-2.0-or-later
"""What cluster: stores cost: reservation commands in units of one etcd put of the same run, what idle
hosts ask of etcd, and what many hosts need.

Daemons and etcd are those of the tests (hosts/), without a proxy between them; what is etcd's is on a
disk, as it would be. A nexus is a process without QEMU.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import resource
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts.etcd import Etcd, on_loopback
from hosts.host import Host
from hosts.nexus import GOOD, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, RELEASE, RESERVE, Nexus
from hosts.nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO

VALUE = base64.b64encode(b"x" * 2000).decode()  # as large as a document with some registrants
DRAIN = 0.05
KEYS = {"a": 0xA, "b": 0xB}
SETTLE = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Site:
    """So many members of etcd and hosts, and nexuses."""

    def __init__(self, place: str, members: int, hosts: int) -> None:
        self._stack = ExitStack()
        new = self._stack.enter_context
        runtime = Path(new(tempfile.TemporaryDirectory(prefix="scsi-pr-bench-", dir="/dev/shm")))
        self.etcd = Etcd(Path(new(tempfile.TemporaryDirectory(prefix="scsi-pr-bench-", dir=place))), on_loopback(members))
        self._stack.callback(self.etcd.close)
        self.hosts: list[Host] = []
        self.nexuses: list[Nexus] = []
        try:
            self.etcd.start_all()
            for number in range(hosts):
                # Not all of them ask the same member first.
                turn = number % members
                endpoints = self.etcd.endpoints[turn:] + self.etcd.endpoints[:turn]
                host = Host(f"h{number}", runtime / f"h{number}", endpoints, log_level="info")
                self.hosts.append(host)
                self._stack.callback(host.close)
                host.start()
            for host in self.hosts:
                host.wait_joined(120)
        except BaseException:
            self.close()
            raise

    def nexus(self, name: str, host: int, unit: str) -> Nexus:
        nexus = Nexus(name, self.hosts[host].runtime, unit)
        self.nexuses.append(nexus)
        self._stack.callback(nexus.close)
        assert nexus.opened == "ok", nexus.opened
        nexus.attach()
        return nexus

    def close(self) -> None:
        self._stack.close()

    def requests(self) -> float:
        """Of keys, that the members have answered by now."""
        return sum(self._counted(endpoint) for endpoint in self.etcd.endpoints)

    @staticmethod
    def _counted(endpoint: str) -> float:
        with urllib.request.urlopen(endpoint + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        line = r'^grpc_server_handled_total\{[^}]*grpc_service="etcdserverpb\.KV"[^}]*\} (\S+)$'
        return sum(float(count) for count in re.findall(line, text, re.M))


@contextmanager
def site(place: str, members: int, hosts: int) -> Iterator[Site]:
    made = Site(place, members, hosts)
    try:
        yield made
    finally:
        made.close()


# --- Commands


class Putter:
    """One put after the other, on a connection that stays."""

    def __init__(self, etcd: Etcd) -> None:
        place = etcd.places[0]
        self._connection = http.client.HTTPConnection(place.address, place.client_port, timeout=10)
        self._body = json.dumps({"key": base64.b64encode(b"/bench").decode(), "value": VALUE})

    def __call__(self) -> None:
        self._connection.request("POST", "/v3/kv/put", self._body)
        answer = self._connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


@dataclass(frozen=True)
class Command:
    name: str
    puts: float  # it may take so many
    more: float = 0.0  # and so many seconds, for what has to end


PUT = Command("put of 2 kB", 1)
REGISTERING = Command("REGISTER", 4)
RESERVING = Command("RESERVE", 7)
RELEASING = Command("RELEASE", 7)
PREEMPTING = Command("PREEMPT", 7)
ABORTING = Command("PREEMPT AND ABORT", 7)
DRAINING = Command("PREEMPT AND ABORT, 50 ms of drain", 7, DRAIN)
READING = Command("PR IN", 1)
COMMANDS = (REGISTERING, RESERVING, RELEASING, PREEMPTING, ABORTING, DRAINING, READING)
# Alone: what a command leaves for other hosts to do is done.
PAUSE = 0.03


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def putting(put: Putter) -> float:
    time.sleep(PAUSE)
    return timed(put)


def alone(nexus: Nexus, act: Callable[[], object]) -> float:
    """For who has sent it; the way to his process and back is not part of it."""
    time.sleep(PAUSE)
    act()
    return nexus.took()


def good(answer: str) -> None:
    assert answer == GOOD, answer


def drained(fencer: Nexus, victim: Nexus, key: int, other: int) -> float:
    """With a command on its way that ends DRAIN later."""
    time.sleep(PAUSE)
    epoch = victim.enter()
    assert epoch is not None
    fencer.begin_out(PREEMPT_AND_ABORT, key, other, WERO)
    time.sleep(DRAIN)
    victim.leave(epoch)
    good(fencer.hear())
    return fencer.took()


def commands(made: Site, rounds: int) -> dict[Command, list[float]]:
    """Seconds. a and b are on two hosts, and a third nexus, which is not registered, beside b: so it is
    shut by each reservation, on the other host for half of them."""
    put = Putter(made.etcd)
    a, b = made.nexus("a", 0, "u"), made.nexus("b", 1, "u")
    made.nexus("c", 1, "u")
    took: dict[Command, list[float]] = {each: [] for each in (PUT, *COMMANDS)}
    b.register(KEYS["b"])
    for _ in range(rounds):
        took[PUT].append(putting(put))
        took[REGISTERING].append(alone(a, lambda: a.register(KEYS["a"])))
        took[RESERVING].append(alone(a, lambda: good(a.out(RESERVE, KEYS["a"], 0, WERO))))
        took[READING].append(alone(a, lambda: a.ask("keys")))
        took[RELEASING].append(alone(a, lambda: good(a.out(RELEASE, KEYS["a"], 0, WERO))))
        good(a.out(RESERVE, KEYS["a"], 0, WERO))
        took[PUT].append(putting(put))
        took[PREEMPTING].append(alone(b, lambda: good(b.out(PREEMPT, KEYS["b"], KEYS["a"], WERO))))
        good(a.out(REGISTER_AND_IGNORE, 0, KEYS["a"]))
        took[ABORTING].append(alone(a, lambda: good(a.out(PREEMPT_AND_ABORT, KEYS["a"], KEYS["b"], WERO))))
        good(b.out(REGISTER_AND_IGNORE, 0, KEYS["b"]))
        took[DRAINING].append(drained(b, a, KEYS["b"], KEYS["a"]))
        good(b.out(RELEASE, KEYS["b"], 0, WERO))
    return took


def in_puts(took: dict[Command, list[float]], command: Command) -> list[float]:
    one = statistics.median(took[PUT])
    return [(each - command.more) / one for each in took[command]]


# --- Idle


def idle(made: Site, vms: int, seconds: float) -> float:
    """Requests a second and host, with so many VMs on each, which have a disk of their own."""
    for host in range(len(made.hosts)):
        for number in range(vms):
            made.nexus(f"{host}-{number}", host, f"disk{host}-{number}")
    time.sleep(SETTLE)
    before, began = made.requests(), time.monotonic()
    time.sleep(seconds)
    return (made.requests() - before) / (time.monotonic() - began) / len(made.hosts)


# --- A crowd


@dataclass(frozen=True)
class Usage:
    """Of processes, by now: seconds of a processor, and bytes that are in memory for them alone."""

    seconds: float
    memory: int


def usage(pids: list[int]) -> Usage:
    seconds, memory = 0.0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / TICKS
        pages = Path(f"/proc/{pid}/statm").read_text().split()
        memory += (int(pages[1]) - int(pages[2])) * PAGE
    return Usage(seconds, memory)


@dataclass(frozen=True)
class Crowd:
    nexuses: int
    hosts: int
    attached_in: float  # seconds
    seconds: float
    requests: float  # a second
    daemons: Usage  # all of them; seconds are those of a second
    etcd: Usage
    admitting: int  # nexuses, in the end
    lost: float  # memberships


# Each host uses so many of the units, and so many VMs there each of them.
UNITS, UNITS_OF_A_HOST = 20, 4


def fill(made: Site, nexuses: int) -> None:
    hosts = len(made.hosts)
    for number in range(nexuses):
        host, turn = number % hosts, number // hosts
        unit = (host + turn % UNITS_OF_A_HOST * (UNITS // UNITS_OF_A_HOST)) % UNITS
        made.nexus(f"n{number}", host, f"disk{unit}")


def crowd(made: Site, nexuses: int, seconds: float) -> Crowd:
    # Three descriptors each.
    least = 4 * nexuses + 1024
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(least, hard), hard))
    took = timed(lambda: fill(made, nexuses))
    time.sleep(SETTLE)
    daemons = [host.daemon.pid for host in made.hosts if host.daemon]
    members = [member.pid for member in made.etcd.members if member]

    def now() -> tuple[float, float, Usage, Usage]:
        return time.monotonic(), made.requests(), usage(daemons), usage(members)

    before = now()
    time.sleep(seconds)
    after = now()
    length = after[0] - before[0]
    return Crowd(
        nexuses,
        len(made.hosts),
        took,
        length,
        (after[1] - before[1]) / length,
        Usage((after[2].seconds - before[2].seconds) / length, after[2].memory),
        Usage((after[3].seconds - before[3].seconds) / length, after[3].memory),
        sum(nexus.admits() for nexus in made.nexuses),
        sum(host.metric("scsi_prd_lost_memberships_total") or 0 for host in made.hosts),
    )
