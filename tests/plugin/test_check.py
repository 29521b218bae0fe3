# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-pr plugin-check: whether this host's QEMU starts with the plugin, for a monitor."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tool.run import DONE, NOT_IN_TIME, UNUSABLE, Ran, scsi_pr

from . import elf
from .conftest import STOCK, Plugins


def check(plugins: Plugins, *options: object) -> Ran:
    return scsi_pr("plugin-check", "--emulator", plugins.qemu, "--plugin", plugins.loader, *options)


def fails(plugins: Plugins, *words: str, code: int = UNUSABLE) -> str:
    """With one message, of one line."""
    ran = check(plugins, "--timeout", 1) if code == NOT_IN_TIME else check(plugins)
    assert (ran.code, ran.out) == (code, ""), ran
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"scsi-pr: {plugins.qemu} does not start with {plugins.loader}: ")
    for word in words:
        assert word in ran.err
    return ran.err


def script(plugins: Plugins, text: str) -> None:
    plugins.qemu = plugins.directory / "qemu"
    plugins.qemu.write_text(f"#!/bin/sh\n{text}\n")
    plugins.qemu.chmod(0o755)


def test_starts(plugins: Plugins) -> None:
    ran = check(plugins)
    assert (ran.code, ran.err) == (DONE, "")
    assert ran.out == f"{STOCK} starts with {plugins.loader}\n"


def test_place_with_a_comma(plugins: Plugins) -> None:
    """It ends the value of an option of QEMU's."""
    plugins.directory = plugins.directory.rename(plugins.directory.parent / "a,trace=b")
    assert check(plugins).code == DONE


def test_no_plugin(plugins: Plugins) -> None:
    plugins.made.unlink()
    fails(plugins, "no plugin for this QEMU", elf.build_id(STOCK), "scsi-pr-plugin-build")


def test_qemu_was_upgraded(plugins: Plugins, tmp_path: Path) -> None:
    plugins.qemu = tmp_path / "qemu"
    elf.of_another_build(STOCK, plugins.qemu)
    fails(plugins, elf.build_id(plugins.qemu), elf.build_id(STOCK))


@pytest.mark.parametrize("file", ["made", "loader"])
def test_another_architecture(plugins: Plugins, file: str) -> None:
    path: Path = getattr(plugins, file)
    elf.of_another_architecture(path, path)
    fails(plugins, path.name)


def test_two_versions(plugins: Plugins) -> None:
    data = plugins.made.read_bytes()
    plugins.made.write_bytes(data.replace(b"scsi_pr_plugin_1\0", b"scsi_pr_plugin_0\0"))
    fails(plugins, "of another version")


def test_half_installed(plugins: Plugins) -> None:
    plugins.loader.unlink()
    fails(plugins, "Could not load plugin")


def test_a_plugin_of_somebody_else(plugins: Plugins) -> None:
    """It loads, but QEMU has no persistent reservations."""
    script(plugins, f'exec {STOCK} -nodefaults -M none -display none -S -qmp stdio')
    fails(plugins, "query-scsi-pr")


def test_no_qemu(plugins: Plugins) -> None:
    plugins.qemu = plugins.directory / "nowhere"
    fails(plugins, "No such file")


@pytest.mark.parametrize("ending, why", [("exit 0", "status 0"), ("exit 7", "status 7"), ("kill -9 $$", "signal 9")])
def test_qemu_ends_without_a_word(plugins: Plugins, ending: str, why: str) -> None:
    script(plugins, ending)
    fails(plugins, why)


def test_qemu_hangs(plugins: Plugins) -> None:
    script(plugins, "exec sleep 100")
    fails(plugins, code=NOT_IN_TIME)


def test_qemu_talks_without_end(plugins: Plugins) -> None:
    script(plugins, "exec yes '\033[31m'")
    assert "\033" not in check(plugins, "--timeout", 0.5).err


def test_installed(plugins: Plugins, tmp_path: Path) -> None:
    """By name, from wherever it is run."""
    shutil.copy(plugins.loader, tmp_path)
    assert scsi_pr("plugin-check", "--plugin", plugins.loader, cwd=tmp_path).code == DONE
