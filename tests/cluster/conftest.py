# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the cluster's tests. They take minutes: `make check-long`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster


@pytest.fixture
def cluster(qemu: Path, tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes that are up; nothing of the cluster is started."""
    cluster = Cluster(tmp_path, qemu)
    try:
        cluster.boot()
        yield cluster
    finally:
        cluster.close()
