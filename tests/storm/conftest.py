# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the images of these tests are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest.lib import host


@pytest.fixture
def directory() -> Iterator[Path]:
    """On a real disk: there O_DIRECT writes are under way for a while."""
    with tempfile.TemporaryDirectory(prefix="storm-", dir=host.BUILD) as path:
        yield Path(path)
