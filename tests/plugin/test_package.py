# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Debian package does about plugins (debian/bin/plugins, debian/bin/scsi-pr-plugin-build), in a
tree of its own with a dpkg that answers what the test says. The real one: scripts/deb-try."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.startup import in_mount_namespace, without_override
from tool.run import program

from . import elf
from .conftest import STOCK, Plugins

CARE = host.ROOT / "debian/bin/plugins"
BUILD = host.ROOT / "debian/bin/scsi-pr-plugin-build"
LOUD = "HAS NO PLUGIN FOR PERSISTENT RESERVATIONS"
PACKAGE = "qemu-system-x86"
# A program that has its input mapped.
USER = "import mmap, time; m = mmap.mmap(0, 0, prot=1); print(flush=True); time.sleep(99)"


@dataclass
class Host:
    """A host with the package, where QEMU has just been upgraded."""

    top: Path
    plugins: Plugins
    version: str = "1:7.2-1"  # of QEMU's package

    def program(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def owned(self, *files: Path) -> None:
        """The files of packages; dpkg knows the version of QEMU's, too."""
        cases = "".join(f"'-S {file}') exit 0 ;;\n" for file in files)
        self.program("dpkg-query", f'case "$*" in\n{cases}-W*) echo "{self.version}" ;;\n*) exit 1 ;;\nesac')

    def allow(self, answer: str = "yes") -> None:
        (self.top / "plugin.conf").write_text(f"# PLUGIN_BUILD=yes\nPLUGIN_BUILD={answer}\n")

    def run(self, *command: object, wrapper: tuple[str, ...] = ()) -> str:
        """What it says; it never fails."""
        done = self.ended(*command, wrapper=wrapper)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def ended(self, *command: object, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "PATH": f"{self.top}/bin:{os.environ['PATH']}", "TMPDIR": str(self.top),
            "SCSI_PR_QEMU": str(self.plugins.qemu), "SCSI_PR_LIB": str(self.plugins.directory),
            "SCSI_PR_CONFIG": str(self.top / "plugin.conf"), "SCSI_PR_CARE": str(CARE),
            "SCSI_PR_SCRIPTS": str(self.top / "scripts"),
        }  # fmt: skip
        words = [*wrapper, *map(str, command)]
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)

    def other(self, name: str = "0123", version: str = "1:7.2-0") -> Path:
        """A plugin for another QEMU."""
        path = self.plugins.directory / f"scsi-pr-{name}.so"
        path.write_bytes(f"\0{self.plugins.qemu.name} of {PACKAGE} {version}\0".encode())
        return path


@pytest.fixture
def upgraded(plugins: Plugins, tmp_path: Path) -> Host:
    plugins.qemu = tmp_path / "qemu"
    elf.of_another_build(STOCK, plugins.qemu)
    (tmp_path / "bin").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin/scsi-pr").symlink_to(program())
    found = Host(tmp_path, plugins)
    found.owned(plugins.made)
    found.program("logger", f"cat >{tmp_path}/log")
    return found


def test_said_loudly(upgraded: Host) -> None:
    """To the terminal and to the log: which QEMU, what does not start, what to do."""
    said = upgraded.run(CARE, "check")
    assert LOUD in said and elf.build_id(upgraded.plugins.qemu) in said
    assert "apt-get install scsi-pr-plugin-build" in said
    assert LOUD in (upgraded.top / "log").read_text()


def test_nothing_to_say(upgraded: Host) -> None:
    upgraded.plugins.qemu = STOCK
    assert upgraded.run(CARE, "check") == ""


def test_qemu_was_removed(upgraded: Host) -> None:
    upgraded.plugins.qemu.unlink()
    assert upgraded.run(CARE, "check") == ""


@pytest.mark.parametrize("answer", ["no", "", "yes please", "y"])
def test_not_allowed(upgraded: Host, answer: str) -> None:
    upgraded.allow(answer)
    upgraded.program("scsi-pr-plugin-build", f"touch {upgraded.top}/built")
    assert LOUD in upgraded.run(CARE, "check")
    assert not (upgraded.top / "built").exists()


def test_allowed(upgraded: Host) -> None:
    upgraded.allow()
    upgraded.program("scsi-pr-plugin-build", f'echo "$@" >{upgraded.top}/built')
    assert LOUD not in upgraded.run(CARE, "check")
    assert (upgraded.top / "built").read_text() == f"{upgraded.plugins.qemu}\n"


def test_allowed_but_not_installed(upgraded: Host) -> None:
    upgraded.allow()
    said = upgraded.run(CARE, "check")
    assert LOUD in said and "scsi-pr-plugin-build is not installed" in said


def test_allowed_without_network(upgraded: Host) -> None:
    """apt goes on: the plugin is missing whether its trigger fails or not."""
    upgraded.allow()
    upgraded.program("scsi-pr-plugin-build", "echo cannot be downloaded >&2; exit 1")
    said = upgraded.run(CARE, "check")
    assert LOUD in said and "cannot be downloaded" in said


