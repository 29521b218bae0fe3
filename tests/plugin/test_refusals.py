# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU whose plugin is missing, or another's, does not start, and says in one message why."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.disk import Disk
from guest.lib.startup import Ended, in_mount_namespace, start, without_override

from . import elf
from .conftest import SANDBOX, STOCK, Plugins

WHAT_TO_DO = r"make plugin"
NO_RESERVATIONS = r"does not start, for its disks would have no reservations"


def refused(plugins: Plugins, *patterns: str, arguments: str = "") -> str:
    return start(plugins.emulator(arguments), []).refusal(*patterns)


def by_the_loader(plugins: Plugins, why: str) -> str:
    """Its message names the QEMU that runs, by file and build ID, and says what to do."""
    which = f"{re.escape(str(plugins.qemu))}, build ID {elf.build_id(plugins.qemu)}"
    return refused(plugins, "scsi-pr: no plugin for this QEMU", which, why, NO_RESERVATIONS, WHAT_TO_DO)


@pytest.fixture
def upgraded(plugins: Plugins, tmp_path: Path) -> Plugins:
    """The QEMU is another build than the one that the plugin was made for."""
    plugins.qemu = tmp_path / STOCK.name
    elf.of_another_build(STOCK, plugins.qemu)
    return plugins


def test_loads(plugins: Plugins) -> None:
    """The control: an argument further on is what is wrong."""
    refused(plugins, "there is no trace event", arguments=",trace=nothing")


def test_no_loader(plugins: Plugins) -> None:
    plugins.loader.unlink()
    refused(plugins, f"Could not load plugin {plugins.loader}", "No such file")


def test_another_build(upgraded: Plugins) -> None:
    """It says what there is, and for which QEMU."""
    said = by_the_loader(upgraded, "No such file or directory")
    assert re.search(rf"plugins for {STOCK.name} of .* \(build ID {elf.build_id(STOCK)}\)", said)


def test_many_others(upgraded: Plugins) -> None:
    """Whatever lies there, what to do is said."""
    for number in range(300):
        (upgraded.directory / f"scsi-pr-{number:0100}.so").symlink_to(upgraded.made)
    said = by_the_loader(upgraded, "No such file or directory")
    assert 10000 < len(said) < 20000 and said.endswith("\n")


def test_nothing_but_the_loader(plugins: Plugins) -> None:
    plugins.made.unlink()
    assert f"{plugins.directory} has plugins for no QEMU." in by_the_loader(plugins, "No such file")


def test_another_qemus_file_under_this_ones_name(upgraded: Plugins) -> None:
    shutil.copy(upgraded.made, upgraded.directory / f"scsi-pr-{elf.build_id(upgraded.qemu)}.so")
    by_the_loader(upgraded, "the file is made for another QEMU")


def test_two_versions_side_by_side(plugins: Plugins) -> None:
    """A loader and a file of versions that do not know each other."""
    data = plugins.made.read_bytes()
    plugins.made.write_bytes(data.replace(b"scsi_pr_plugin_1\0", b"scsi_pr_plugin_0\0"))
    by_the_loader(plugins, "of another version than scsi-pr.so")


def test_another_architecture(plugins: Plugins) -> None:
    elf.of_another_architecture(plugins.made, plugins.made)
    by_the_loader(plugins, "the file is for another architecture")


def test_loader_for_another_architecture(plugins: Plugins) -> None:
    elf.of_another_architecture(plugins.loader, plugins.loader)
    refused(plugins, f"Could not load plugin {plugins.loader}")


@pytest.mark.parametrize("length", [0, 1, 63, 64, 100, 5000, -1])
def test_incomplete(plugins: Plugins, length: int) -> None:
    """Half-installed: whatever is missing, ld.so does not see it."""
    plugins.made.write_bytes(plugins.made.read_bytes()[:length])
    by_the_loader(plugins, "the file is (incomplete|not a shared object)")


def test_a_library_is_missing(plugins: Plugins) -> None:
    data = plugins.made.read_bytes()
    assert b"libstdc++.so.6\0" in data
    plugins.made.write_bytes(data.replace(b"libstdc++.so.6\0", b"libstdc++.so.0\0"))
    by_the_loader(plugins, "the plugin cannot be loaded: libstdc\\+\\+.so.0")


