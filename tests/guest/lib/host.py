# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine offers: QEMU binaries, the guest image, an accelerator that works."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build"
_BINARY = "minimal/qemu-system-x86_64"


class Missing(Exception):
    """Something has not been built; the text says which command builds it."""


def binaries() -> dict[str, Path]:
    """The QEMU binaries to test, by series, newest first; $QEMU narrows it to that one.

    $SCSI_PR_SERIES, of scripts/check, to the series that it names; else they are all that are built.
    """
    if "QEMU" in os.environ:
        path = Path(os.environ["QEMU"]).resolve()
        if not os.access(path, os.X_OK):
            raise Missing(f"QEMU={path} is no executable file; unset QEMU or correct it")
        return {version(path): path}
    found = {p.parents[1].name.removeprefix("qemu-"): p for p in BUILD.glob(f"qemu-*/{_BINARY}")}
    asked = os.environ.get("SCSI_PR_SERIES", "").split() or found.keys()
    found = {series: path for series, path in found.items() if series in asked}
    if not found:
        raise Missing(f"there is no {BUILD}/qemu-*/{_BINARY}; run `make qemu` first")
    newest_first = sorted(found, key=lambda s: [int(n) for n in re.findall(r"\d+", s)], reverse=True)
    return {series: found[series] for series in newest_first}


def known_series() -> list[str]:
    """Those that we build with, the default first."""
    lines = (ROOT / "scripts/qemu-series.txt").read_text().splitlines()
    return [line.split("|")[0].strip() for line in lines if not line.startswith("#")]


def default_binary() -> Path:
    """$QEMU, or what is built: of series $QEMU_SERIES, or of the default one, or of the newest."""
    found = binaries()
    series = os.environ.get("QEMU_SERIES") or known_series()[0]
    if "QEMU" not in os.environ and os.environ.get("QEMU_SERIES") and series not in found:
        raise Missing(f"QEMU {series} is not built; run `QEMU_SERIES={series} make qemu` first")
    return found.get(series) or next(iter(found.values()))


def stock_binary() -> Path:
    """A script that starts Debian's own QEMU with the plugin."""
    script = BUILD / "plugin/qemu-system-x86_64"
    if not os.access(script, os.X_OK):
        raise Missing(f"there is no {script}; run `make plugin` first")
    return script


def version(binary: Path) -> str:
    """The series, as in scripts/qemu-series.txt, of a binary."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+\.\d+)", said)
    if not found:
        raise Missing(f"{binary} --version does not name a version: {said!r}")
    return found[1]


def firmware() -> list[str]:
    """-L options: a QEMU that runs from its build directory looks for no firmware outside it."""
    places = [d for d in ("/usr/share/qemu", "/usr/share/seabios") if os.path.isdir(d)]
    return [word for place in places for word in ("-L", place)]


@functools.cache
def guest_image(kernel: str = "cloud") -> Path:
    """The directory with `vmlinuz` and `initramfs`, built now if need be (it says so on stderr).

    `kernel` is one of scripts/guest-image's: the standard one has drivers for every adapter."""
    script = ROOT / "scripts/guest-image"
    done = subprocess.run([script, "--kernel", kernel], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Missing(f"there is no guest image: {script} has failed")
    return Path(done.stdout.splitlines()[-1])


def accelerator(binary: Path, boots_with_kvm: Callable[[], bool]) -> str:
    """'kvm' if a guest has really booted with it on this machine, else 'tcg'.

    /dev/kvm that opens is not enough: nested, it may run so that no guest gets anywhere. The
    answer is remembered until the host reboots. QEMU_ACCEL overrides it.
    """
    if "QEMU_ACCEL" in os.environ:
        return os.environ["QEMU_ACCEL"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    question = f"{binary} {guest_image().name} {boot_id}"
    memory = BUILD / "guest/accelerators.json"
    with memory.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # side by side, one asks and the others read
        file.seek(0)
        known: dict[str, str] = json.loads(file.read() or "{}")
        if question not in known:
            known[question] = "kvm" if boots_with_kvm() else "tcg"
            file.truncate(0)
            file.write(json.dumps(known, indent=1))
        return known[question]
