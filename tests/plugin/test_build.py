# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/plugin-build: which QEMU a plugin can be made for, and what happens to the one before."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from guest.lib import host

from .conftest import STOCK, Plugins

SCRIPT = host.ROOT / "scripts/plugin-build"


def refused(*arguments: Path | str) -> str:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    return done.stderr


def test_no_such_file(tmp_path: Path) -> None:
    assert f"there is no {tmp_path}/qemu" in refused(tmp_path / "qemu")


def test_of_no_package(tmp_path: Path) -> None:
    """Whoever built it knows its source, we do not."""
    shutil.copy(STOCK, tmp_path / "qemu")
    said = refused(tmp_path / "qemu")
    assert "belongs to no Debian package" in said and "make qemu" in said


def test_of_another_package() -> None:
    assert "not qemu's" in refused(Path("/usr/bin/python3").resolve())


def test_a_script_that_starts_it() -> None:
    script = Path("/usr/bin/qemu-system-i386")
    if not script.exists() or script.read_bytes()[:2] != b"#!":
        pytest.skip(f"{script} is no script here")
    assert "no build ID" in refused(script)


def test_wrong_arguments(tmp_path: Path) -> None:
    assert "no option --fast" in refused("--fast")
    assert f"there is no {tmp_path}/qemu.deb" in refused("--deb", tmp_path / "qemu.deb")


def test_a_package_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "qemu.deb").write_text("an error page of a mirror's")
    assert "cannot be unpacked" in refused("--deb", tmp_path / "qemu.deb")


def test_a_running_vms_file_is_replaced_not_written_to() -> None:
    """Of a file that it has mapped a VM would see what is written into it."""
    made = Plugins(host.BUILD / "plugin/lib").made
    with made.open("rb") as before:
        content = before.read()
        subprocess.run([SCRIPT, STOCK], check=True, capture_output=True)
        before.seek(0)
        assert before.read() == content
        assert made.stat().st_ino != Path(f"/proc/self/fd/{before.fileno()}").stat().st_ino
