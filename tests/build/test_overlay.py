# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu-overlay on a tree of QEMU's list files: twice is once, and a missing anchor is refused."""

import runpy
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/qemu-overlay"
ENTRIES = runpy.run_path(str(SCRIPT))["ENTRIES"]


def overlay(*args):
    return subprocess.run([SCRIPT, *map(str, args)], capture_output=True, text=True, check=False)


def content(tree):
    return {p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()}


@pytest.fixture
def tree(tmp_path):
    for _, name, neighbour, _ in ENTRIES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"before\n{neighbour}\nafter\n")
    return tmp_path


def test_each_entry_follows_its_neighbour(tree):
    """Directly, or with other entries of ours in between; and once."""
    assert overlay(tree).returncode == 0
    for name, neighbour in {(name, neighbour) for _, name, neighbour, _ in ENTRIES}:
        ours = [e for _, n, at, e in ENTRIES if (n, at) == (name, neighbour)]
        before, below = (tree / name).read_text().split(f"{neighbour}\n")
        assert before == "before\n"
        for entry in ours:
            assert below.count(f"{entry}\n") == 1
            below = below.replace(f"{entry}\n", "")
        assert below == "after\n"


def test_twice_changes_and_touches_nothing(tree):
    overlay(tree)
    before, times = content(tree), {p: p.stat().st_mtime_ns for p in tree.rglob("*")}
    assert overlay(tree).stdout == ""
    assert content(tree) == before
    assert {p: p.stat().st_mtime_ns for p in tree.rglob("*")} == times


def test_remove_gives_upstream_back(tree):
    before = content(tree)
    overlay(tree)
    assert overlay("--remove", tree).returncode == 0
    assert content(tree) == before


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e[1])
def test_missing_anchor_is_refused_and_nothing_written(tree, entry):
    _, name, neighbour, _ = entry
    (tree / name).write_text("something else\n")
    before = content(tree)
    done = overlay(tree)
    assert done.returncode == 1
    assert str(tree / name) in done.stderr and neighbour.strip() in done.stderr
    assert content(tree) == before
