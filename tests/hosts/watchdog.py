# SPDX-License-Identifier: GPL-2.0-or-later
"""A watchdog: this end of a FIFO that scsi-prd takes for the device (watchdog_double.c).

It is never late, and what it resets ends at once: the host's daemon and VMs."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

from guest.lib import host as machine

DOUBLE = machine.BUILD / "core/tests/hosts/watchdog-double.so"


class Watchdog:
    def __init__(self, path: Path, seconds: float, reset: Callable[[], None]) -> None:
        self.path, self._seconds, self._reset = path, seconds, reset
        os.mkfifo(path)
        # Never without a writer: the end of one is not that of the device.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.petted: float | None = None  # None: it is not armed
        self.resets = 0
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def settings(self) -> tuple[str, dict[str, str]]:
        """Of the host: lines of [host], and the daemon's environment."""
        assert DOUBLE.exists(), f"{DOUBLE} is made by: ninja -C build/core pytest-programs"
        return (
            f"watchdog={self.path}\nwatchdog-timeout={int(self._seconds)}\n",
            {"LD_PRELOAD": str(DOUBLE)},
        )

    def _run(self) -> None:
        while not self._over:
            ready, _, _ = select.select([self._fd], [], [], 0.02)
            if ready:
                data = os.read(self._fd, 4096)
                self.petted = None if data.endswith(b"V") else time.monotonic()
            elif self.petted is not None and time.monotonic() > self.petted + self._seconds:
                self.petted = None
                self.resets += 1
                self._reset()

    def close(self) -> None:
        self._over = True
        self._thread.join()
        os.close(self._fd)
        self.path.unlink()
