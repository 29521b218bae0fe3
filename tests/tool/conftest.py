# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores for the tool: as QEMU makes them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.vm import VM
from tool.run import A, paused


@pytest.fixture(scope="module")
def fresh(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that QEMU has made, with nothing in it; to be copied."""
    place = tmp_path_factory.mktemp("fresh")
    vm = paused(qemu, disk.create(place / "disk.img", size=1 << 20), place / "quorum.pr", A)
    try:
        assert vm.stop() == 0
    finally:
        vm.close()
    return place / "quorum.pr"


@pytest.fixture
def path(fresh: Path, tmp_path: Path) -> Path:
    """A store of this test's own, empty, that nobody uses."""
    place = tmp_path / "stores"
    place.mkdir()
    shutil.copy(fresh, place)
    return place / fresh.name


@pytest.fixture
def uri(path: Path) -> str:
    return f"file:{path}"


@pytest.fixture
def vm(qemu: Path, path: Path, tmp_path: Path) -> Iterator[VM]:
    """A QEMU with stopped CPUs that is attached to the store as A."""
    vm = paused(qemu, disk.create(tmp_path / "disk.img", size=1 << 20), path, A)
    yield vm
    vm.close()
