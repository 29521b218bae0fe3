# SPDX-License-Identifier: GPL-2.0-or-later
"""tgt on this machine, over iSCSI on the loopback device."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest.lib.process import Child

from .lio import PROGRAM

NAME = "iqn.2026-01.org.example:tgt"


def missing() -> str:
    """Why it cannot run here; '' if it can."""
    if os.geteuid() != 0:
        return "only root can start tgtd"
    if shutil.which("tgtd", path="/usr/sbin:/usr/bin") is None:
        return "tgtd is not there: scripts/deps peers installs it"
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _administer(control: int, *arguments: str) -> None:
    command = ["/usr/sbin/tgtadm", "--control-port", str(control), "--lld", "iscsi", *arguments]
    for _ in range(50):  # until it listens
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(command, check=True)


@contextmanager
def target(directory: Path) -> Iterator[str]:
    """The URL of a logical unit."""
    port, control = _free_port(), os.getpid() % 30000 + 1000
    image = directory / "tgt.img"
    image.write_bytes(bytes(16 << 20))
    options = ["-f", "--control-port", str(control), "--iscsi", f"portal=127.0.0.1:{port}"]
    tgtd = Child(["/usr/sbin/tgtd", *options], directory / "tgtd.log")
    try:
        new = ("--op", "new", "--tid", "1")
        _administer(control, "--mode", "target", *new, "--targetname", NAME)
        _administer(control, "--mode", "logicalunit", *new, "--lun", "1", "-b", str(image))
        _administer(control, "--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        yield f"iscsi://127.0.0.1:{port}/{NAME}/1"
    finally:
        tgtd.kill()


def measure(directory: Path, rounds: int) -> str:
    """What pr-latency says of it."""
    program = directory / "pr-latency"
    compile_ = ["gcc", "-O2", "-DPR_LATENCY_ISCSI", "-o", program, PROGRAM, "-liscsi"]
    subprocess.run(compile_, check=True)
    with target(directory) as url:
        done = subprocess.run(
            [program, str(rounds), url], check=True, capture_output=True, text=True, timeout=120
        )
    return done.stdout
