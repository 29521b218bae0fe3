# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacemaker, Corosync and fence_scsi: the demo, and a network that is cut."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.expect import conflict, good
from guest.lib.scsi import Initiator

from .cluster import DEVICE, FENCE_TIMEOUT, FORM_TIMEOUT, Cluster, key_of

ONLY_NEWEST_QEMU = True

# In the fencing of Debian 13's fence_scsi.
REGISTERS_FIRST = "register_dev(options, dev, host_key)"


def test_demo(qemu: Path, tmp_path: Path) -> None:
    """Its last chapter is that the disk holds nothing of a fenced node."""
    env = {"TMPDIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    command: list[str | Path] = [host.ROOT / "scripts/demo-cluster", "--qemu", qemu]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert done.stdout.count("RESERVATION CONFLICT") == 2
    assert list(tmp_path.iterdir()) == [], "after success nothing is left behind"


def test_network_cut(cluster: Cluster) -> None:
    """Both nodes live, neither sees the other, and each fences the other: the disk decides. One is
    left, has the service and writes; the other's writes fail."""
    names = list(cluster.nodes)
    node1 = cluster.nodes["node1"]
    if node1.run(f"grep -q '{REGISTERS_FIRST}' /usr/sbin/fence_scsi").code == 0:
        pytest.skip("this fence_scsi registers before it preempts: who was fenced first fences back")
    cluster.start()
    node1.await_("both online", lambda: cluster.online("node1") == names, FORM_TIMEOUT)
    cluster.configure()
    node1.await_("it writes", lambda: cluster.blocks()[:1] == ["node1"], FENCE_TIMEOUT)
    keys = [key_of(node.number) for node in cluster.nodes.values()]
    assert cluster.keys("node1") == keys

    cluster.switch.cut(0)
    node1.await_("one is fenced", lambda: len(cluster.keys("node1")) == 1, FENCE_TIMEOUT)
    left = names[keys.index(cluster.keys("node1")[0])]
    (fenced,) = set(names) - {left}
    survivor = cluster.nodes[left]
    survivor.await_("it has the service", lambda: cluster.runs_on("writer", left) == [left], FENCE_TIMEOUT)
    before = len(cluster.blocks())
    survivor.await_("it writes", lambda: len(cluster.blocks()) > before, FENCE_TIMEOUT)

    conflict(Initiator(cluster.nodes[fenced], DEVICE).write("fenced", 8000))
    good(Initiator(survivor, DEVICE).write("survivor", 8000))
    assert cluster.keys(left) == [key_of(survivor.number)], "nobody was fenced twice"
    assert set(cluster.blocks()[before:]) == {left}
    blocks = cluster.blocks()
    assert blocks == sorted(blocks), "after the first block of node2 there is none of node1"
