# SPDX-License-Identifier: GPL-2.0-or-later
"""What a store costs a READ, counted in instructions: time would depend on who else is there."""

from __future__ import annotations

from pathlib import Path

from .data_path import QUICK, instructions

ONLY_NEWEST_QEMU = True


def test_instructions_a_read(qemu: Path, tmp_path: Path) -> None:
    found = {case: min(more) for case, more in instructions(QUICK, qemu, tmp_path, windows=3)}
    assert {case.name: more for case, more in found.items() if more > (case.instructions or 0)} == {}
