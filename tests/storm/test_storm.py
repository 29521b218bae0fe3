# SPDX-License-Identifier: GPL-2.0-or-later
"""A short storm. STORM_SEED and STORM_FENCINGS override what it is.

Clause: 5.6.8.5
"""

from __future__ import annotations

import os
from pathlib import Path

from .cluster import PREEMPT
from .run import storm

SEED = int(os.environ.get("STORM_SEED", "1"))
FENCINGS = int(os.environ.get("STORM_FENCINGS", "300"))


def test_no_write_after_good(qemu: Path, directory: Path) -> None:
    figures = storm(qemu, FENCINGS, SEED, directory=directory)
    print(figures)
    assert not figures.violations, f"\n{figures}"
    assert figures.fencings >= FENCINGS


def test_plain_preempt_is_caught(qemu: Path, directory: Path) -> None:
    """PREEMPT waits for nobody. A storm that finds nothing then could find nothing at all."""
    figures = storm(qemu, FENCINGS, SEED, action=PREEMPT, directory=directory)
    found = "\n".join(figures.violations)
    print(figures)
    assert "was GOOD after it had been fenced" in found, f"\n{figures}"
    assert "are of fenced tenure" in found, f"\n{figures}"
