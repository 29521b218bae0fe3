# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs on hosts: they migrate with their registrations, are fenced wherever they are, and by what is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest.lib import disk, host
from guest.lib.migration import Migration, migrate
from guest.lib.scsi import CONFLICT, GOOD, Initiator, outcome
from guest.lib.vm import VM, boot

from .cluster import Cluster
from .etcd import why_no_etcd
from .network import why_no_network

ONLY_NEWEST_QEMU = True

KEY_A, KEY_B, KEY_C, KEY_D = 0xA, 0xB, 0xC, 0xD


class Pair:
    """A on h1 holds the reservation, B on h2 is registered."""

    def __init__(self, cluster: Cluster, directory: Path, binary: Path) -> None:
        self.cluster, self.hosts = cluster, cluster.hosts
        self.image = disk.create(directory / "quorum.img")
        self.a = VM("A", [self.hosts["h1"].disk(self.image)], binary=binary)
        self.b = VM("B", [self.hosts["h2"].disk(self.image)], binary=binary)
        boot([self.a, self.b])
        for vm, key in ((self.a, KEY_A), (self.b, KEY_B)):
            assert outcome(Initiator(vm).register_and_ignore(key)) == GOOD
        assert outcome(Initiator(self.a).reserve(KEY_A)) == GOOD

    def go_to(self, name: str) -> None:
        self.a = migrate(self.a, disks=[self.hosts[name].disk(self.image)])

    def fence(self) -> None:
        assert outcome(Initiator(self.b).preempt_and_abort(KEY_B, KEY_A)) == GOOD

    def write(self) -> str:
        """Of A, behind the unit attention condition that it may have."""
        a = Initiator(self.a)
        a.test_unit_ready()
        return outcome(a.write("A", 1))

    def close(self) -> None:
        self.a.close()
        self.b.close()


@pytest.fixture
def pair(cluster_of: Callable[..., Cluster], tmp_path: Path, qemu: Path) -> Iterator[Pair]:
    made = Pair(cluster_of(2, duration=8), tmp_path, qemu)
    yield made
    made.close()


def test_a_vm_goes_to_another_host_and_back(pair: Pair) -> None:
    for name in ("h2", "h1"):
        pair.go_to(name)
        assert pair.write() == GOOD
    pair.fence()
    assert pair.write() == CONFLICT


def test_a_vm_that_has_gone_to_another_host_is_fenced_there(pair: Pair) -> None:
    pair.go_to("h2")
    pair.fence()
    assert pair.write() == CONFLICT


def test_a_vm_that_is_fenced_on_its_way_stays_fenced(pair: Pair) -> None:
    migration = Migration(pair.a, disks=[pair.hosts["h2"].disk(pair.image)])
    pair.fence()
    migration.begin()
    pair.a = migration.finish()
    assert pair.write() == CONFLICT


def test_what_a_fencing_rests_on_is_told(pair: Pair) -> None:
    """By the QEMU that fences, for its guest and for an administrator; where all answer, nothing is."""
    c, d = pair.cluster.nexus("c", "h1"), pair.cluster.nexus("d", "h1")
    c.register(KEY_C)
    d.register(KEY_D)
    qmp = pair.b.qmp

    def preempt(key: int) -> None:
        qmp.complete("scsi-pr-preempt", {"device": "disk0", "key": hex(key)})

    preempt(KEY_D)
    boot_id = str(pair.cluster.record_of("h1", "h2")["boot-id"])
    pair.hosts["h1"].kill()
    word = pair.hosts["h2"].ask_tool("confirm-host-dead", "h1", "--boot-id", boot_id, "--reason", "unplugged")
    assert word.returncode == 0, word.stdout + word.stderr
    qmp.execute("query-status")
    assert "SCSI_PR_PROVED" not in [event["event"] for event in qmp.events]

    pair.fence()
    told = qmp.wait_event("SCSI_PR_PROVED")["data"]
    assert (told["device"], told["count"]) == ("disk0", 1), told
    (proof,) = told["proofs"]
    assert (proof["host"], proof["proof"]) == ("h1", "confirmed"), proof
    assert proof["text"].endswith("on h2: unplugged"), proof
    preempt(KEY_C)
    assert qmp.wait_event("SCSI_PR_PROVED")["data"]["proofs"] == [proof]


def test_demo(qemu: Path) -> None:
    if why := why_no_network() or why_no_etcd():
        pytest.skip(why)
    command: list[str | Path] = [host.ROOT / "scripts/demo-hosts", "--qemu", qemu]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("RESERVATION CONFLICT") == 5
    assert "proof: confirmed" in done.stdout
