# SPDX-License-Identifier: GPL-2.0-or-later
"""What a storm did, and what it found."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Attempts:
    """PREEMPT AND ABORT commands."""

    ends: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # seconds, of those that ended in GOOD

    def add(self, other: Attempts) -> None:
        self.ends.update(other.ends)
        self.latencies += other.latencies


@dataclass
class Figures:
    fencings: int = 0  # that ended in GOOD, or of which nobody heard after the commit
    # By the kind of round.
    attempts: defaultdict[str, Attempts] = field(default_factory=lambda: defaultdict(Attempts))
    victims: Counter[str] = field(default_factory=Counter)  # of rounds, where there are many hosts
    writes: Counter[str] = field(default_factory=Counter)  # by end
    in_flight: list[int] = field(default_factory=list)  # victim's writes when the fencing began
    faults: Counter[str] = field(default_factory=Counter)
    by_fabric: Counter[str] = field(default_factory=Counter)  # writes that one held back: what became of them
    processes: Counter[str] = field(default_factory=Counter)  # started, by kind
    violations: Counter[str] = field(default_factory=Counter)  # how often, by round and what
    seconds: float = 0.0

    def add(self, other: Figures) -> None:
        self.fencings += other.fencings
        for counter in ("victims", "writes", "faults", "by_fabric", "processes", "violations"):
            getattr(self, counter).update(getattr(other, counter))
        self.in_flight += other.in_flight
        for kind, attempts in other.attempts.items():
            self.attempts[kind].add(attempts)
        self.seconds = max(self.seconds, other.seconds)

    def __str__(self) -> str:
        all_ = Attempts()
        for attempts in self.attempts.values():
            all_.add(attempts)
        lines = [
            ("fencings", f"{self.fencings} in {self.seconds:.0f} s"),
            ("PREEMPT AND ABORT", _counts(all_.ends)),
            ("writes sent", f"{self.writes.total()}: {_counts(self.writes)}"),
            ("in flight at a fencing", _spread(self.in_flight, "{:.0f}")),
            ("GOOD after, ms", _milliseconds(all_)),
            ("faults", f"{self.faults.total()}: {_counts(self.faults)}"),
            ("processes started", f"{self.processes.total()}: {_counts(self.processes)}"),
            ("violations", str(self.violations.total())),
        ]
        if self.victims:
            lines.insert(1, ("victims", _counts(self.victims)))
        if self.by_fabric:
            lines.insert(-1, ("writes by a fabric", _counts(self.by_fabric)))
        text = "".join(f"{name + ':':<24}{value}\n" for name, value in lines)
        text += "".join(f"  {n} x {what}\n" for what, n in self.violations.items())
        return text + "".join(
            f"  {kind + ':':<34}{_counts(each.ends)}; ms: {_milliseconds(each)}\n"
            for kind, each in sorted(self.attempts.items())
        )


def _milliseconds(attempts: Attempts) -> str:
    return _spread([1000 * seconds for seconds in attempts.latencies], "{:.1f}")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


def _spread(values: list[float] | list[int], form: str) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    points = {"least": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
    shown = {name: ordered[round(at * (len(ordered) - 1))] for name, at in points.items()}
    return ", ".join(f"{name} {form.format(value)}" for name, value in shown.items())
