# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests that boot guests. They run once for each QEMU series that is built."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest.lib import disk, host, matrix
from guest.lib.matrix import Record
from guest.lib.vm import VM, running


def pytest_configure(config: pytest.Config) -> None:
    """What is in force is kept on tmpfs: in a directory that goes with the tests, whoever was killed."""
    runtime = tempfile.TemporaryDirectory(prefix="scsi-pr-tests-", dir="/dev/shm")
    os.chmod(runtime.name, 0o1777)
    os.environ["XDG_RUNTIME_DIR"] = runtime.name
    config.add_cleanup(runtime.cleanup)
    config.addinivalue_line("markers", "long: not in `make check`, but in `make check-long`")


@functools.cache  # pytest tells parameters apart by identity: new objects mean new guests
def binaries() -> dict[str, Path | host.Missing]:
    try:
        return dict(host.binaries())
    except host.Missing as missing:
        return {"missing": missing}  # the fixture fails: a skip would pass for a success


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "qemu" in metafunc.fixturenames:
        count = 1 if getattr(metafunc.module, "ONLY_NEWEST_QEMU", False) else None
        marks = [pytest.mark.long] if getattr(metafunc.module, "OTHER_QEMUS_TAKE_LONG", False) else []
        params = [
            pytest.param(binary, id=f"qemu-{series}", marks=marks if number else [])
            for number, (series, binary) in enumerate(binaries().items())
        ]
        metafunc.parametrize("qemu", params[:count], indirect=True, scope="session")


@pytest.fixture(scope="session")
def qemu(request: pytest.FixtureRequest) -> Path:
    """The QEMU binary under test."""
    if isinstance(request.param, host.Missing):
        pytest.fail(str(request.param), pytrace=False)
    path: Path = request.param
    return path


@pytest.fixture
def cell(
    request: pytest.FixtureRequest, qemu: Path, record_property: Callable[[str, object], None]
) -> Record:
    """Puts what a test has shown into docs/matrix.md; its adapter is that of fixture `adapter`."""

    def record(feature: str, adapter: str = "virtio-scsi-pci", device: str = "scsi-hd") -> None:
        if "adapter" in request.fixturenames:
            adapter = request.getfixturevalue("adapter").device
        shown = matrix.value(device, adapter, host.version(qemu), feature)
        record_property(matrix.PROPERTY, shown)

    return record


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk of a test's own."""
    return disk.create(tmp_path / "disk.img", size=1 << 20)


@pytest.fixture(scope="module")
def guest(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    """A guest with one ordinary disk of its own, shared by a module's tests."""
    image = disk.create(tmp_path_factory.mktemp("guest") / "disk.img", fill=b"fresh")
    with VM("solo", [disk.Disk(image, share_rw=False)], binary=qemu) as vm:
        yield vm


@pytest.fixture(scope="module")
def pair(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VM, VM]]:
    """Guests A and B, each in its own QEMU process, sharing a disk and its file: store."""
    directory = tmp_path_factory.mktemp("pair")
    image = disk.create(directory / "quorum.img")
    store = f"file:{directory}/quorum.pr"
    a, b = (VM(name, [disk.Disk(image, pr_store=store)], binary=qemu) for name in "AB")
    with running(a, b):
        yield a, b
