# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that stand still all at once, as those of a host do whose hypervisor pauses it."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

STANDS_STILL_WITHIN = 10.0
_numbers = itertools.count()


def _own_group() -> Path | None:
    """The cgroup (version 2) that this process is in."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [words[1] for words in mounts if words[2] == "cgroup2"]
    groups = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"]
    return Path(roots[0] + groups[0]) if roots and groups else None


def why_no_freezer() -> str | None:
    group = _own_group()
    if group is None:
        return "there is no cgroup of version 2"
    return None if os.access(group / "cgroup.procs", os.W_OK) else f"one may not make cgroups in {group}"


class Freezer:
    """A cgroup. Who is added stays in it; who is killed while it is frozen dies."""

    def __init__(self) -> None:
        group = _own_group()
        assert group is not None
        self._group = group / f"scsi-pr-{os.getpid()}-{next(_numbers)}"
        self._group.mkdir()

    def add(self, pid: int) -> None:
        (self._group / "cgroup.procs").write_text(str(pid))

    def freeze(self) -> None:
        """Until all really stand still."""
        self._set("1")
        deadline = time.monotonic() + STANDS_STILL_WITHIN
        while "frozen 1" not in (self._group / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._group} does not freeze")
            time.sleep(0.001)

    def thaw(self) -> None:
        self._set("0")

    def _set(self, value: str) -> None:
        (self._group / "cgroup.freeze").write_text(value)

    def close(self) -> None:
        """Behind the end of its processes."""
        with contextlib.suppress(OSError):
            self._group.rmdir()
