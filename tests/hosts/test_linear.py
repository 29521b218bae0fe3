# SPDX-License-Identifier: GPL-2.0-or-later
"""A short storm of reservation commands over hosts, whose histories are checked.
LINEAR_SEED and LINEAR_SECONDS override what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guest.lib import host

from . import linear
from .etcd import why_no_etcd

SEED = int(os.environ.get("LINEAR_SEED", "1"))
SECONDS = float(os.environ.get("LINEAR_SECONDS", "15"))

pytestmark = pytest.mark.skipif(bool(why_no_etcd()), reason=str(why_no_etcd()))


def test_histories_over_hosts_are_linearizable(directory: Path) -> None:
    result = linear.run(directory, SECONDS, SEED, keep=host.BUILD)
    print(result)
    assert result.code == 0, f"\n{result}"


def test_a_stale_read_over_hosts_is_found(directory: Path) -> None:
    """Until it is, or for a minute."""
    result = linear.run(directory, 60, SEED, keep=directory, fault="stale-read", calm=True)
    assert result.code == 0, f"\n{result}"
