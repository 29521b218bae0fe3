# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/matrix: no cell of docs/matrix.md without a test that has passed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guest.lib import host, matrix


def declared() -> list[str]:
    lines = (host.ROOT / "tests/matrix.txt").read_text().splitlines()
    cells = []
    for line in lines:
        if line and not line.startswith("#"):
            device, adapter, series, features = (part.strip() for part in line.split("|"))
            cells += [
                matrix.value(device, adapter, each, feature.strip())
                for each in series.split()
                for feature in features.split(";")
            ]
    return cells


# Those of the page, in its order
SERIES = list(dict.fromkeys(cell.split(" | ")[2] for cell in declared()))


def problems(directory: Path, cells: dict[str, str], series: list[str]) -> list[str]:
    """What the script says to results with these cells; each has what is in its test case."""
    cases = "".join(
        f'<testcase name="t"><properties><property name="{matrix.PROPERTY}" value="{cell}"/>'
        f"</properties>{inside}</testcase>"
        for cell, inside in cells.items()
    )
    (directory / "pytest.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    command = [host.ROOT / "scripts/matrix", "--check", directory, *series]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (done.stdout == ""), done
    return done.stdout.splitlines()


def test_all_shown(tmp_path: Path) -> None:
    assert problems(tmp_path, dict.fromkeys(declared(), ""), SERIES) == []


def test_a_series_that_is_not_tested_here(tmp_path: Path) -> None:
    newest = [cell for cell in declared() if f"| {SERIES[0]} |" in cell]
    assert problems(tmp_path, dict.fromkeys(newest, ""), SERIES[:1]) == []


@pytest.mark.parametrize("how", ["<failure/>", "<error/>", "<skipped/>"])
def test_a_test_that_did_not_pass(tmp_path: Path, how: str) -> None:
    first, *others = declared()
    cells = dict.fromkeys(others, "") | {first: how}
    assert problems(tmp_path, cells, SERIES) == [f"no test has shown: {first}"]


def test_a_cell_that_is_not_in_the_list(tmp_path: Path) -> None:
    more = matrix.value("scsi-hd", "paper tape", SERIES[0], "conflict")
    cells = dict.fromkeys([*declared(), more], "")
    assert problems(tmp_path, cells, SERIES) == [f"not declared in tests/matrix.txt: {more}"]


def test_a_series_that_is_not_on_the_page(tmp_path: Path) -> None:
    more = matrix.value("scsi-hd", "virtio-scsi-pci", "99.0", "conflict")
    assert problems(tmp_path, dict.fromkeys([*declared(), more], ""), [*SERIES, "99.0"]) == []
