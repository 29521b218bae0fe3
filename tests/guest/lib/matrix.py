# SPDX-License-Identifier: GPL-2.0-or-later
"""Cells of docs/matrix.md: which device type works behind which adapter, in which QEMU series."""

from __future__ import annotations

from collections.abc import Callable

# Called at the end of a test with the feature that it has shown; the fixture `cell` is one.
Record = Callable[..., None]

# Of a JUnit test case; its value is "device | adapter | series | feature".
PROPERTY = "matrix"


def value(device: str, adapter: str, series: str, feature: str) -> str:
    return " | ".join((device, adapter, series, feature))
