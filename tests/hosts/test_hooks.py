# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-pr-confirm: what Kubernetes and Proxmox HA know of a host that is gone is confirmed, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guest.lib import host as machine
from guest.lib.process import Child

from .cluster import Cluster
from .host import TOOL
from .nexus import GOOD, PREEMPT_AND_ABORT
from .nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO
from .test_hosts import MakeCluster, reserved_by_a, until

CONFIRM = machine.ROOT / "hw/scsi/pr/agent/hooks/scsi-pr-confirm"
TAINT = "node.kubernetes.io/out-of-service"
BOOT = "b" * 32
LONG = 60.0


@dataclass
class Site:
    """Of h2: its scsi-pr, which notes what it was asked, a kubectl, a directory like /etc/pve."""

    cluster: Cluster
    directory: Path
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bin, self.pve = self.directory / "bin", self.directory / "pve"
        self.bin.mkdir()
        self.asked, self.state = self.directory / "asked", self.directory / "seen.json"
        self.asked.touch()
        self.program("scsi-pr", f'echo "$@" >>{self.asked}\nexec {TOOL} "$@"')
        self.program("kubectl", f'while IFS= read -r line; do echo "$line"; done <{self.directory}/nodes.json')

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def count(self, command: str) -> int:
        return sum(line.startswith(command) for line in self.asked.read_text().splitlines())

    @property
    def environment(self) -> dict[str, str]:
        # So that the machine's own kubectl is not found.
        return {name: value for name, value in os.environ.items() if name != "PATH"} | {"PATH": str(self.bin)}

    def command(self, kind: str, *more: str) -> list[str]:
        return [str(CONFIRM), kind, "--runtime-dir", str(self.cluster.hosts["h2"].runtime), *more]

    def start(self, kind: str, *more: str) -> Path:
        """Its log."""
        log = self.directory / f"confirm-{len(self.children)}.log"
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        self.children.append(Child(["env", "-i", *environment, *self.command(kind, "--interval", "0.2", *more)], log))
        return log

    def looks(self, times: int = 2) -> None:
        """Until what is there now was looked at; the last one may have begun before."""
        before = self.count("hosts")
        until(lambda: self.count("hosts") > before + times, LONG)

    def close(self) -> None:
        for child in self.children:
            if child.code is None:
                child.kill()

    # --- Kubernetes

    def set_node(self, ready: str, tainted: bool, boot: str, name: str = "h1") -> None:
        taints = [{"key": TAINT, "value": "nodeshutdown", "effect": "NoExecute"}] if tainted else []
        self.nodes[name] = {
            "metadata": {"name": name},
            "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}, *taints]},
            "status": {"nodeInfo": {"bootID": boot}, "conditions": [{"type": "Ready", "status": ready}]},
        }
        self.write("nodes.json", json.dumps({"items": list(self.nodes.values())}) + "\n")

    def write(self, name: str, text: str) -> None:
        """As pmxcfs does: whoever reads has all of it."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)

    def once(self, *more: str) -> tuple[int, str]:
        command = self.command("kubernetes", "--once", "--state", str(self.state), *more)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180, check=False)
        return done.returncode, done.stderr

    # --- Proxmox VE

    def set_ha(self, state: str, service: tuple[str, str], wrote: int) -> None:
        lrm = {"state": "active", "mode": "active", "timestamp": wrote, "results": {}}
        self.write("pve/nodes/h1/lrm_status", json.dumps(lrm))
        status = {
            "master_node": "h2",
            "node_status": {"h1": state, "h2": "online", "h9": "online"},
            "service_status": {"vm:100": {"state": service[0], "node": service[1], "uid": "x"}},
            "timestamp": int(time.time()),
        }
        self.write("pve/ha/manager_status", json.dumps(status))


@pytest.fixture
def site(cluster_of: MakeCluster, directory: Path) -> Iterator[Site]:
    made = Site(cluster_of(2), directory)
    yield made
    made.close()


def dashed(boot: str) -> str:
    """As Kubernetes has it."""
    digits = boot.replace("-", "")
    return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])


def test_kubernetes(site: Site) -> None:
    boot = dashed(str(site.cluster.record_of("h1", "h2")["boot-id"]))
    a, b = reserved_by_a(site.cluster)
    site.set_node("True", False, boot)
    assert site.once() == (0, "")
    site.set_node("True", True, boot)
    code, said = site.once()
    assert code == 1 and "Ready was True" in said, said
    assert site.count("confirm-host-dead") == 0

    # The host lives, whatever is said of it: that word does not count later either.
    site.set_node("Unknown", False, boot)
    assert site.once() == (0, "")
    site.set_node("Unknown", True, boot)
    code, said = site.once()
    assert code == 1 and "host h1 lives" in said, said
    assert a.enter() is not None
    a.kill()
    site.cluster.hosts["h1"].kill()
    code, said = site.once()
    assert code == 1 and "host h1 lives" in said, said
    assert site.count("confirm-host-dead") == 1
    b.ask("patience 1000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO).startswith("error 5")

    site.set_node("Unknown", False, boot)
    assert site.once() == (0, "")
    site.set_node("Unknown", True, boot)
    code, said = site.once()
    assert code == 0 and "host h1 is confirmed dead" in said, said
    record = site.cluster.record_of("h1", "h2")
    assert record["proof"] == "confirmed"
    assert str(record["proof-text"]).endswith("out-of-service taint of node h1, nodeshutdown:NoExecute"), record
    b.ask("patience 10000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert site.once() == (0, "")
    assert site.count("confirm-host-dead") == 2


def test_kubernetes_of_another_boot_or_host(site: Site) -> None:
    boot = str(site.cluster.record_of("h1", "h2")["boot-id"])
    other = "0" * 8 + boot[8:]
    site.cluster.hosts["h1"].kill()
    for tainted in (False, True):
        site.set_node("Unknown", tainted, other)
        site.set_node("Unknown", tainted, boot, "stranger")
        code, said = site.once()
        assert code == int(tainted), said
    assert "the boot of host h1 is " in said and "there is no other host stranger" in said, said
    assert site.count("confirm-host-dead") == 0
    # Of a node by another name.
    code, said = site.once("--host", "stranger=h1")
    assert code == 1 and "has joined again" in said, said
    assert site.count("confirm-host-dead") == 0 and "proof" not in site.cluster.record_of("h1", "h2")


def test_kubernetes_errors(site: Site) -> None:
    site.write("nodes.json", "{ this is not\n")
    code, said = site.once()
    assert code == 1 and "kubectl get nodes says something that is not understood" in said, said
    site.write("nodes.json", '{"items": [{"metadata": {}}]}\n')
    code, said = site.once()
    assert code == 1 and "not understood: KeyError" in said, said
    site.state.write_text("[")
    site.set_node("True", False, BOOT)
    code, said = site.once()
    assert code == 0 and "cannot be read, all nodes count as never looked at" in said, said
    site.program("kubectl", 'echo "connection refused" >&2\nexit 1')
    code, said = site.once()
    assert code == 1 and "kubectl get nodes: connection refused" in said, said
    (site.bin / "kubectl").unlink()
    code, said = site.once()
    assert code == 1 and "kubectl is not installed" in said, said
    # As a service it says it once, and goes on.
    log = site.start("kubernetes")
    site.looks(4)
    assert log.read_text().count("kubectl is not installed") == 1, log.read_text()
    site.cluster.hosts["h2"].kill()
    until(lambda: "scsi-pr hosts: " in log.read_text(), LONG)
    (site.bin / "scsi-pr").unlink()
    until(lambda: "scsi-pr is not installed" in log.read_text(), LONG)
    assert site.children[0].code is None


def test_wrong_usage(site: Site) -> None:
    for words in (["kubernetes", "--once"], ["kubernetes", "--host", "h1"], ["proxmox", "--interval", "0"], []):
        done = subprocess.run([CONFIRM, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and "error: " in done.stderr, (words, done.stderr)


def test_kubernetes_as_a_service(site: Site) -> None:
    boot = str(site.cluster.record_of("h1", "h2")["boot-id"])
    site.set_node("True", False, boot)
    log = site.start("kubernetes")
    site.looks()
    site.cluster.hosts["h1"].kill()
    site.set_node("Unknown", True, boot)
    until(lambda: site.cluster.record_of("h1", "h2").get("proof") == "confirmed", LONG)
    until(lambda: "host h1 is confirmed dead" in log.read_text(), LONG)
    site.looks()
    assert site.count("confirm-host-dead") == 1 and len(log.read_text().splitlines()) == 1, log.read_text()


def armed(site: Site, *more: str) -> tuple[Path, int]:
    """The hook runs and has seen h1 with a watchdog: its log, and when the LRM has last written."""
    joined = int(str(site.cluster.record_of("h1", "h2")["joined"]))
    site.set_ha("online", ("started", "h1"), joined + 10)
    log = site.start("proxmox", "--pve", str(site.pve), *more)
    site.looks()
    site.set_ha("online", ("started", "h1"), joined + 20)
    site.looks()
    return log, joined + 20


def test_proxmox(site: Site) -> None:
    a, b = reserved_by_a(site.cluster)
    log, wrote = armed(site, "--grace", "1")
    assert a.enter() is not None
    a.kill()
    site.cluster.hosts["h1"].kill()
    site.set_ha("unknown", ("started", "h1"), wrote)
    site.looks()
    site.set_ha("fence", ("fence", "h1"), wrote)
    site.looks(5)
    assert site.count("confirm-host-dead") == 0
    b.ask("patience 1000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO).startswith("error 5")
    site.set_ha("unknown", ("started", "h2"), wrote)
    until(lambda: site.cluster.record_of("h1", "h2").get("proof") == "confirmed", LONG)
    b.ask("patience 10000")
    assert b.out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO) == GOOD
    assert str(site.cluster.record_of("h1", "h2")["proof-text"]).endswith("Proxmox HA has fenced node h1 (watchdog)")
    site.looks()
    assert site.count("confirm-host-dead") == 1
    assert log.read_text().count("host h1 is confirmed dead") == 1 == len(log.read_text().splitlines()), log.read_text()


def test_proxmox_and_a_host_that_lives(site: Site) -> None:
    """Whatever the manager says."""
    log, wrote = armed(site, "--grace", "0")
    site.set_ha("fence", ("fence", "h1"), wrote)
    site.looks()
    site.set_ha("unknown", ("recovery", "h1"), wrote)
    until(lambda: "host h1 lives" in log.read_text(), LONG)
    site.cluster.hosts["h1"].kill()
    site.looks(5)
    assert site.count("confirm-host-dead") == 1 == len(log.read_text().splitlines()), log.read_text()
    assert "proof" not in site.cluster.record_of("h1", "h2")


def test_proxmox_waits_and_looks_again(site: Site) -> None:
    """A host that has joined again after the acknowledgement is let be."""
    log, wrote = armed(site, "--grace", "600")
    h1 = site.cluster.hosts["h1"]
    h1.kill()
    site.set_ha("fence", ("fence", "h1"), wrote)
    site.looks()
    site.set_ha("unknown", ("recovery", "h1"), wrote)
    site.looks(5)
    assert site.count("confirm-host-dead") == 0 and log.read_text() == ""
    # Without its record it joins anew; else it would go on with the incarnation that it had.
    incarnation = site.cluster.record_of("h1", "h2")["incarnation"]
    assert site.cluster.hosts["h2"].ask_tool("forget-host", "h1").returncode == 0
    h1.start()
    h1.wait_joined()
    assert site.cluster.record_of("h1", "h2")["incarnation"] != incarnation
    site.looks()
    assert site.count("confirm-host-dead") == 0


def test_proxmox_errors(site: Site) -> None:
    log = site.start("proxmox", "--pve", str(site.pve))
    for text, said in {
        "": "manager_status cannot be read: [Errno 2]",
        "{": "manager_status cannot be read: Expecting",
        "[]": "manager_status is not understood: it is no object",
        '{"node_status": 1}': "manager_status is not understood: AttributeError",
        '{"node_status": {"h1": "online"}}': "what the LRM of node h1 has written is not understood",
    }.items():
        if text:
            site.write("pve/ha/manager_status", text)
        until(lambda: said in log.read_text(), LONG)
        site.looks()
        assert log.read_text().count(said) == 1, log.read_text()
    # With a status of its LRM that nobody understands, and a fencing.
    site.write("pve/ha/manager_status", '{"node_status": {"h1": "fence"}}')
    until(lambda: "Proxmox HA fences node h1" in log.read_text(), LONG)
    site.write("pve/ha/manager_status", '{"node_status": {"h1": "fence"}, "disarm": {"state": "disarmed"}}')
    site.looks()
    assert site.count("confirm-host-dead") == 0 and site.children[0].code is None
