# SPDX-License-Identifier: GPL-2.0-or-later
"""The man page says what the program has, and is sound."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from guest.lib import host
from tool.run import good

PAGE = host.ROOT / "docs/scsi-pr.1"
TEXT = PAGE.read_text().replace("\\-", "-").replace('"', "")


def subcommands(*of: str) -> list[str]:
    section = good(*of, "--help").out.split("Subcommands:")[1].split("\n\n")[0]
    return re.findall(r"^  ([\w-]+)", section, re.M)


def commands() -> list[str]:
    """Those of `path` by both words."""
    simple = [command for command in subcommands() if command != "path"]
    return simple + [f"path {command}" for command in subcommands("path")]


def test_has_every_subcommand() -> None:
    assert len(commands()) == 20
    for command in commands():
        assert re.search(rf"^\.B scsi-pr {command}$", TEXT, re.M), f"synopsis lacks {command}"
        assert re.search(rf"^\.BI {command} ", TEXT, re.M), f"subcommands lack {command}"


def test_has_every_option_and_no_other() -> None:
    options = {option for command in [[], *[c.split() for c in commands()]]
               for option in re.findall(r"--[a-z]+", good(*command, "--help").out.split("Examples:")[0])}
    told = set(re.findall(r"^\.(?:B|BI|BR) (?:-h ,\s+)?(--[a-z]+)", TEXT, re.M))
    assert told == options


def test_has_every_kind_of_change() -> None:
    source = (host.ROOT / "hw/scsi/pr/tool/changes.cc").read_text()
    names = set(re.findall(r'(?:push_back\(\{|add\(|legacy\(|\? |: )"([a-z-]+)"', source))
    names -= {"on", "off"}
    assert {"registered", "legacy-released", "information-lost", "fencing-ended"} <= names
    for name in names:
        assert re.search(rf"\b{name}\b", TEXT), name


@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("*.[18]")), ids=lambda page: page.name)
def test_formats_without_a_warning(page: Path) -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", page], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_hooks_have_every_option_and_no_other() -> None:
    program = host.ROOT / "hw/scsi/pr/agent/hooks/scsi-pr-confirm"
    helps = [subprocess.run([program, kind, "--help"], capture_output=True, text=True, check=True).stdout
             for kind in ("kubernetes", "proxmox")]
    page = (PAGE.parent / "scsi-pr-confirm.8").read_text().replace("\\-", "-")
    told = set(re.findall(r"^\.(?:B|BI|BR) (?:-h ,\s+)?(--[a-z-]+)", page.replace('"', ""), re.M))
    assert told == set(re.findall(r"--[a-z-]+", "".join(helps)))


def test_is_installed() -> None:
    assert Path(host.BUILD, "prefix/share/man/man1/scsi-pr.1").read_text() == PAGE.read_text()
