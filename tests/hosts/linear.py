#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Linearizability over hosts: linear-storm (tests/linear) with processes on three hosts, while daemons
are killed and stopped, etcd is cut off, slow or without its leader. Ends in 1 unless every history
that it has seen is linearizable, as docs/testing.md says."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guest.lib import host as machine  # noqa: E402
from guest.lib.process import Child  # noqa: E402
from hosts.cluster import Cluster  # noqa: E402
from hosts.faults import OF_A_HOST, OF_ETCD, Fault  # noqa: E402

BINARY = machine.BUILD / "core/tests/linear/linear-storm"
HOSTS, MEMBERS, DURATION = 3, 3, 2
OPERATIONS = 20  # of a round: commands take longer than on one host, and more of them overlap
BOUND = 500_000  # states, before a history counts as undecided: some 15 s
# Of a history with many outcomes that nobody knows the checker may not find out in time whether there is
# an order. What was told before it counts; it goes on with another disk.
UNDECIDED = " 1 undecided, 0 violations"
LEAST = 5.0  # seconds, to go on for
MOST = 5  # times


@dataclass
class Result:
    code: int
    said: str
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return f"{self.said}faults: {told or 'none'}\n"


def disturb(cluster: Cluster, rng: random.Random, storm: Child) -> str:
    """One fault, mostly for a moment; now and then for longer than a daemon asks (Change::Settle())."""
    faults: dict[str, Fault] = OF_ETCD if rng.random() < 0.2 else OF_A_HOST
    name = rng.choice(list(faults))
    relief = faults[name](cluster, rng.choice(list(cluster.hosts)), rng)
    longest = rng.choice((0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 2, 2, 9))
    wait(storm, rng.random() * longest)
    if relief:
        relief()
    return name


def wait(storm: Child, seconds: float) -> None:
    end = time.monotonic() + seconds
    while storm.code is None and time.monotonic() < end:
        time.sleep(0.01)


def run(directory: Path, seconds: float, seed: int, keep: Path, *, fault: str = "none", calm: bool = False) -> Result:
    """`keep`: where histories go that are not linearizable. `fault`: of a store that breaks its
    promise; `calm`: nothing happens to daemons and etcd."""
    cluster = Cluster(directory, HOSTS, MEMBERS, DURATION)
    result, rng = Result(-1, ""), random.Random(seed)
    end = time.monotonic() + seconds
    try:
        for number in itertools.count():
            log = directory / f"linear-storm-{number}.log"
            left = max(end - time.monotonic(), LEAST)
            command = [str(BINARY), "--uri", f"cluster:linear-{number}", "--seconds", f"{left:g}"]
            command += ["--seed", str(seed + number), "--operations", str(OPERATIONS)]
            command += ["--bound", str(BOUND)]
            command += ["--fault", fault, "--keep", str(keep)]
            command += [word for host in cluster.hosts.values() for word in ("--host", str(host.runtime))]
            storm = Child(command, log)
            while not calm and storm.code is None and time.monotonic() < end:
                result.faults[disturb(cluster, rng, storm)] += 1
                wait(storm, 4 * rng.random())  # for some rounds without one
            result.code = storm.wait(left + 240)  # a round under load takes a minute
            said = log.read_text(errors="replace")
            result.said += said
            if result.code == 0 or UNDECIDED not in said or number == MOST:
                return result
    finally:
        cluster.close()
    raise AssertionError("there is an end to it")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of commands and faults")
    parser.add_argument("--keep", type=Path, default=Path("."), help="where a violation is kept")
    parser.add_argument("--fault", default="none", help="as linear-storm has them; success is to find it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scsi-pr-hosts-", dir="/dev/shm") as directory:
        result = run(Path(directory), options.seconds, options.seed, options.keep, fault=options.fault)
    print(result, end="")
    return result.code


if __name__ == "__main__":
    sys.exit(main())
