# SPDX-License-Identifier: GPL-2.0-or-later
"""How figures are told: median and quartiles, and what they must become."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

OVER = "over the limit"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def tell(
    what: str,
    values: Sequence[float],
    limit: float | None = None,
    form: str = "8.2f",
    least: bool = False,
) -> bool:
    """Prints a line; whether the median, or the least of the values, keeps the limit."""
    low, middle, high = quartiles(values)
    judged = min(values) if least else middle
    kept = limit is None or round(judged, 2) <= limit
    line = f"{what:44} {judged:{form}}  [{low:{form}} {high:{form}} ]"
    if limit is not None:
        line += f"  limit {limit:g}" + ("" if kept else f": {OVER}")
    print(line, flush=True)
    return kept
