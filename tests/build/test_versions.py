# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between versions of QEMU, and between overlay and plugin, is in one file of the shim.

Which series there are is in one table, scripts/qemu-series.txt."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from guest.lib.host import ROOT, known_series

SHIM = ROOT / "hw/scsi/pr/qemu"
CONDITION = re.compile(r"\b(QEMU_VERSION_\w+|SCSI_PR_PLUGIN|CONFIG_PLUGIN)\b")
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b(.*)$", re.M)


def test_versions_are_looked_at_in_one_file() -> None:
    files = [*SHIM.glob("*.[ch]"), *SHIM.glob("plugin/*.[ch]")]
    assert len(files) > 20
    found = {file.name for file in files if CONDITION.search(file.read_text())}
    assert found == {"pr-compat.h"}


def test_nothing_else_is_compiled_conditionally() -> None:
    """But include guards: what depends on the system, or on QEMU's headers, belongs there too."""
    for file in [*SHIM.glob("*.[ch]"), *SHIM.glob("plugin/*.[ch]")]:
        conditions = [rest.strip() for _, rest in CONDITIONAL.findall(file.read_text())]
        assert file.name == "pr-compat.h" or all(re.fullmatch(r"HW_\w+_H", c) for c in conditions), file


@pytest.mark.parametrize("page", ["docs/testing.md", "docs/user.md"])
def test_pages_have_each_series(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [series for series in known_series() if series not in text] == []


def test_scripts_name_no_series() -> None:
    """But in comments and help."""
    series = re.compile(r"\b(" + "|".join(map(re.escape, known_series())) + r")\b")
    for file in (ROOT / "scripts").iterdir():
        if file.is_file() and file.suffix != ".txt":
            lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
            assert [line for line in lines if series.search(line)] == [], file


def lib_qemu(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f". scripts/lib.sh; . scripts/lib-qemu.sh; {command}"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("QEMU")}
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False
    )


def test_scripts_know_what_the_table_has() -> None:
    for series in known_series():
        said = lib_qemu('echo "$QEMU_SERIES $QEMU_DIR ${#QEMU_SUITES[@]} $QEMU_MESON"', QEMU_SERIES=series).stdout
        name, directory, suites, meson = said.split()
        assert (name, directory) == (series, str(ROOT / f"build/qemu-{series}"))
        assert int(suites) > 0 and re.fullmatch(r"system|\d+\.\d+", meson)
    assert lib_qemu('echo "$QEMU_SERIES"').stdout.strip() == known_series()[0]


def test_a_series_that_is_not_in_the_table_is_refused() -> None:
    done = lib_qemu("true", QEMU_SERIES="0.1")
    assert done.returncode == 1 and done.stdout == ""
    assert "unknown QEMU_SERIES '0.1'" in done.stderr and " ".join(known_series()) in done.stderr


def test_a_target_without_devices_is_refused() -> None:
    done = lib_qemu("scripts/qemu-build", TARGETS="x86_64 vax")
    assert done.returncode == 1 and "unknown target 'vax'" in done.stderr


APT_SAID = {
    "E: Failed to fetch http://mirror/pool/main/q/qemu/qemu_1.dsc  404  Not Found [IP: 192.0.2.1 80]": True,
    "E: Unable to find a source package for qemu": True,
    "E: Failed to fetch http://mirror/dists/sid/InRelease  404  Not Found [IP: 192.0.2.1 80]": False,
    "E: Failed to fetch http://mirror/dists/sid/InRelease  Could not connect to mirror:80": False,
}


@pytest.mark.parametrize("line", APT_SAID, ids=["404", "no version", "no suite", "no network"])
def test_what_the_archive_does_not_have_is_told_from_other_failures(line: str, tmp_path: Path) -> None:
    (tmp_path / "qemu-0-download.log").write_text(f"Reading package lists...\n{line}\n")
    done = lib_qemu(f"LOGS={tmp_path} QEMU_SERIES=0; why_not_in_archive")
    assert (done.returncode == 0) == APT_SAID[line]
    assert done.stdout == (f"{line}\n" if APT_SAID[line] else "")


def test_lines_of_qapi_documentation() -> None:
    """QEMU refuses longer ones since 10.2."""
    lines = (ROOT / "qapi/scsi-pr.json").read_text().splitlines()
    assert [line for line in lines if line.startswith("#") and len(line) > 70] == []
