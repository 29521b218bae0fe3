# SPDX-License-Identifier: GPL-2.0-or-later
"""Proxmox VE: its HA manager has fenced a node, by that node's watchdog.

The manager says so also of a node that had no watchdog armed and goes on. So a node is followed
from before: its local resource manager (LRM) was active in this boot, its lock was not free, it was
got, and the services there are recovered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confirming import Cluster, Doubt, Record, Voice, Wrong

WATCHED, FENCE, ACKNOWLEDGED, VOID = "watched", "fence", "acknowledged", "void"


@dataclass(frozen=True)
class Lrm:
    """What a node's LRM has last written of itself."""

    state: str = ""
    mode: str = ""
    timestamp: int = 0  # by the node's clock

    def is_armed(self) -> bool:
        """In all others it may have closed its watchdog."""
        return (self.state, self.mode) == ("active", "active")


@dataclass(frozen=True)
class HaView:
    """What /etc/pve says of a node."""

    state: str
    lrm: Lrm
    services: Mapping[str, tuple[str, str]]  # all: state and node

    def of(self, node: str, state: str) -> frozenset[str]:
        return frozenset(name for name, found in self.services.items() if found == (state, node))


@dataclass(frozen=True)
class Followed:
    """What the fencing of a node has come to, as it was seen here."""

    phase: str
    record: Record
    lrm: Lrm
    armed: bool  # the LRM has written that in the record's boot, or in a later one
    services: frozenset[str]
    since: float = 0.0
    why: str = ""  # of VOID


def watch(name: str, before: Followed | None, view: HaView, record: Record) -> Followed:
    """The node is online, or it is not known yet what is with it."""
    services = view.of(name, "started")
    if before is None or before.phase != WATCHED or not before.record.same(record):
        return Followed(WATCHED, record, view.lrm, False, services)
    armed = before.armed
    if view.lrm != before.lrm:
        # Twice in the same boot: what is new to us has been written after that boot had joined. The
        # node's own clock says so too, for /etc/pve here may have been behind.
        armed = view.lrm.is_armed() and view.lrm.timestamp > max(record.joined, before.lrm.timestamp)
    if view.state != "online":
        services &= before.services
    return Followed(WATCHED, record, view.lrm, armed, services)


def follow_fence(name: str, before: Followed | None, view: HaView, record: Record) -> Followed:
    """Its lock was not free at the first try: what had it has not given it back, and has a watchdog."""
    if before is None or before.phase == ACKNOWLEDGED:
        raise Doubt("what was before its fencing has not been seen here")
    if not before.record.same(record):
        raise Doubt("it has joined again since its fencing began")
    if not before.armed or view.lrm != before.lrm:
        raise Doubt("it is not certain that its LRM had a watchdog in this boot when it was last heard")
    # With one of them left to it, an LRM that is cut off does not close its watchdog in whatever order it ends.
    services = before.services & view.of(name, "fence")
    if not services:
        raise Doubt("no service has been seen there that was started and is to be fenced")
    return replace(before, phase=FENCE, services=services)


def follow_unknown(name: str, before: Followed, view: HaView, record: Record, now: float) -> Followed:
    """The lock was got, if the services go on as after that; the file may also have been made anew."""
    if not before.record.same(record) or view.lrm != before.lrm:
        raise Doubt("its LRM or its scsi-prd has been heard since its fencing began")
    if before.phase == ACKNOWLEDGED:
        return before
    for service in before.services:
        state, node = view.services.get(service, ("gone", name))
        if state != "recovery" and (node == name or state == "fence"):
            raise Doubt(f"its fencing is over, but {service} is not recovered: it is {state}")
    return replace(before, phase=ACKNOWLEDGED, since=now)


def follow(name: str, before: Followed | None, view: HaView, record: Record, now: float) -> Followed | None:
    if before is not None and before.phase == VOID and view.state in ("unknown", "fence"):
        return before
    if view.state == "fence":
        return follow_fence(name, before, view, record)
    if view.state == "unknown" and before is not None and before.phase in (FENCE, ACKNOWLEDGED):
        return follow_unknown(name, before, view, record, now)
    if view.state in ("online", "unknown"):
        return watch(name, before, view, record)
    return None


class Proxmox:
    def __init__(self, cluster: Cluster, voice: Voice, pve: Path, grace: float) -> None:
        self._cluster, self._voice, self._pve, self._grace = cluster, voice, pve, grace
        self._followed: dict[str, Followed | None] = {}

    def look(self) -> bool:
        # The records first, so that what a LRM has written since the last look is later than those.
        records = self._cluster.records()
        status = self._json(self._pve / "ha/manager_status")
        try:
            nodes = {str(name): str(state) for name, state in status["node_status"].items()}
            services = {str(k): (str(v["state"]), str(v["node"])) for k, v in status.get("service_status", {}).items()}
        except (KeyError, TypeError, AttributeError) as why:
            raise Wrong(f"{self._pve}/ha/manager_status is not understood: {why!r}") from why
        if status.get("disarm"):
            # Then no LRM has a watchdog.
            self._followed.clear()
            return True
        self._followed = {name: self._followed.get(name) for name in nodes if name in records}
        well = [self._follow(n, HaView(nodes[n], self._lrm(n), services), records[n]) for n in self._followed]
        return all(well)

    @staticmethod
    def _json(path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as why:
            raise Wrong(f"{path} cannot be read: {why}") from why
        if not isinstance(found, dict):
            raise Wrong(f"{path} is not understood: it is no object")
        return found

    def _lrm(self, node: str) -> Lrm:
        """One that cannot be read has armed nothing."""
        try:
            found = self._json(self._pve / "nodes" / node / "lrm_status")
            lrm = Lrm(str(found["state"]), str(found["mode"]), int(found["timestamp"]))
        except (Wrong, KeyError, TypeError, ValueError) as why:
            self._voice.say(f"LRM of {node}", f"what the LRM of node {node} has written is not understood: {why}")
            return Lrm()
        self._voice.is_well(f"LRM of {node}")
        return lrm

    def _follow(self, name: str, view: HaView, record: Record) -> bool:
        before, now = self._followed[name], time.monotonic()
        try:
            found = self._followed[name] = follow(name, before, view, record, now)
            if found is None or found.phase != ACKNOWLEDGED or record.proof or now < found.since + self._grace:
                return True
            self._cluster.confirm(name, record.boot, f"Proxmox HA has fenced node {name} (watchdog)")
        except Wrong as why:
            self._voice.say(name, str(why))
            return False
        except Doubt as why:
            self._followed[name] = Followed(VOID, record, view.lrm, False, frozenset(), why=str(why))
            if not record.proof:
                self._voice.say(
                    name,
                    f"Proxmox HA fences node {name}, and host {name} is not confirmed dead: {why}. Is it off? Then use "
                    f"scsi-pr confirm-host-dead {name} --boot-id {record.boot}",
                )
            return False
        self._voice.is_well(name)
        return True