def test_no_file_but_a_directory(plugins: Plugins) -> None:
    plugins.made.unlink()
    plugins.made.mkdir()
    by_the_loader(plugins, "the file is not a shared object")


def test_a_shared_object_of_somebody_else(plugins: Plugins) -> None:
    shutil.copy(plugins.loader, plugins.made)
    by_the_loader(plugins, "does not say which QEMU it is made for")


def test_not_to_be_read(plugins: Plugins) -> None:
    plugins.made.chmod(0)
    ended = start(plugins.emulator(), [], wrapper=without_override())
    ended.refusal("Permission denied", WHAT_TO_DO)


def test_dangling_link(plugins: Plugins) -> None:
    plugins.made.unlink()
    plugins.made.symlink_to("nowhere.so")
    by_the_loader(plugins, "No such file or directory")


def test_directory_that_may_not_be_listed(upgraded: Plugins) -> None:
    """As under AppArmor: files may be mapped, but the directory not be read."""
    upgraded.directory.chmod(0o311)
    script = upgraded.emulator()
    ended = start(script, [], wrapper=[*without_override(), "sh"])
    ended.refusal("No such file", "cannot be listed: Permission denied", WHAT_TO_DO)


def test_the_file_itself_is_no_plugin(plugins: Plugins) -> None:
    """Whoever names it would go round the check."""
    plugins.made.rename(plugins.loader)
    refused(plugins, f"Could not load plugin {plugins.loader}", "qemu_plugin_install")


def test_twice(plugins: Plugins, tmp_path: Path) -> None:
    other = Plugins(tmp_path / "other")
    other.directory.mkdir()
    other.install()
    ended = start(plugins.emulator(f" -plugin file={other.loader}"), [])
    ended.refusal("this QEMU has persistent reservations already", "only once")


@pytest.mark.parametrize("argument", ["pr-dir=/tmp", "store=x", "tracer=scsi_pr_*", "on=off"])
def test_wrong_argument(plugins: Plugins, argument: str) -> None:
    refused(plugins, "scsi-pr: ", "trace=PATTERN|scsi_pr_", arguments=f",{argument}")


@pytest.mark.parametrize("pattern", ["", "scsi_pr", "scsi_pr_nothing*"])
def test_no_such_trace_event(plugins: Plugins, pattern: str) -> None:
    refused(plugins, f"there is no trace event '{re.escape(pattern)}'", arguments=f",trace={pattern}")


def test_in_the_background(plugins: Plugins) -> None:
    """-daemonize: whoever starts it is told, too."""
    plugins.made.unlink()
    start(plugins.emulator(" -daemonize"), []).refusal(WHAT_TO_DO)


def test_with_seccomp(plugins: Plugins) -> None:
    plugins.made.unlink()
    start(plugins.emulator(" " + " ".join(SANDBOX)), []).refusal(WHAT_TO_DO)


def test_forgotten(tmp_path: Path) -> None:
    """A stock QEMU without its plugin does not know pr-store: it does not start either."""
    image = disk.create(tmp_path / "disk.img")
    ended: Ended = start(STOCK, [Disk(image, pr_store="memory:")])
    ended.refusal("pr-store")


def test_forgotten_with_one_line_for_a_host(tmp_path: Path) -> None:
    image = disk.create(tmp_path / "disk.img")
    wrapper = ["sh", "-c", f'exec "$@" -global scsi-hd.pr-dir={tmp_path}', "sh"]
    start(STOCK, [Disk(image)], wrapper=wrapper).refusal("pr-dir")


def test_read_only_file_system(plugins: Plugins, tmp_path: Path) -> None:
    """/usr may be read-only: a refusal of the store shows that the plugin was loaded."""
    mount = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'
    image = disk.create(tmp_path / "disk.img")
    script = plugins.emulator()
    wrapper = in_mount_namespace(mount, str(plugins.directory))
    start(script, [Disk(image, pr_store="paper:")], wrapper=wrapper).refusal("is no store URI")
