# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU starts that are expected to fail, without a guest: a tenth of a second each."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import host
from .disk import Disk

SMALL = 16 << 20  # bytes; of a file system that a test may fill
UUID = "3d7c4ef0-0a45-4d2b-9c1e-5a2f0c1b7e55"


@dataclass
class Ended:
    """How QEMU ended."""

    code: int
    stderr: str  # less the -device option that QEMU repeats: that would match anything

    def refusal(self, *patterns: str) -> str:
        """Its error message, having checked that it is one clear refusal.

        Exit code 1, one line that says what is wrong, at most one more that says what to do, no
        sign of a crash; both together match every one of the patterns.
        """
        lines = self.stderr.strip().splitlines()
        assert self.code == 1, f"exit code {self.code}, not 1: {self.stderr}"
        assert 1 <= len(lines) <= 2, f"not one error and one hint: {self.stderr}"
        for pattern in patterns:
            assert re.search(pattern, self.stderr), f"does not say {pattern!r}: {self.stderr}"
        return self.stderr


def start(
    binary: Path,
    disks: Sequence[Disk],
    *,
    uuid: str | None = UUID,
    wrapper: Sequence[str] = (),
    patience: float = 20,
) -> Ended:
    """Start QEMU with stopped CPUs and wait for its end; fails when it does not refuse."""
    command = [*wrapper, str(binary), "-nodefaults", "-no-user-config", "-display", "none", "-S"]
    command += [*host.firmware(), "-accel", "tcg", "-machine", "q35", "-name", "guest=vm2"]
    command += ["-uuid", uuid] if uuid else []
    command += ["-device", "virtio-scsi-pci,id=scsi0"]
    options = [option for disk in disks for option in disk.arguments()]
    command += options
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired as running:
        said = (running.stderr or b"").decode()
        pytest.fail(f"QEMU did not refuse to start; it said: {said!r}; {' '.join(command)}")
    said = done.stderr
    for option in options:
        said = said.replace(f" {option}: ", " …: ")
    return Ended(done.returncode, said)


def without_override() -> list[str]:
    """A wrapper under which file permissions count for root too."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]


def in_mount_namespace(script: str, *arguments: str) -> list[str]:
    """A wrapper that runs a shell script, which can mount, and then what follows.

    The mounts are seen by that process only and vanish with it. Skips where the machine allows
    no mount namespaces.
    """
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    probe = subprocess.run(
        [*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"this machine allows no mount namespace: {probe.stderr.strip()}")
    shifts = " ".join("shift;" for _ in arguments)
    return [*unshare, "sh", "-ec", f'{script}; {shifts} exec "$@"', "sh", *arguments]


def fill(file: Path) -> None:
    """Fill the small file system that `file` is to be on. No other: where the mount is not there,
    or a process whose root this is has gone, that would be the machine's disk.
    """
    status = os.statvfs(file.parent)
    size = status.f_blocks * status.f_frsize
    assert size <= SMALL, f"{file.parent} is on a file system of {size} bytes, not on a small one"
    with file.open("wb", buffering=0) as filler, pytest.raises(OSError):
        for _ in range(size // 4096 + 2):
            filler.write(bytes(4096))
