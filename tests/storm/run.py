# SPDX-License-Identifier: GPL-2.0-or-later
"""A storm: rounds at random until there were enough fencings."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from guest.lib.channel import ChannelClosed
from guest.lib.qmp import QmpError, QmpTimeout

from .cluster import PREEMPT_AND_ABORT, Cluster, Hung
from .disturbances import ROUNDS
from .fencing import Round
from .figures import Figures

ENOUGH = 20  # different violations


def storm(
    binary: Path,
    fencings: int,
    seed: int,
    *,
    action: int = PREEMPT_AND_ABORT,
    only: str | None = None,
    told: Callable[[Figures], None] = lambda figures: None,
    directory: Path | None = None,
) -> Figures:
    """`directory`: where the image is to be, of a file system with O_DIRECT if possible."""
    rng = random.Random(seed)
    names = [only] if only else list(ROUNDS)
    weights = [ROUNDS[name][0] for name in names]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="storm-", dir=directory) as place:
        cluster = Cluster(binary, Path(place), rng)
        figures, number = cluster.figures, 0
        try:
            while figures.fencings < fencings and len(figures.violations) < ENOUGH:
                number += 1
                (name,) = rng.choices(names, weights)
                cluster.round = f"seed {seed}, round {number} ({name})"
                round_ = Round(cluster, action)
                ROUNDS[name][1](round_)
                round_.finish()
                figures.seconds = time.monotonic() - began
                told(figures)
        except (Hung, ChannelClosed, TimeoutError, QmpError, QmpTimeout) as failure:
            # A process that ends by itself is none of the faults that we cause.
            cluster.violation(f"{type(failure).__name__} {failure}\n{cluster.logs()}")
        finally:
            cluster.close()
    return figures