def test_new_version_has_no_plugin_for_an_older_qemu(upgraded: Host) -> None:
    """Of the one that is installed its plugin stays; it is told to be old."""
    installed, other = upgraded.other("01", "1:7.2-1"), upgraded.other("02")
    upgraded.run(CARE, "keep")
    installed.unlink()
    other.unlink()
    upgraded.run(CARE, "restore")
    assert installed.exists() and not other.exists()
    assert f"{installed} is of the version before" in upgraded.run(CARE, "upgraded")


def test_new_version_makes_a_plugin_once(upgraded: Host) -> None:
    """What was just made is not of the version before."""
    upgraded.allow()
    made = upgraded.plugins.directory / "scsi-pr-01.so"
    text = f"\\0{upgraded.plugins.qemu.name} of {PACKAGE} {upgraded.version}\\0"
    upgraded.program("scsi-pr-plugin-build", f"echo made >>{upgraded.top}/built; printf '{text}' >{made}")
    upgraded.run(CARE, "upgraded")
    assert (upgraded.top / "built").read_text() == "made\n"


def test_new_version_replaces(upgraded: Host) -> None:
    upgraded.run(CARE, "keep")
    made = upgraded.plugins.made
    made.unlink()
    made.write_text("new")
    upgraded.run(CARE, "restore")
    assert made.read_text() == "new"
    assert [path for path in made.parent.iterdir() if path.name.startswith(".")] == []


def test_old_ones_stay_while_loaded(upgraded: Host) -> None:
    """Also when the file under that name is another one by now."""
    loaded, other = upgraded.other("01"), upgraded.other("02")
    with loaded.open("rb") as file:
        user = subprocess.Popen(["python3", "-c", USER], stdin=file, stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        user.stdout.readline()
        shutil.copy(loaded, f"{loaded}.new")
        os.rename(f"{loaded}.new", loaded)
        upgraded.run(CARE, "tidy")
        assert loaded.exists() and not other.exists()
        assert upgraded.ended(CARE, "users").stdout == "1\n"
    finally:
        user.kill()
        user.communicate()
    upgraded.run(CARE, "tidy")
    assert not loaded.exists()


def test_those_of_packages_stay(upgraded: Host) -> None:
    upgraded.run(CARE, "tidy")
    assert upgraded.plugins.made.exists()


def refused(upgraded: Host, *options: object, wrapper: tuple[str, ...] = ()) -> str:
    """Before anything is downloaded."""
    upgraded.program("apt-get", f"touch {upgraded.top}/downloaded")
    done = upgraded.ended(BUILD, *options, upgraded.plugins.qemu, wrapper=wrapper)
    assert done.returncode == 1 and done.stderr.startswith("scsi-pr-plugin-build: ")
    assert not (upgraded.top / "downloaded").exists()
    return done.stderr


def test_build_with_a_read_only_usr(upgraded: Host) -> None:
    mount = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'
    directory = str(upgraded.plugins.directory)
    said = refused(upgraded, wrapper=tuple(in_mount_namespace(mount, directory)))
    assert f"{directory} is not writable" in said and "remount,rw" in said


def test_build_as_somebody(upgraded: Host) -> None:
    upgraded.plugins.directory.chmod(0o555)
    assert "Run this as root" in refused(upgraded, wrapper=tuple(without_override()))


def test_build_half_installed(upgraded: Host) -> None:
    upgraded.plugins.loader.unlink()
    assert "half, installed" in refused(upgraded)


def test_build_has_no_such_option(upgraded: Host) -> None:
    assert upgraded.ended(BUILD, "--fast").returncode == 2


def test_build_has_nothing_to_do(upgraded: Host) -> None:
    upgraded.plugins.qemu = STOCK
    assert "starts with" in upgraded.ended(BUILD, STOCK).stdout


def test_build(upgraded: Host) -> None:
    """What scripts/plugin-build puts there is what counts; its directory does not stay."""
    upgraded.plugins.qemu = STOCK
    made = upgraded.plugins.made
    made.rename(upgraded.top / "made")
    script = upgraded.top / "scripts/plugin-build"
    where, copy = f'echo "$SCSI_PR_BUILD" >{upgraded.top}/where', f"cp {upgraded.top}/made {made}"
    script.write_text(f"#!/bin/sh\n{where}; {copy}\n")
    script.chmod(0o755)
    assert "starts with" in upgraded.ended(BUILD, STOCK).stdout
    place = Path((upgraded.top / "where").read_text().strip())
    assert place.parent == upgraded.top and not place.exists()


def test_build_fails(upgraded: Host) -> None:
    """It says what that means, behind the reason."""
    script = upgraded.top / "scripts/plugin-build"
    script.write_text("#!/bin/sh\necho the reason >&2; exit 1\n")
    script.chmod(0o755)
    done = upgraded.ended(BUILD, upgraded.plugins.qemu)
    assert done.returncode == 1
    assert "the reason" in done.stderr and "do not start until there is one" in done.stderr
