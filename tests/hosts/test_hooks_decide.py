# SPDX-License-Identifier: GPL-2.0-or-later
"""What scsi-pr-confirm makes of what it sees of a node, look by look; without daemons."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from typing import Any

import pytest

from guest.lib import host as machine

BOOT, OTHER_BOOT = "b" * 32, "c" * 32

sys.path.insert(0, str(machine.ROOT / "hw/scsi/pr/agent/hooks"))
confirming, kubernetes, proxmox = (
    importlib.import_module(name) for name in ("confirming", "of_kubernetes", "of_proxmox")
)


def node(ready: str = "Unknown", *, taint: str | None = "nodeshutdown:NoExecute", boot: str = BOOT) -> Any:
    return kubernetes.Node("h1", boot, ready, taint)


def judged(*looks: Any, seconds: float = 10, incarnations: str = "1111111111") -> tuple[str, str]:
    """The word after these looks, one after the other."""
    seen = None
    for number, look in enumerate(looks):
        record = confirming.Record(BOOT, incarnations[number], 1000)
        seen = kubernetes.judge(look, seen, record, 5000 + seconds * number)
    assert seen is not None
    return seen.word, seen.why


def test_taint_counts_for_a_boot_that_was_seen_without_it() -> None:
    without = node(taint=None)
    assert judged(node("True", taint=None), node())[0] == "given"
    assert judged(without, node(), node())[0] == "given"
    for why, looks in {
        "was there already": [node()],
        "when this boot": [node("True", taint=None, boot=OTHER_BOOT), node()],
        "Ready was True": [without, node("True"), node()],
        "Ready was False": [without, node("False"), node()],
        "Ready was not there": [without, node(), node("not there"), node()],
    }.items():
        word, said = judged(*looks)
        assert word == "void" and why in said, (why, word, said)
        assert judged(*looks, without, node())[0] == "given"
    assert judged(without, node(), seconds=301)[0] == "void"
    assert judged(without, node(), seconds=-1)[0] == "void"
    assert judged(node(taint=None, boot=""), node(boot=""))[0] == "void"
    assert judged(without, node(), node(), incarnations="112")[0] == "void"


JOINED = 1000
RECORD = confirming.Record(BOOT, "1", JOINED)
STARTED, FENCING, RECOVERED = ({"vm:1": (state, at)} for state, at in (("started", "h1"), ("fence", "h1"), ("started", "h2")))


def view(state: str, wrote: int, services: dict[str, tuple[str, str]], lrm: str = "active", mode: str = "active") -> Any:
    return proxmox.HaView(state, proxmox.Lrm(lrm, mode, wrote), services)


GOES_WELL = [
    (view("online", 1010, STARTED), RECORD),
    (view("online", 1020, STARTED), RECORD),
    (view("unknown", 1020, STARTED), RECORD),
    (view("fence", 1020, FENCING), RECORD),
    (view("unknown", 1020, RECOVERED), RECORD),
]


def followed(looks: list[tuple[Any, Any]]) -> tuple[str, str]:
    found = None
    for number, (each, record) in enumerate(looks):
        try:
            found = proxmox.follow("h1", found, each, record, float(number))
        except confirming.Doubt as why:
            return "doubt", str(why)
    return (found.phase if found else "nothing"), ""


def with_look(number: int, **changes: Any) -> list[tuple[Any, Any]]:
    """GOES_WELL, from that look on with another LRM or record, or with other services in it alone."""
    looks = list(GOES_WELL)
    for index in range(number, len(looks)):
        each, record = looks[index]
        if "services" in changes and index > number:
            break
        record = changes.get("record", record)
        each = replace(each, **{key: value for key, value in changes.items() if key != "record"})
        looks[index] = each, record
    return looks


def test_fencing_is_acknowledged() -> None:
    assert followed(GOES_WELL)[0] == "acknowledged"
    assert followed([*GOES_WELL, GOES_WELL[-1]])[0] == "acknowledged"
    assert followed(with_look(4, services={"vm:1": ("recovery", "h1")}))[0] == "acknowledged"
    for end in range(1, 5):
        assert followed(GOES_WELL[:end])[0] in ("watched", "fence"), end


@pytest.mark.parametrize(
    "why, looks",
    [
        ("what was before", GOES_WELL[3:]),
        ("what was before", [*GOES_WELL, GOES_WELL[3]]),
        # A lock that was free: no state "fence".
        ("", GOES_WELL[:3] + GOES_WELL[4:]),
        # The status of an earlier boot, whatever the clock says; or one that is older than the record.
        ("its LRM had a watchdog", GOES_WELL[1:]),
        ("its LRM had a watchdog", with_look(0, record=replace(RECORD, joined=1020))),
        ("its LRM had a watchdog", with_look(2, record=replace(RECORD, incarnation="2"))),
        ("its LRM had a watchdog", with_look(1, lrm=proxmox.Lrm("wait_for_agent_lock", "active", 1020))),
        ("its LRM had a watchdog", with_look(1, lrm=proxmox.Lrm("active", "restart", 1020))),
        ("its LRM had a watchdog", with_look(3, lrm=proxmox.Lrm("active", "active", 1030))),
        ("joined again", with_look(3, record=replace(RECORD, boot=OTHER_BOOT))),
        ("has been heard", with_look(4, record=replace(RECORD, incarnation="2"))),
        ("has been heard", with_look(4, lrm=proxmox.Lrm("wait_for_agent_lock", "active", 1030))),
        ("no service", [(replace(each, services={}), record) for each, record in GOES_WELL[:3]] + GOES_WELL[3:]),
        ("no service", with_look(2, services={"vm:1": ("stopped", "h1")})),
        ("no service", with_look(1, services={"vm:1": ("stopped", "h1")})),
        ("no service", with_look(3, services=RECOVERED)),
        # A file that was made anew.
        ("vm:1 is not recovered", with_look(4, services=STARTED)),
        ("vm:1 is not recovered", with_look(4, services={})),
        ("vm:1 is not recovered", with_look(4, services=FENCING)),
    ],
)
def test_fencing_is_in_doubt(why: str, looks: list[tuple[Any, Any]]) -> None:
    phase, said = followed(looks)
    assert phase == ("doubt" if why else "watched") and why in said, (phase, said)
