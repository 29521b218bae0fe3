# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of tests/survival.txt: what outlives what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "survival.txt"


@dataclass(frozen=True)
class Row:
    event: str
    store: str  # file, memory
    aptpl: str  # on, off, any
    state: str  # registrations and persistent reservation: kept, gone
    generation: str  # kept, 0
    reserve: str  # kept, released
    attentions: str  # kept, gone
    tests: tuple[str, ...]


def rows() -> list[Row]:
    found = []
    for line in DATA.read_text().splitlines():
        if line and not line.startswith("//"):
            *fields, tests = line.split(" | ")
            found.append(Row(*fields, tuple(tests.split("; "))))
    return found


def row(event: str, store: str, aptpl: bool) -> Row:
    """The one for that event."""
    wanted = ("any", "on" if aptpl else "off")
    (found,) = (r for r in rows() if (r.event, r.store) == (event, store) and r.aptpl in wanted)
    return found
