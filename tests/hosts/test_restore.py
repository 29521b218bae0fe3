# SPDX-License-Identifier: GPL-2.0-or-later
"""An etcd that was put back, or is another one, is not believed until somebody says so; and hosts that
are gone for ever. What an administrator does is that of docs/many-hosts-setup.md."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .cluster import Cluster
from .host import Host
from .nexus import GOOD, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, RESERVE, Nexus
from .nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO
from .test_hosts import REGISTRATIONS_PREEMPTED, reserved_by_a, until

MakeCluster = Callable[..., Cluster]
pytestmark = pytest.mark.skipif(not shutil.which("etcdctl"), reason="there is no etcdctl; scripts/deps etcd installs it")

REFUSED = 3


def refusals(host: Host) -> list[str]:
    """What its log says of it."""
    return [line for line in host.log.read_text().splitlines() if "the store is not the one that it was" in line]


# Who sees it first: the host, or who looks after the disk.
OF_A_DISK = r"|it has version \d+ of cluster:quorum, but"
PUT_BACK = "its revision has gone back" + OF_A_DISK


def wait_refused(cluster: Cluster, why: str) -> None:
    """All hosts: each says it once, with what to do, and `scsi-pr hosts` there says it, too."""
    for host in cluster.hosts.values():
        until(lambda host=host: bool(refusals(host)), 10)  # type: ignore[misc]
        (said,) = refusals(host)
        assert re.search(why, said) and "scsi-pr accept-restore" in said, said
        assert "declared dead" not in host.log.read_text()
        told = host.ask_tool("hosts")
        assert told.returncode == 0 and re.search(why, told.stdout), told.stdout + told.stderr


def accept(cluster: Cluster, name: str = "h1") -> None:
    accepted = cluster.hosts[name].ask_tool("accept-restore")
    assert accepted.returncode == 0 and "Accepted" in accepted.stdout, accepted.stdout + accepted.stderr
    for host in cluster.hosts.values():
        host.wait_joined()
    # There is nothing left to accept.
    again = cluster.hosts[name].ask_tool("accept-restore")
    assert again.returncode == REFUSED and "nothing to accept" in again.stderr, again.stderr


def begin_anew(cluster: Cluster, *nexuses: Nexus) -> None:
    """Nobody gets in before it is accepted; then there is no registration, and all do."""
    assert not any(nexus.admits() for nexus in nexuses)
    accept(cluster)
    for each in nexuses:
        until(lambda each=each: each.ask("keys") == "-", 10)  # type: ignore[misc]
        until(each.admits, 5)


def put_back(cluster: Cluster, directory: Path) -> tuple[Nexus, Nexus]:
    """a is registered in the backup; b has registered since, and preempted a."""
    a, b = cluster.nexus("a", "h1"), cluster.nexus("b", "h2")
    a.register(0xA)
    cluster.etcd.save(directory / "backup.db")
    b.register(0xB)
    assert b.out(PREEMPT, 0xB, 0xA, WERO) == GOOD
    assert b.out(RESERVE, 0xB, 0, WERO) == GOOD
    until(lambda: REGISTRATIONS_PREEMPTED in a.attentions(), 5)
    cluster.etcd.put_back(directory / "backup.db")
    return a, b


@pytest.mark.parametrize("members", [1, 3])
def test_a_backup_that_was_put_back(cluster_of: MakeCluster, directory: Path, members: int) -> None:
    cluster = cluster_of(2, members=members)
    a, b = put_back(cluster, directory)
    wait_refused(cluster, PUT_BACK)
    for each in (a, b):
        assert not each.admits()
        assert each.ask("keys").startswith("error")
    # Nor by a daemon that is started again, however often etcd is written to meanwhile.
    cluster.hosts["h1"].kill()
    cluster.hosts["h1"].start()
    until(lambda: len(refusals(cluster.hosts["h1"])) == 2, 10)
    assert not a.admits() and not b.admits()
    accept(cluster, "h2")
    # It goes on with what was restored.
    for each in (a, b):
        until(lambda each=each: each.ask("keys") == "10", 10)  # type: ignore[misc]
        until(each.admits, 5)
    b.register(0xB)
    assert b.out(RESERVE, 0xB, 0, WERO) == GOOD
    a.attentions()
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert not a.admits()
    assert REGISTRATIONS_PREEMPTED in a.attentions()


def test_an_empty_etcd_under_the_same_names(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    cluster.etcd.put_back(None)
    wait_refused(cluster, "it is empty" + OF_A_DISK)
    begin_anew(cluster, a, b)


def test_the_etcd_of_another_cluster(cluster_of: MakeCluster, directory: Path) -> None:
    """Its hosts have another life, whatever the names are."""
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    stranger = Host("h3", directory / "h3", [cluster.proxies["h1"][0].endpoint], duration=cluster.duration)
    for host in cluster.hosts.values():
        host.freeze()
    cluster.etcd.put_back(None)
    stranger.start()
    stranger.wait_joined()
    assert stranger.stop() == 0
    for host in cluster.hosts.values():
        host.thaw()
    wait_refused(cluster, "another cluster" + OF_A_DISK)
    begin_anew(cluster, a, b)


def test_put_back_while_nobody_has_the_disk(cluster_of: MakeCluster, directory: Path) -> None:
    """The daemons run, and see it by themselves."""
    cluster = cluster_of(2)
    cluster.etcd.save(directory / "backup.db")
    reserved_by_a(cluster)
    for nexus in cluster.nexuses:
        nexus.close()
    for host in cluster.hosts.values():
        until(lambda host=host: "cluster:quorum" not in host.ask_tool("list", "cluster:").stdout, 20)  # type: ignore[misc]
    cluster.etcd.put_back(directory / "backup.db")
    wait_refused(cluster, PUT_BACK)
    refused = cluster.start_nexus("a", "h1")
    assert refused.opened.startswith("error") and "not the one that it was" in refused.opened, refused.opened
    accept(cluster)
    assert cluster.nexus("a", "h1").ask("keys") == "-"


def write_on(cluster: Cluster, times: int) -> None:
    """Whoever else uses that etcd."""
    for _ in range(times):
        cluster.etcd.post("/v3/kv/put", {"key": "b3RoZXI=", "value": "MQ=="})


def test_put_back_while_all_hosts_were_off(cluster_of: MakeCluster, directory: Path) -> None:
    """And its revision is higher than before: what each host remembers of its disks tells."""
    cluster = cluster_of(2)
    a, _ = reserved_by_a(cluster)
    cluster.etcd.save(directory / "backup.db")
    assert a.out(PREEMPT, 0xA, 0xB, WERO) == GOOD
    time.sleep(1.5)  # what is newer may be forgotten by who loses power
    for nexus in cluster.nexuses:
        nexus.close()
    for host in cluster.hosts.values():
        host.kill()
    cluster.etcd.put_back(directory / "backup.db")
    write_on(cluster, 200)
    # They look at what they had attached.
    for host in cluster.hosts.values():
        host.start()
        until(lambda host=host: bool(refusals(host)), 15)  # type: ignore[misc]
        (said,) = refusals(host)
        assert "version 4 of cluster:quorum, but version 5 was in force" in said, said
    b = cluster.start_nexus("b", "h2")
    assert b.opened.startswith("error") and "not the one that it was" in b.opened, b.opened
    accept(cluster, "h2")
    assert cluster.nexus("b", "h2").ask("keys") == "10,11"


# --- Hosts that are gone


def hosts_of(host: Host) -> dict[str, dict[str, Any]]:
    asked = host.ask_tool("hosts", "--output=json")
    assert asked.returncode == 0, asked.stderr
    return {each["name"]: each for each in json.loads(asked.stdout)["hosts"]}


def test_since_when_and_last_contact(cluster_of: MakeCluster) -> None:
    began = time.time()
    cluster = cluster_of(2)
    h1 = cluster.hosts["h1"]
    a, b = reserved_by_a(cluster)
    time.sleep(3)
    first = hosts_of(h1)
    for each in first.values():
        assert began - 1 <= each["joined"] <= time.time(), each
    # A host that is well writes nothing; of itself each one knows that etcd answers.
    assert first["h1"]["contact-ms"] < 2500 < first["h2"]["contact-ms"], first
    text = h1.ask_tool("hosts").stdout
    assert len(re.findall(r"  h\d +alive +since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d +last contact \d+\.\d s +boot ", text)) == 2, text
    cluster.cut("h2")
    assert a.out(PREEMPT, 0xA, 0xB, WERO) == GOOD
    dead = hosts_of(h1)["h2"]
    assert dead["state"] == "dead" and dead["joined"] == first["h2"]["joined"], dead
    assert dead["contact-ms"] > first["h2"]["contact-ms"], dead
    cluster.mend("h2")
    until(lambda: hosts_of(h1)["h2"]["state"] == "alive", 20)
    back = hosts_of(h1)["h2"]
    assert back["joined"] > first["h2"]["joined"] and back["contact-ms"] < 5000, back
    assert not b.admits()


def test_a_host_that_lives_is_not_forgotten(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    before = hosts_of(cluster.hosts["h1"])
    for name in ("h1", "h2"):
        refused = cluster.hosts["h1"].ask_tool("forget-host", name)
        assert refused.returncode == REFUSED and f"host {name} lives: it has answered" in refused.stderr, refused.stderr
    assert a.admits() and b.ask("keys") == "10,11"
    after = hosts_of(cluster.hosts["h1"])
    assert {name: each["incarnation"] for name, each in before.items()} == {
        name: each["incarnation"] for name, each in after.items()
    }
    unknown = cluster.hosts["h1"].ask_tool("forget-host", "h7")
    assert unknown.returncode == REFUSED and "there is no host h7" in unknown.stderr, unknown.stderr


def test_a_dead_host_is_forgotten(cluster_of: MakeCluster) -> None:
    """And its VM goes on elsewhere, as it would if it were only dead."""
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    b.kill()
    cluster.hosts["h2"].kill()
    began = time.monotonic()
    done = cluster.hosts["h1"].ask_tool("forget-host", "h2")
    assert done.returncode == 0 and "Forgotten: h2" in done.stdout, done.stdout + done.stderr
    assert time.monotonic() - began < cluster.duration + 4
    assert set(hosts_of(cluster.hosts["h1"])) == {"h1"}
    assert a.admits()
    c = cluster.nexus("c", "h1")
    c.register(0xC)
    # What was attached there has nothing more to say, but what it had on its way may be.
    c.ask("patience 1000")
    assert c.out(PREEMPT_AND_ABORT, 0xC, 0xB, WERO).startswith("error 5")
    assert c.out(PREEMPT, 0xC, 0xB, WERO) == GOOD
    moved = cluster.nexus("b", "h1")
    assert moved.ask("keys") == "10,12"
    assert not moved.admits()


def test_a_forgotten_host_comes_back(cluster_of: MakeCluster) -> None:
    cluster = cluster_of(2)
    a, b = reserved_by_a(cluster)
    cluster.cut("h2")
    done = cluster.hosts["h1"].ask_tool("forget-host", "h2")
    assert done.returncode == 0, done.stderr
    assert not b.admits()
    assert a.out(PREEMPT, 0xA, 0xB, WERO) == GOOD
    cluster.mend("h2")
    cluster.hosts["h2"].wait_joined()
    until(lambda: REGISTRATIONS_PREEMPTED in b.attentions(), 10)
    assert not b.admits()
    # What was sent while it was cut off may time out still: BUSY.
    until(lambda: b.out(REGISTER_AND_IGNORE, 0, 0xB) == GOOD, 10)
    assert a.out(PREEMPT_AND_ABORT, 0xA, 0xB, WERO) == GOOD
