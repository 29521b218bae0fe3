# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: an etcd, hosts with their daemons, nexuses on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cluster import Cluster
from .etcd import why_no_etcd


@pytest.fixture
def directory() -> Iterator[Path]:
    """On tmpfs, as /run is; short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="scsi-pr-hosts-", dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def cluster_of(directory: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes a cluster of so many hosts; with the logs of all when the test fails."""
    if why := why_no_etcd():
        pytest.skip(why)
    made: list[Cluster] = []

    def make(hosts: int, **how: int) -> Cluster:
        made.append(Cluster(directory, hosts, **how))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    directory = getattr(item, "funcargs", {}).get("directory")
    if report.failed and directory is not None:
        for log in sorted(directory.glob("**/scsi-prd.log")):
            report.sections.append((str(log), log.read_text(errors="replace")[-8000:]))
