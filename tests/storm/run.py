# SPDX-License-Identifier: GPL-2.0-or-later
"""A storm: rounds at random until there were enough fencings."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from guest.lib.channel import ChannelClosed
from guest.lib.qmp import QmpError, QmpTimeout

from .cluster import PREEMPT_AND_ABORT, Cluster, Hung
from .disturbances import ROUNDS, Rounds
from .fencing import NotPossible, Round
from .figures import Figures
from .host_disturbances import HOST_ROUNDS
from .hosts import HostRound, HostsCluster
from .proofs import BROKEN_ROUNDS, PROOF_ROUNDS

ENOUGH = 20  # different violations


@dataclass(frozen=True)
class Scene:
    cluster: type[Cluster]
    round: type[Round]
    rounds: Rounds
    broken: Rounds = field(default_factory=dict)  # those in which nothing is promised: only if asked for


ONE_HOST = Scene(Cluster, Round, ROUNDS)
MANY_HOSTS = Scene(HostsCluster, HostRound, HOST_ROUNDS | PROOF_ROUNDS, BROKEN_ROUNDS)


def deal(rng: random.Random, rounds: Rounds) -> Iterator[str]:
    """Kinds of rounds at random, but each by its weight before all of them come again."""
    while True:
        cards = [name for name, (weight, _) in rounds.items() for _ in range(weight)]
        rng.shuffle(cards)
        yield from cards


def storm(
    binary: Path,
    fencings: int,
    seed: int,
    *,
    scene: Scene = ONE_HOST,
    action: int = PREEMPT_AND_ABORT,
    only: Collection[str] = (),
    told: Callable[[Figures], None] = lambda figures: None,
    directory: Path | None = None,
) -> Figures:
    """`only`: these rounds. `directory`: where the image is to be, of a file system with O_DIRECT if possible."""
    rng = random.Random(seed)
    known = scene.rounds | scene.broken
    kinds = deal(rng, {name: known[name] for name in only or scene.rounds})
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="storm-", dir=directory) as place:
        cluster = scene.cluster(binary, Path(place), rng)
        figures, number = cluster.figures, 0
        try:
            while figures.fencings < fencings and len(figures.violations) < ENOUGH:
                number += 1
                cluster.kind = next(kinds)
                cluster.round = f"seed {seed}, round {number} ({cluster.kind})"
                round_ = scene.round(cluster, action)
                with suppress(NotPossible):
                    known[cluster.kind][1](round_)
                round_.finish()
                figures.seconds = time.monotonic() - began
                told(figures)
        except (Hung, ChannelClosed, TimeoutError, QmpError, QmpTimeout) as failure:
            # A process that ends by itself is none of the faults that we cause.
            cluster.violation(f"{type(failure).__name__} {failure}\n{cluster.logs()}")
        finally:
            cluster.close()
    return figures
