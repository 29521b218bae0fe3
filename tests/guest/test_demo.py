# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo tells the truth: it passes with real persistent reservations, and fails without."""

from __future__ import annotations

import subprocess
from pathlib import Path

from guest.lib import host

OTHER_QEMUS_TAKE_LONG = True

DEMO = host.ROOT / "scripts/demo"


def demo(qemu: Path, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DEMO, "--qemu", qemu, *options]
    env = {"TMPDIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)


def test_demo(qemu: Path, tmp_path: Path) -> None:
    done = demo(qemu, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("RESERVATION CONFLICT") == 3
    assert "\033" not in done.stdout, "colours are for terminals"
    assert list(tmp_path.iterdir()) == [], "after success nothing is left behind"


def test_demo_fails_when_a_line_is_wrong(qemu: Path, tmp_path: Path) -> None:
    """With a store of its own for each guest, A's reservation does not stop B."""
    done = demo(qemu, tmp_path, "--store", "memory:")
    assert done.returncode == 1
    assert "expected: RESERVATION CONFLICT\n  but got:  GOOD" in done.stderr
    (kept,) = tmp_path.iterdir()
    assert f"Logs are kept in {kept}" in done.stderr
    assert (kept / "a/console.log").is_file() and (kept / "b/qemu.log").is_file()


def test_demo_fails_when_qemu_does_not_start(qemu: Path, tmp_path: Path) -> None:
    done = demo(qemu, tmp_path, "--store", "file:/no-such-directory/quorum.pr")
    assert done.returncode == 1
    assert "directory /no-such-directory of store" in done.stderr


def test_help() -> None:
    done = subprocess.run([DEMO, "--help"], capture_output=True, text=True, check=True)
    assert all(each in done.stdout for each in ("--qemu", "--keep", "--verbose", "--store"))
