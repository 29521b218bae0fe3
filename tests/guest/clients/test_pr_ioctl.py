# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's persistent reservation ioctls (linux/pr.h), which file systems and databases use."""

from __future__ import annotations

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, drain, good
from guest.lib.nodes import Path
from guest.lib.scsi import Registration, Reservation

OTHER_QEMUS_TAKE_LONG = True

KEY_X, KEY_Y = 0xD1, 0xD2
IGNORE_KEY = 1

# enum pr_type, and the type that the kernel makes of it
TYPES = {1: 1, 2: 3, 3: 5, 4: 6, 5: 7, 6: 8}

Two = tuple[Path, Path]


def ioctl(path: Path, command: str, *arguments: int) -> Result:
    """image/blkpr.c"""
    words = " ".join(f"{argument:#x}" for argument in arguments)
    return path.vm.run(f"blkpr {command} {path.device} {words}")


def conflicts(result: Result) -> None:
    """RESERVATION CONFLICT is a positive result, the SCSI status in its low byte."""
    assert result.code == 3 and int(result.out) & 0xFF == 0x18, str(result)


def test_register(two: Two) -> None:
    x, y = two
    good(ioctl(x, "register", 0, KEY_X, 0))
    conflicts(ioctl(x, "register", 0, KEY_Y, 0))
    good(ioctl(x, "register", 0, KEY_Y, IGNORE_KEY))
    assert y.full_status() == [Registration(KEY_Y, x.port, x.wwpn)]
    active = "Persist Through Power Loss Active(PTPL_A)"
    assert y.capabilities()[active] == 1, "the kernel always asks for APTPL"
    good(ioctl(x, "register", KEY_Y, 0, 0))
    assert y.keys() == []


@pytest.mark.parametrize("two", ["two VMs"], indirect=True)
@pytest.mark.parametrize("kernel_type", TYPES)
def test_reserve_and_release(two: Two, kernel_type: int) -> None:
    x, y = two
    good(ioctl(x, "register", 0, KEY_X, 0), ioctl(x, "reserve", KEY_X, kernel_type, 0))
    type = TYPES[kernel_type]
    assert y.reservation() == Reservation(0 if type >= 7 else KEY_X, type)
    conflicts(ioctl(y, "reserve", KEY_Y, kernel_type, 0))
    good(ioctl(x, "release", KEY_X, kernel_type))
    assert y.reservation() is None


def test_preempt_and_clear(two: Two) -> None:
    x, y = two
    good(ioctl(x, "register", 0, KEY_X, 0), ioctl(x, "reserve", KEY_X, 3, 0))
    good(ioctl(y, "register", 0, KEY_Y, 0))
    good(ioctl(y, "preempt-abort", KEY_Y, KEY_X, 3))
    assert y.keys() == [KEY_Y] and y.reservation() == Reservation(KEY_Y, 5)
    drain(x)
    conflict(x.write("preempted", 0))
    conflicts(ioctl(x, "clear", KEY_X))
    good(ioctl(y, "clear", KEY_Y))
    assert x.keys() == [] and x.reservation() is None
