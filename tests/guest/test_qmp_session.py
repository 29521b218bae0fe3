# SPDX-License-Identifier: GPL-2.0-or-later
"""The QMP session of the user guide, run as it stands there. No guest boots."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .lib import disk
from .lib.disk import Disk
from .lib.qmp import QmpError
from .lib.vm import VM

GUIDE = Path(__file__).resolve().parents[2] / "docs/user.md"
VARIES = "…"


def sessions(text: str) -> list[str]:
    return re.findall(r"^```qmp\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def messages(session: str) -> list[tuple[str, Any]]:
    """Each message after its arrow, `->` sent or `<-` received; they go on over several lines."""
    parts = re.split(r"^(->|<-) ", session, flags=re.MULTILINE)
    assert not parts[0].strip(), f"text before the first arrow: {parts[0]}"
    return [(arrow, json.loads(body)) for arrow, body in zip(parts[1::2], parts[2::2])]


def matches(pattern: Any, value: Any) -> bool:
    """Equal, but that `…` stands for any value, or for any part of a string."""
    if pattern == VARIES:
        return True
    if isinstance(pattern, dict) and isinstance(value, dict):
        return pattern.keys() == value.keys() and all(matches(pattern[k], value[k]) for k in pattern)
    if isinstance(pattern, list) and isinstance(value, list):
        return len(pattern) == len(value) and all(map(matches, pattern, value))
    if isinstance(pattern, str) and isinstance(value, str):
        return re.fullmatch(".*".join(map(re.escape, pattern.split(VARIES))), value) is not None
    return type(pattern) is type(value) and bool(pattern == value)


def answer(vm: VM, sent: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"return": vm.qmp.execute(sent["execute"], sent.get("arguments"))}
    except QmpError as error:
        return {"error": {"class": error.kind, "desc": error.description}}


def run(vm: VM, session: str) -> None:
    got: dict[str, Any] = {}
    for arrow, message in messages(session):
        if arrow == "->":
            got = answer(vm, message)
            continue
        if "event" in message:
            got = vm.qmp.wait_event(message["event"])
        assert matches(message, got), f"expected {message}\n     got {got}"


def test_matching() -> None:
    """What the comparison lets pass, and what it does not."""
    assert matches({"a": [1, "x…z"]}, {"a": [1, "xyz"]})
    assert matches(VARIES, {"anything": 1})
    for pattern, value in [({"a": 1}, {"a": 1, "b": 2}), ([1], [1, 2]), (1, True), ("x…", "ax"), (1, "1")]:
        assert not matches(pattern, value)


def test_session_of_the_user_guide(qemu: Path, tmp_path: Path) -> None:
    (session,) = sessions(GUIDE.read_text())
    shared = Disk(
        disk.create(tmp_path / "disk.img", size=1 << 20),
        pr_store=f"file:{tmp_path}/quorum.pr",
        pr_initiator="iqn.2026-01.org.example:node-a",
    )
    vm = VM("a", [shared], binary=qemu, arguments=["-S"])
    try:
        vm.start()
        vm.qmp.negotiate()
        run(vm, session)
    finally:
        vm.close()
