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
SECONDS = 3.0  # a window
WINDOWS = 5


def wakeups(pid: int) -> dict[str, int]:
    """How often each thread has gone to sleep of itself; a new one counts from its first."""
    counts = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        [line] = [line for line in status.read_text().splitlines() if line.startswith("voluntary")]
        counts[status.parent.name] = int(line.split()[1])
    return counts


def fewest_wakeups(qemu: Path, disks: list[Disk], enough: int) -> int:
    """Of all threads, in the quietest of some windows, up to one that is quiet enough: the first ones may
    see the end of its start. The CPUs are stopped, and nobody asks anything."""
    command = [str(qemu), "-nodefaults", "-no-user-config", "-display", "none", "-S"]
    command += [*host.firmware(), "-accel", "tcg", "-uuid", UUID]
    command += ["-device", "virtio-scsi-pci,id=scsi0"]
    command += [option for each in disks for option in each.arguments()]
    found: list[tuple[int, bool]] = []  # and whether threads came or went
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            time.sleep(1)  # past its start
            while len(found) < WINDOWS and (not found or found[-1] > (enough, False)):
                before = wakeups(process.pid)
                time.sleep(SECONDS)
                after = wakeups(process.pid)
                woken = sum(count - before.get(thread, 0) for thread, count in after.items())
                found.append((woken, set(before) != set(after)))
        finally:
            process.kill()
    fewest, others = min(found)
    assert not others, "threads that come and go"
    return fewest


def test_no_periodic_wakeups(qemu: Path, tmp_path: Path) -> None:
    images = [disk.create(tmp_path / f"{i}.img") for i in range(DISKS)]
    plain = fewest_wakeups(qemu, [Disk(image, f"disk{image.stem}") for image in images], 2)
    # QEMU's own timers make a few; one period of ours in 8 disks would make dozens.
    enough = plain + 2
    disks = [Disk(image, f"disk{image.stem}", pr_store=f"file:{image}.pr") for image in images]
    found = fewest_wakeups(qemu, disks, enough)
    assert found <= enough, f"{found} in {SECONDS} s, {plain} without pr-store"
