# SPDX-License-Identifier: GPL-2.0-or-later
"""A short storm over three hosts. STORM_SEED and STORM_HOSTS_FENCINGS override what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hosts.etcd import why_no_etcd

from .cluster import PREEMPT
from .host_disturbances import HOST_ROUNDS
from .proofs import BROKEN_ROUNDS, PROOF_ROUNDS
from .run import MANY_HOSTS, storm

ONLY_NEWEST_QEMU = True

SEED = int(os.environ.get("STORM_SEED", "1"))
FENCINGS = int(os.environ.get("STORM_HOSTS_FENCINGS", "24"))

pytestmark = pytest.mark.skipif(bool(why_no_etcd()), reason=str(why_no_etcd()))


def test_no_write_after_good_over_hosts(qemu: Path, directory: Path) -> None:
    figures = storm(qemu, FENCINGS, SEED, scene=MANY_HOSTS, only=HOST_ROUNDS, directory=directory)
    print(figures)
    assert not figures.violations, f"\n{figures}"
    assert figures.fencings >= FENCINGS


def test_plain_preempt_over_hosts_is_caught(qemu: Path, directory: Path) -> None:
    """As on one host: what finds nothing then could find nothing at all."""
    figures = storm(
        qemu, FENCINGS, SEED, scene=MANY_HOSTS, action=PREEMPT, only=["undisturbed"], directory=directory
    )
    found = "\n".join(figures.violations)
    print(figures)
    assert "was GOOD after it had been fenced" in found, f"\n{figures}"
    assert "are of fenced tenure" in found, f"\n{figures}"


def test_no_write_after_a_proof(qemu: Path, directory: Path) -> None:
    """A host is silent for longer than D: each proof once."""
    figures = storm(qemu, len(PROOF_ROUNDS), SEED, scene=MANY_HOSTS, only=PROOF_ROUNDS, directory=directory)
    print(figures)
    assert not figures.violations, f"\n{figures}"
    assert figures.attempts.keys() == PROOF_ROUNDS.keys(), f"\n{figures}"
    assert figures.by_fabric["came late: refused"], f"\nnothing came late:\n{figures}"


def test_a_lease_and_a_late_fabric_are_caught(qemu: Path, directory: Path) -> None:
    """The violation that must be seen: proof=lease promises nothing of what a fabric still delivers."""
    figures = storm(qemu, 1, SEED, scene=MANY_HOSTS, only=BROKEN_ROUNDS, directory=directory)
    found = "\n".join(figures.violations)
    print(f"expected, and seen:\n{figures}")
    assert "are of fenced tenure" in found, f"\n{figures}"
