# SPDX-License-Identifier: GPL-2.0-or-later
"""Proofs that a silent host is gone: PREEMPT AND ABORT ends in GOOD by each, and not before."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

from guest.lib import host as machine

from .cluster import Cluster
from .host import TOOL
from .nexus import GOOD, PREEMPT_AND_ABORT
from .nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO
from .test_hosts import MakeCluster, reserved_by_a, until
from .watchdog import Watchdog

REFUSED = 3
AGENT = machine.ROOT / "hw/scsi/pr/agent/fence_scsi_pr_confirm"


def test_confirmed(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    boot_id = str(cluster.record_of("h1", "h2")["boot-id"])
    h2 = cluster.hosts["h2"]
    lives = h2.ask_tool("confirm-host-dead", "h1", "--boot-id", boot_id)
    assert lives.returncode == REFUSED and "host h1 lives" in lives.stderr, lives.stderr
    assert a.admits()

    # A command is on its way there when the host is off.
    assert a.enter() is not None
    a.kill()
    cluster.hosts["h1"].kill()
    b.ask("patience 1000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO).startswith("error 5")
    other = h2.ask_tool("confirm-host-dead", "h1", "--boot-id", "0" + boot_id[1:] + "x")
    assert other.returncode == REFUSED and f"is {boot_id}, not" in other.stderr, other.stderr
    # As /proc has it, too.
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    done = h2.ask_tool("confirm-host-dead", "h1", "--boot-id", boot_id, "--reason", "unplugged")
    assert done.returncode == 0 and "Proof: confirmed, " in done.stdout, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("on h2: unplugged"), done.stdout
    b.ask("patience 10000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert "proof: confirmed, " in h2.ask_tool("hosts").stdout
    assert h2.metric("scsi_prd_proofs_total") is not None
    metrics = h2.ask_tool("metrics").stdout
    assert 'scsi_prd_proofs_total{proof="confirmed"} 1' in metrics, metrics

    # When it is back it begins anew, and nobody's word counts any more.
    cluster.hosts["h1"].start()
    cluster.hosts["h1"].wait_joined()
    assert "proof" not in cluster.record_of("h1", "h2")


def fence_agent(cluster: Cluster, name: str, action: str, plug: str = "") -> subprocess.CompletedProcess[str]:
    """As Pacemaker calls it, on that host."""
    said = f"action={action}\nplug={plug}\nruntime_dir={cluster.hosts[name].runtime}\n"
    path = f"{TOOL.parent}:{os.environ['PATH']}"
    return subprocess.run(
        [AGENT], input=said, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )


def test_fence_agent(cluster_of: MakeCluster) -> None:
    """What Pacemaker has had switched off."""
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    metadata = ElementTree.fromstring(fence_agent(cluster, "h2", "metadata").stdout)
    assert {each.get("name") for each in metadata.iterfind("actions/action")} >= {"off", "reboot", "monitor", "status"}
    assert fence_agent(cluster, "h2", "monitor").returncode == 0
    assert fence_agent(cluster, "h2", "list").stdout.split() == ["h1,", "h2,"]
    lives = fence_agent(cluster, "h2", "off", "h1")
    assert lives.returncode == 1 and "host h1 lives" in lives.stderr, lives.stderr
    assert fence_agent(cluster, "h2", "status", "h1").returncode == 0
    assert fence_agent(cluster, "h2", "off", "h7").returncode == 1
    assert fence_agent(cluster, "h2", "off").returncode == 1
    assert a.enter() is not None
    a.kill()
    cluster.hosts["h1"].kill()
    off = fence_agent(cluster, "h2", "off", "h1")
    assert off.returncode == 0, off.stderr
    assert fence_agent(cluster, "h2", "status", "h1").returncode == 2
    assert str(cluster.record_of("h1", "h2")["proof-text"]).endswith("a fencing level of Pacemaker")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD


def test_storage(cluster_of: MakeCluster, directory: Path) -> None:
    """[cluster] fence-command, on the host that waits."""
    cluster = cluster_of(2)
    program, said = directory / "fence", directory / "said"
    program.write_text(f'#!/bin/sh\necho "$@" >>{said}\n')
    program.chmod(0o755)
    cluster.hosts["h2"].cluster = f"proof=storage\nfence-command={program}\n"
    cluster.hosts["h2"].restart()
    a, b = reserved_by_a(cluster)
    boot_id = cluster.record_of("h1", "h2")["boot-id"]
    assert a.enter() is not None
    cluster.cut("h1")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert said.read_text() == f"h1 {boot_id}\n"
    assert cluster.record_of("h1", "h2")["proof"] == "storage"
    cluster.mend("h1")
    log = cluster.hosts["h1"].log
    until(lambda: "was declared dead by h2, by the proof" in log.read_text(), 10)
    assert "; 1 commands are under way here; 1 on cluster:quorum of iqn.2026-11.example:a" in log.read_text()
    assert not a.admits()


def test_watchdog(cluster_of: MakeCluster, directory: Path) -> None:
    seconds = 5
    cluster = cluster_of(2)
    h1 = cluster.hosts["h1"]
    ends: list[float] = []

    def reset() -> None:
        h1.kill()
        a.kill()
        ends.append(time.monotonic())

    watchdog = Watchdog(directory / "watchdog", seconds, reset)
    try:
        h1.more, h1.environment = watchdog.settings()
        cluster.hosts["h1"].restart()
        cluster.hosts["h2"].cluster = "proof=watchdog\n"
        cluster.hosts["h2"].restart()
        a, b = reserved_by_a(cluster)
        # Its record says so with the next renewal.
        until(lambda: cluster.record_of("h1", "h2").get("watchdog-ms") == 1000 * seconds, 10)
        # In order: nobody counts on it any more, and nothing is reset.
        assert h1.stop() == 0 and watchdog.petted is None
        h1.start()
        h1.wait_joined()
        until(lambda: watchdog.petted is not None, 5)

        assert a.enter() is not None
        h1.freeze()
        b.ask("patience 60000")
        assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
        good = time.monotonic()
        assert len(ends) == 1 and ends[0] < good, (ends, good)
        assert cluster.record_of("h1", "h2")["proof"] == "watchdog"
    finally:
        watchdog.close()
