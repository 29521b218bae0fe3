# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a fencing takes when the victim's host has gone silent, with a command of the victim's on its
way: by each proof that it is gone, with D of 8 s."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts.host import Host
from hosts.nexus import GOOD, PREEMPT, PREEMPT_AND_ABORT, RESERVE
from hosts.nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO
from hosts.watchdog import Watchdog

from .many_hosts import KEYS, Site, good, site

WATCHDOG = 5  # seconds


@dataclass(frozen=True)
class Way:
    name: str
    action: int
    cluster: str = ""  # lines of the fencer's [cluster]


BY_WORD = Way("PREEMPT AND ABORT, confirmed at once", PREEMPT_AND_ABORT)
BY_WATCHDOG = Way(f"PREEMPT AND ABORT, watchdog of {WATCHDOG} s", PREEMPT_AND_ABORT, "proof=watchdog\n")
WAYS = (
    Way("PREEMPT", PREEMPT),
    BY_WORD,
    Way("PREEMPT AND ABORT, storage", PREEMPT_AND_ABORT, "proof=storage\nfence-command=/bin/true\n"),
    BY_WATCHDOG,
    Way("PREEMPT AND ABORT, lease", PREEMPT_AND_ABORT, "proof=lease\n"),
)


def restart(host: Host) -> None:
    host.configure()
    assert host.stop() == 0
    host.start()
    host.wait_joined(60)


@contextmanager
def watched(made: Site, way: Way) -> Iterator[None]:
    """The victim's host has a watchdog, if one is counted on."""
    if way is not BY_WATCHDOG:
        yield
        return
    victim = made.hosts[0]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        watchdog = Watchdog(Path(place) / "watchdog", WATCHDOG, lambda: (victim.kill(), made.nexuses[0].kill()))
        try:
            victim.more, victim.environment = watchdog.settings()
            restart(victim)
            yield
        finally:
            watchdog.close()


def confirm(made: Site) -> threading.Thread:
    """Somebody says it when the fencing begins."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def say() -> None:
        said = made.hosts[1].ask_tool("confirm-host-dead", made.hosts[0].name, "--boot-id", boot)
        assert said.returncode == 0, said.stderr

    thread = threading.Thread(target=say)
    thread.start()
    return thread


def fenced(place: str, way: Way) -> float:
    """Seconds until GOOD."""
    with site(place, 1, 2) as made, watched(made, way):
        if way.cluster:
            made.hosts[1].cluster = way.cluster
            restart(made.hosts[1])
        a, b = made.nexus("a", 0, "dead"), made.nexus("b", 1, "dead")
        a.register(KEYS["a"])
        b.register(KEYS["b"])
        good(a.out(RESERVE, KEYS["a"], 0, WERO))
        assert a.enter() is not None
        b.ask("patience 120000")
        made.hosts[0].freeze()
        began = time.monotonic()
        word = confirm(made) if way is BY_WORD else None
        b.begin_out(way.action, KEYS["b"], KEYS["a"], WERO)
        assert b.hear(150) == GOOD
        took = time.monotonic() - began
        if word:
            word.join()
        return took
