# SPDX-License-Identifier: GPL-2.0-or-later
"""How the demos tell their stories: line by line, each with its time and what came of it."""

from __future__ import annotations

import os
import sys
import time

from .agent import Result

_COLOURS = {"A": "36", "B": "35", "node1": "36", "node2": "35"}


class NotAsExpected(Exception):
    """A line of the story is wrong."""


class Narrator:
    """Prints the story; colours only for a terminal."""

    def __init__(self, verbose: bool) -> None:
        self._start = time.monotonic()
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._verbose = verbose

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    def heading(self, text: str) -> None:
        print(f"\n{self.paint('1', text)}", flush=True)

    def event(self, who: str, what: str, result: str, good: bool = True) -> None:
        seconds = time.monotonic() - self._start
        who = self.paint(_COLOURS.get(who, "0"), f"{who:5}")
        shown = self.paint("32" if good else "31;1", result)
        print(f"{seconds:6.1f} s  {who} {what:76} → {shown}", flush=True)

    def output(self, result: Result) -> None:
        if self._verbose:
            for line in (result.out + result.err).splitlines():
                print(f"            | {line}", flush=True)
