# SPDX-License-Identifier: GPL-2.0-or-later
"""What a storm did, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Figures:
    fencings: int = 0  # that ended in GOOD, or whose fencer died after the commit
    attempts: Counter[str] = field(default_factory=Counter)  # PREEMPT AND ABORT commands, by end
    writes: Counter[str] = field(default_factory=Counter)  # by end
    in_flight: list[int] = field(default_factory=list)  # victim's writes when the fencing began
    latencies: list[float] = field(default_factory=list)  # seconds, of those that ended in GOOD
    faults: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)  # started, by kind
    violations: Counter[str] = field(default_factory=Counter)  # how often, by round and what
    seconds: float = 0.0

    def add(self, other: Figures) -> None:
        self.fencings += other.fencings
        for counter in ("attempts", "writes", "faults", "processes", "violations"):
            getattr(self, counter).update(getattr(other, counter))
        self.in_flight += other.in_flight
        self.latencies += other.latencies
        self.seconds = max(self.seconds, other.seconds)

    def __str__(self) -> str:
        lines = [
            ("fencings", f"{self.fencings} in {self.seconds:.0f} s"),
            ("PREEMPT AND ABORT", _counts(self.attempts)),
            ("writes sent", f"{self.writes.total()}: {_counts(self.writes)}"),
            ("in flight at a fencing", _spread(self.in_flight, "{:.0f}")),
            ("GOOD after, ms", _spread([1000 * s for s in self.latencies], "{:.1f}")),
            ("faults", f"{self.faults.total()}: {_counts(self.faults)}"),
            ("processes started", f"{self.processes.total()}: {_counts(self.processes)}"),
            ("violations", str(self.violations.total())),
        ]
        text = "".join(f"{name + ':':<24}{value}\n" for name, value in lines)
        return text + "".join(f"  {n} x {what}\n" for what, n in self.violations.items())


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


def _spread(values: list[float] | list[int], form: str) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    points = {"least": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
    shown = {name: ordered[round(at * (len(ordered) - 1))] for name, at in points.items()}
    return ", ".join(f"{name} {form.format(value)}" for name, value in shown.items())
