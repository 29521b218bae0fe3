# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that share one disk, and the expectations about them: what the demos' stories have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import scsi
from .agent import Result
from .narrator import Narrator, NotAsExpected
from .scsi import GOOD, Initiator
from .vm import VM


class Story:
    """Every line that is told is checked."""

    def __init__(self, guests: Mapping[str, VM], image: Path, narrator: Narrator) -> None:
        self.guests = dict(guests)
        self.disks = {name: Initiator(vm) for name, vm in self.guests.items()}
        self.image = image
        self.tell = narrator
        self.blocks: dict[int, str] = {}  # what the disk must hold in the end

    def expect(self, who: str, what: str, expected: str, got: str) -> None:
        self.tell.event(who, what, got, got == expected)
        if got != expected:
            raise NotAsExpected(f"{who}: {what}\n  expected: {expected}\n  but got:  {got}")

    def command(self, who: str, result: Result, expected: str) -> None:
        """A command of sg3_utils whose SCSI outcome is as expected."""
        try:
            self.expect(who, result.command, expected, scsi.outcome(result))
        except NotAsExpected as wrong:
            raise NotAsExpected(f"{wrong}\n{result}") from None
        self.tell.output(result)

    def write(self, who: str, text: str, block: int, expected: str) -> None:
        result = self.disks[who].write(text, block)
        shown = result.command.split("| ")[1].replace(" conv=sync", "")
        self.expect(who, f"{shown} “{text}”", expected, scsi.outcome(result))
        self.tell.output(result)
        self.blocks[block] = text if expected == GOOD else ""

    def read(self, who: str, block: int) -> None:
        result = self.disks[who].read(block)
        text = result.stdout.rstrip(b"\0").decode(errors="replace")
        got = f"“{text}”" if result.code == 0 else scsi.outcome(result)
        self.expect(who, result.command, f"“{self.blocks[block]}”", got)

    def query(self, who: str) -> dict[str, Any]:
        answer: list[dict[str, Any]] = self.guests[who].qmp.execute("query-scsi-pr")
        if len(answer) != 1 or "state" not in answer[0]:
            raise NotAsExpected(f"{who}: query-scsi-pr: expected one device's state, got {answer}")
        return answer[0]

    def disk_content(self) -> None:
        self.tell.heading("The host reads the disk: who wrote what?")
        for block, text in sorted(self.blocks.items()):
            with self.image.open("rb") as image:
                image.seek(block * 512)
                got = image.read(512).rstrip(b"\0").decode(errors="replace")
            expected, shown = (f"“{each}”" if each else "never written" for each in (text, got))
            self.expect("host", f"block {block}", expected, shown)
