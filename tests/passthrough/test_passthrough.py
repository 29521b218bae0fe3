# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-block and scsi-generic with pr-store, on real device nodes.

The tests are qtests (tests/qtest/scsi-pr-passthrough*-test.c); they run in a guest that has the
disks (bed.py).
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from guest.lib import host
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


@pytest.fixture(scope="module")
def results(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of all tests with this QEMU; once, since each start of a guest costs seconds."""
    tests = bed.our_tests(qemu)
    assert tests, f"{bed.qos_test(qemu)} has no test of ours: run `scripts/check passthrough`"
    with bed.bed(qemu, tmp_path_factory.mktemp("bed")) as vm:
        by_path = bed.run_qtests(vm, tests)
    return {name.rpartition("/passthrough-pr-")[2]: trouble for name, trouble in by_path.items()}


def test_qtest(results: dict[str, str], name: str) -> None:
    assert results.get(name, "did not run") == ""
