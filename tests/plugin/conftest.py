# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU of Debian that is installed, and the plugin that scripts/plugin-build made for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import host

from .elf import build_id

STOCK = Path("/usr/bin/qemu-system-x86_64").resolve()
LOADER = "scsi-pr.so"
# Less what the overlay's minimal configuration does not have.
MACHINE = "q35,hpet=off,vmport=off"
# As libvirt confines QEMU.
SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


@dataclass
class Plugins:
    """A directory with the loader and what it can choose from."""

    directory: Path
    qemu: Path = STOCK

    @property
    def loader(self) -> Path:
        return self.directory / LOADER

    @property
    def made(self) -> Path:
        """What is made for the stock QEMU."""
        return self.directory / f"scsi-pr-{build_id(STOCK)}.so"

    def install(self) -> None:
        """What `make plugin` made."""
        for name in (LOADER, self.made.name):
            shutil.copy(host.BUILD / "plugin/lib" / name, self.directory / name)

    def emulator(self, arguments: str = "") -> Path:
        """A script that starts QEMU with this plugin."""
        script = self.directory / f"{self.qemu.name}.sh"
        script.write_text(f'#!/bin/sh\nexec {self.qemu} -plugin file={self.loader}{arguments} "$@"\n')
        script.chmod(0o755)
        return script


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    """The plugin in a directory of the test's own."""
    directory = tmp_path / "lib"
    directory.mkdir()
    plugins = Plugins(directory)
    plugins.install()
    return plugins


@pytest.fixture(scope="session", autouse=True)
def stock() -> Path:
    """The stock QEMU with its plugin, as `make plugin` says to start it."""
    try:
        return host.stock_binary()
    except host.Missing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def overlay(stock: Path) -> Path:
    """The overlay's QEMU of the same series."""
    series = host.version(stock)
    found = host.binaries().get(series)
    if found is None:
        pytest.skip(f"QEMU {series} with the overlay is not built")
    return found
