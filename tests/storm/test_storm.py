# SPDX-License-Identifier: GPL-2.0-or-later
"""A short storm (SPC-3 5.6.8.5). STORM_SEED and STORM_FENCINGS override what it is."""

from __future__ import annotations

import os
from pathlib import Path

from guest.lib.matrix import Record

from .cluster import PREEMPT
from .run import storm

SEED = int(os.environ.get("STORM_SEED", "1"))
FENCINGS = int(os.environ.get("STORM_FENCINGS", "300"))


def test_no_write_after_good(qemu: Path, directory: Path, cell: Record) -> None:
    figures = storm(qemu, FENCINGS, SEED, directory=directory)
    print(figures)
    assert not figures.violations, f"\n{figures}"
    assert figures.fencings >= FENCINGS
    if any("iothreads" in kind for kind in figures.processes):
        cell("iothread")


def test_unplug_during_a_fencing(qemu: Path, directory: Path) -> None:
    """What a fencing asks of a device may come when its unrealize is done: QEMU 10.0 aborted."""
    figures = storm(qemu, 60, SEED, only=["device_del meanwhile"], directory=directory)
    assert not figures.violations, f"\n{figures}"


def test_plain_preempt_is_caught(qemu: Path, directory: Path) -> None:
    """PREEMPT waits for nobody. A storm that finds nothing then could find nothing at all."""
    figures = storm(qemu, FENCINGS, SEED, action=PREEMPT, directory=directory)
    found = "\n".join(figures.violations)
    print(figures)
    assert "was GOOD after it had been fenced" in found, f"\n{figures}"
    assert "are of fenced tenure" in found, f"\n{figures}"
