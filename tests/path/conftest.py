# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of one transport only: what is marked `transport` is run with no other `guest`."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "transport(name): only for a guest whose paths are such")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if fits(item)]


def fits(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("transport")
    return mark is None or item.callspec.params["guest"] in mark.args  # type: ignore[attr-defined]
