# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-block and scsi-generic with pr-store, on real device nodes.

The tests are qtests (tests/qtest/scsi-pr-passthrough*-test.c); they run in a guest that has the
disks (bed.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.matrix import Record
from passthrough import bed

MISSING = "qos-test is not built"


@functools.cache
def names() -> list[str]:
    """Of the tests, without the way to the adapter."""
    try:
        listed = bed.our_tests(host.default_binary())
    except host.Missing:
        return [MISSING]  # the fixture says what to do
    return [name.rpartition("/passthrough-pr-")[2] for name in listed]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names())


def run(qemu: Path, directory: Path) -> dict[str, str]:
    """All tests with this QEMU, in one guest, since each start of a guest costs seconds."""
    tests = bed.our_tests(qemu)
    assert tests, f"{bed.qos_test(qemu)} has no test of ours: run `scripts/check passthrough`"
    with bed.bed(qemu, directory) as vm:
        by_path = bed.run_qtests(vm, tests)
    return {name.rpartition("/passthrough-pr-")[2]: trouble for name, trouble in by_path.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Future[dict[str, str]]]]:
    """The series side by side: a guest has one processor."""
    host.guest_image()
    with ThreadPoolExecutor() as pool:
        yield {
            qemu: pool.submit(run, qemu, tmp_path_factory.mktemp(f"bed-{series}"))
            for series, qemu in host.binaries().items()
        }


# What they show for docs/matrix.md.
CELLS = {
    "conflict": ("register, reserve", "conflict", "unit attention"),
    "fence": ("PREEMPT AND ABORT",),
    "fence-iothread": ("iothread",),
    "migration": ("migration",),
}


def test_qtest(
    qemu: Path, runs: dict[Path, Future[dict[str, str]]], name: str, cell: Record
) -> None:
    trouble = runs[qemu].result().get(name, "did not run")
    if trouble.startswith(bed.SKIPPED):
        pytest.skip(trouble.removeprefix(bed.SKIPPED))
    if trouble:
        pytest.fail(trouble, pytrace=False)
    kind, _, test = name.partition("-")
    for feature in CELLS.get(test, ()):
        cell(feature, device=f"scsi-{kind}")
