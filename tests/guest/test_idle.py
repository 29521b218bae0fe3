# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody wakes up by himself: a QEMU whose disks have nothing to do has no wake-ups of ours."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from .lib import disk, host
from .lib.disk import Disk
from .lib.startup import UUID

OTHER_QEMUS_TAKE_LONG = True

DISKS = 8
SECONDS = 3.0


def wakeups(pid: int) -> dict[str, int]:
    """How often each thread has gone to sleep of itself; a new one counts from its first."""
    counts = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        [line] = [line for line in status.read_text().splitlines() if line.startswith("voluntary")]
        counts[status.parent.name] = int(line.split()[1])
    return counts


def idle_wakeups(qemu: Path, disks: list[Disk]) -> int:
    """Of all threads, in some seconds. The CPUs are stopped, and nobody asks anything."""
    command = [str(qemu), "-nodefaults", "-no-user-config", "-display", "none", "-S"]
    command += [*host.firmware(), "-accel", "tcg", "-uuid", UUID]
    command += ["-device", "virtio-scsi-pci,id=scsi0"]
    command += [option for each in disks for option in each.arguments()]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            time.sleep(1)  # past its start
            before = wakeups(process.pid)
            time.sleep(SECONDS)
            after = wakeups(process.pid)
        finally:
            process.kill()
    assert set(before) == set(after), "threads that come and go"
    return sum(after[thread] - before[thread] for thread in after)


def test_no_periodic_wakeups(qemu: Path, tmp_path: Path) -> None:
    images = [disk.create(tmp_path / f"{i}.img") for i in range(DISKS)]
    stores: list[str | None] = [f"file:{image}.pr" for image in images]
    plain, with_stores = (
        idle_wakeups(qemu, [Disk(image, f"disk{image.stem}", pr_store=store) for image, store in pairs])
        for pairs in (zip(images, [None] * DISKS), zip(images, stores))
    )
    # QEMU's own timers make a few; one period of ours in 8 disks would make dozens.
    assert with_stores <= plain + 2, f"{with_stores} in {SECONDS} s, {plain} without pr-store"
