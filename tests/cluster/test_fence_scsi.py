# SPDX-License-Identifier: GPL-2.0-or-later
"""fence_scsi as it is in Debian's package, run in two nodes of a Corosync cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, drain, good
from guest.lib.scsi import Initiator

from .cluster import CLUSTER_NAME, DEVICE, Cluster, key_of
from .node import Node

ONLY_NEWEST_QEMU = True

# Exit codes of a fence agent's `status`.
ON, OFF = 0, 2
# Where the agent keeps the node's key; the name depends on its version.
KEY_FILE = "$(find /run/cluster* -name '*.key')"


@pytest.fixture(scope="module")
def booted(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("fence_scsi"), qemu)
    try:
        cluster.boot()
        cluster.start("corosync")
        yield cluster
    finally:
        cluster.close()


def clear(cluster: Cluster) -> None:
    """By the administrator. The nodes that were registered get a unit attention condition."""
    node, *_ = cluster.nodes.values()
    (device,) = node.qmp.execute("query-scsi-pr")
    node.qmp.complete("scsi-pr-clear", {"device": device["path"]})


@pytest.fixture
def cluster(booted: Cluster) -> Cluster:
    """Nothing is registered, no condition waits, and no agent has run."""
    clear(booted)
    for node in booted.nodes.values():
        drain(Initiator(node, DEVICE))
        node.run("rm -rf /run/cluster*", check=True)
    return booted


def agent(node: Node, options: str) -> Result:
    return node.run(f"fence_scsi -d {DEVICE} {options}")


def on(cluster: Cluster, options: str = "") -> None:
    """Both nodes unfence themselves."""
    for name, node in cluster.nodes.items():
        done = agent(node, f"-o on -n {name} {options}")
        assert done.code == 0, str(done)


def test_on(cluster: Cluster) -> None:
    on(cluster)
    assert cluster.keys("node1") == [key_of(1), key_of(2)]
    assert cluster.holder("node2") == key_of(1)
    for name, node in cluster.nodes.items():
        assert node.out(f"cat {KEY_FILE}") == f"{key_of(node.number):x}\n"
        for other in cluster.nodes.values():
            assert agent(other, f"-o status -n {name}").code == ON
        assert agent(node, "-o monitor").code == 0
        good(Initiator(node, DEVICE).write("member", 0))
    assert cluster.query("node1")["state"]["aptpl"] is False


def test_condition_waits(cluster: Cluster) -> None:
    """The agent gets it out of the way with sg_turs, where that sends a command."""
    on(cluster)
    clear(cluster)
    on(cluster, "--sg_turs-path=/usr/local/sbin/sg_turs")


def test_keys_from_names(cluster: Cluster) -> None:
    """key_value=hash"""
    on(cluster, "--key-value=hash")
    names = [hashlib.md5(text.encode()).hexdigest()[:4] for text in (CLUSTER_NAME, *cluster.nodes)]
    assert cluster.keys("node1") == sorted(int(names[0] + each, 16) for each in names[1:])


def test_aptpl(cluster: Cluster) -> None:
    on(cluster, "--aptpl")
    assert cluster.query("node1")["state"]["aptpl"] is True


@pytest.mark.parametrize("fencer, victim", [("node1", "node2"), ("node2", "node1")])
def test_off(cluster: Cluster, fencer: str, victim: str) -> None:
    """The holder fences the other one, and is fenced by it; who was fenced comes back by `on`."""
    on(cluster)
    a, b = cluster.nodes[fencer], cluster.nodes[victim]
    fenced = agent(a, f"-o off -n {victim}")
    assert fenced.code == 0, str(fenced)

    assert cluster.keys(fencer) == [key_of(a.number)]
    assert cluster.holder(victim) == key_of(a.number)
    conflict(Initiator(b, DEVICE).write("fenced", 0))
    good(Initiator(a, DEVICE).write("survivor", 0))
    assert agent(a, f"-o status -n {victim}").code == OFF
    assert agent(b, f"-o status -n {victim}").code == OFF
    # The script for the watchdog daemon: its exit code 2 has the node rebooted.
    check = "/usr/share/cluster/fence_scsi_check"
    assert (a.run(check).code, b.run(check).code) == (0, 2)

    assert agent(b, f"-o on -n {victim}").code == 0
    assert b.run(check).code == 0
    good(Initiator(b, DEVICE).write("unfenced", 0))


def test_off_again(cluster: Cluster) -> None:
    """A node that is fenced already: the agent finds it so, and is content."""
    on(cluster)
    for _ in range(2):
        assert agent(cluster.nodes["node2"], "-o off -n node1").code == 0
    assert cluster.keys("node1") == [key_of(2)]


def test_nobody_fences_himself(cluster: Cluster) -> None:
    on(cluster)
    refused = agent(cluster.nodes["node1"], "-o off -n node1")
    assert refused.code == 1 and "keys cannot be same" in refused.err, str(refused)
    assert cluster.keys("node1") == [key_of(1), key_of(2)]
