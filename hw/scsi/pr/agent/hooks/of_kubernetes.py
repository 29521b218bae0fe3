# SPDX-License-Identifier: GPL-2.0-or-later
"""Kubernetes: somebody has given a node the taint that says it is out of service."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from confirming import Cluster, Doubt, Record, Voice, Wrong, ask, digits, refusal

TAINT = "node.kubernetes.io/out-of-service"
# Seconds after which nobody knows what has happened since a node was looked at.
LOOKS_LAST = 300

# A word that is given, or not; or that says nothing of this boot.
NONE, GIVEN, VOID = "none", "given", "void"


@dataclass(frozen=True)
class Node:
    name: str
    boot: str
    ready: str  # of its condition: True, False, Unknown
    taint: str | None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Node:
        found = [each for each in item["spec"].get("taints") or [] if each["key"] == TAINT]
        ready = [each["status"] for each in item["status"].get("conditions") or [] if each["type"] == "Ready"]
        taint = f"{found[0].get('value', '')}:{found[0]['effect']}" if found else None
        boot = digits(item["status"].get("nodeInfo", {}).get("bootID", ""))
        return cls(item["metadata"]["name"], boot, ready[0] if ready else "not there", taint)


@dataclass(frozen=True)
class Seen:
    """Whether somebody has given his word that this boot of a node has ended."""

    boot: str
    when: float
    word: str
    why: str = ""  # it is void
    incarnation: str = ""  # of the host, when it was given


def judge(node: Node, before: Seen | None, record: Record | None, now: float) -> Seen:
    """A taint that is older than the boot, or that the boot has outlived, is a word about something else."""
    incarnation = record.incarnation if record else ""
    if node.taint is None:
        return Seen(node.boot, now, NONE)
    if before is None or before.boot != node.boot or not 0 <= now - before.when <= LOOKS_LAST or not node.boot:
        why = "the taint was there already when this boot of the node was first looked at"
    elif before.word == VOID:
        why = before.why
    elif node.ready != "Unknown":
        # Also False: then the kubelet says so.
        why = f"the kubelet still reported, its condition Ready was {node.ready}, when the taint was there"
    elif before.word == GIVEN and before.incarnation != incarnation:
        why = "its scsi-prd has joined again when the taint was there"
    else:
        return Seen(node.boot, now, GIVEN, "", incarnation)
    return Seen(node.boot, now, VOID, why)


class Kubernetes:
    def __init__(self, cluster: Cluster, voice: Voice, names: Mapping[str, str], state: Path | None) -> None:
        self._cluster, self._voice, self._names, self._state = cluster, voice, names, state
        self._seen = self._read() if state else {}

    def look(self) -> bool:
        # The hosts first: who joins after that has a later look to be seen in.
        records = self._cluster.records()
        nodes = self._nodes()
        now = time.time()
        self._seen = {n.name: judge(n, self._seen.get(n.name), records.get(self._host(n)), now) for n in nodes}
        well = [self._act(node, records.get(self._host(node))) for node in nodes if node.taint is not None]
        self._write()
        return all(well)

    def _host(self, node: Node) -> str:
        return self._names.get(node.name, node.name)

    @staticmethod
    def _nodes() -> list[Node]:
        told = ask("kubectl", "get", "nodes", "--request-timeout=20s", "--output=json", seconds=60)
        if told.returncode != 0:
            raise Wrong(f"kubectl get nodes: {refusal(told)}")
        try:
            return [Node.of(item) for item in json.loads(told.stdout)["items"]]
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise Wrong(f"kubectl get nodes says something that is not understood: {why!r}") from why

    def _act(self, node: Node, record: Record | None) -> bool:
        if record and record.proof and record.boot == node.boot:
            return True
        try:
            self._confirm(node, record)
        except Wrong as why:
            self._voice.say(node.name, str(why))
            return False
        except Doubt as why:
            seen = self._seen[node.name]
            self._seen[node.name] = replace(seen, word=VOID, why=str(why))
            self._voice.say(
                node.name,
                f"node {node.name} has the taint {TAINT}, and host {self._host(node)} is not confirmed dead: {why}. Is the "
                "node off? Then take the taint away and put it there again a minute later, or use scsi-pr confirm-host-dead.",
            )
            return False
        self._voice.is_well(node.name)
        return True

    def _confirm(self, node: Node, record: Record | None) -> None:
        seen, host = self._seen[node.name], self._host(node)
        if seen.word == VOID:
            raise Doubt(seen.why)
        if record is None:
            raise Wrong(f"node {node.name} has the taint {TAINT}, and there is no other host {host}; scsi-pr hosts lists them")
        if record.boot != node.boot:
            raise Wrong(f"nothing is confirmed of node {node.name}: the boot of host {host} is {record.boot}, not {node.boot}")
        self._cluster.confirm(host, node.boot, f"out-of-service taint of node {node.name}, {node.taint}")

    def _read(self) -> dict[str, Seen]:
        assert self._state
        try:
            return {name: Seen(**each) for name, each in json.loads(self._state.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as why:
            self._voice.say("state", f"{self._state} cannot be read, all nodes count as never looked at: {why}")
            return {}

    def _write(self) -> None:
        if not self._state:
            return
        try:
            new = self._state.with_suffix(".new")
            new.write_text(json.dumps({name: asdict(each) for name, each in self._seen.items()}))
            os.replace(new, self._state)
        except OSError as why:
            raise Wrong(f"what was seen cannot be remembered: {why}") from why
