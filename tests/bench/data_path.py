# SPDX-License-Identifier: GPL-2.0-or-later
"""What a store costs a READ: a disk without a medium, in a QEMU process without a guest.

The virtqueue is in memory that we map (storm/machine.py): besides the I/O path the process carries
out nothing but the kick of each batch.
"""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm.initiator import GOOD, Request
from storm.machine import Machine, adapter

DEPTH = 32
READ_4_KIB = bytes((0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0))
TEST_UNIT_READY = bytes(6)
REGISTER, RESERVE = 0x00, 0x01
WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
KEY = 0xA


@dataclass(frozen=True)
class Case:
    """A disk, and what it may cost more than upstream's: instructions a READ, and time."""

    name: str
    store: str = ""  # memory: or file:
    registrants: int = 0
    beside: str | None = None  # there is another disk, with this store
    upstream: bool = False
    instructions: int | None = None
    wall: float | None = None

    @property
    def compared_with(self) -> Case:
        return UPSTREAM if self.beside is None else UPSTREAM_BESIDE


UPSTREAM = Case("upstream", upstream=True)
UPSTREAM_BESIDE = Case("upstream, two disks", beside="", upstream=True)
CASES = (
    Case("no pr-store", instructions=50, wall=1.00),
    Case("no pr-store, beside a disk with one", beside="memory:", instructions=100, wall=1.00),
    Case("memory:, 1 registrant", "memory:", 1, instructions=700, wall=1.04),
    Case("file:, 1 registrant", "file:", 1, instructions=700, wall=1.04),
    Case("file:, 500 registrants", "file:", 500, instructions=700, wall=1.04),
)
QUICK = CASES[0], CASES[3]  # for every day


class Disk:
    """A running process with the disk of a case, reserved if the case says so."""

    def __init__(self, case: Case, binary: Path, directory: Path, wrapper: Sequence[str] = ()) -> None:
        if case.upstream:
            binary = binary.with_name("qemu-upstream-system-x86_64")
        name = re.sub(r"\W+", "-", case.name)
        devices = [adapter(0, virtqueue_size=256), _disk(0, _store(case, directory, name))]
        if case.beside is not None:
            devices.append(_disk(1, case.beside))
        options = [word for unit in range(len(devices) - 1) for word in _medium(unit)]
        self.machine = Machine(binary, directory, name, options, devices, wrapper=wrapper)
        self._initiator = self.machine.initiator
        while self._run(TEST_UNIT_READY).status != GOOD:
            pass  # power on
        if case.registrants:
            self._reserve(case.registrants)

    def burst(self, batches: int) -> float:
        """READs, a full queue at a time. Seconds of the quickest: others share the processors."""
        quickest = math.inf
        for _ in range(batches):
            for _ in range(DEPTH):
                self._initiator.send(READ_4_KIB, data_in=4096)
            begun = time.perf_counter()
            self._initiator.notify()
            while not self._initiator.all_ended:
                pass
            quickest = min(quickest, time.perf_counter() - begun)
            self._initiator.reap(_must_be_good)
        return quickest

    def stop(self) -> None:
        self.machine.child.kill()

    def _run(self, cdb: bytes, out: bytes = b"") -> Request:
        request = self._initiator.send(cdb, out)
        self._initiator.notify()
        while request.status is None:
            self._initiator.reap(lambda ended: None)
        return request

    def _reserve(self, registrants: int) -> None:
        others = b"".join(_transport_id(number) for number in range(registrants - 1))
        self._out(REGISTER, 0, KEY, struct.pack(">I", len(others)) + others if others else b"")
        self._out(RESERVE, KEY, 0)

    def _out(self, action: int, key: int, action_key: int, more: bytes = b"") -> None:
        spec_i_pt = 8 if more else 0
        parameters = struct.pack(">QQ4xB3x", key, action_key, spec_i_pt) + more
        cdb = struct.pack(">BBB2xIx", 0x5F, action, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, len(parameters))
        _must_be_good(self._run(cdb, parameters))


def _must_be_good(request: Request) -> None:
    if request.status != GOOD:
        raise RuntimeError(f"a command ended in status {request.status}")


def _transport_id(number: int) -> bytes:
    """Of a SAS port (SPC-3 7.5.4.7)."""
    return struct.pack(">B3xQ12x", 6, 0x5000C50000000000 + number)


def _store(case: Case, directory: Path, name: str) -> str:
    return f"file:{directory}/{name}.pr" if case.store == "file:" else case.store


def _disk(unit: int, store: str) -> dict[str, Any]:
    device = {"driver": "scsi-hd", "drive": f"medium{unit}", "scsi-id": unit}
    if not store:
        return device
    initiator = f"iqn.2026-01.org.example:bench{unit}"
    return device | {"pr-store": store, "pr-initiator": initiator}


def _medium(unit: int) -> list[str]:
    medium = {"driver": "null-co", "node-name": f"medium{unit}", "size": 1 << 30, "read-zeroes": False}
    return ["-blockdev", json.dumps(medium)]


# --- instructions


class Callgrind:
    """Counts the instructions of a process, while it is told to."""

    def __init__(self, directory: Path, name: str) -> None:
        self._out = directory / f"callgrind.{name}"
        self.wrapper = [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self._out}",
            "--max-stackframe=8000000", "--vgdb-poll=1000000",
        ]  # fmt: skip
        self._dumps = 0

    def count(self, pid: int, work: Callable[[], object]) -> int:
        """Instructions of all threads of the process during `work`."""
        self._control(pid, "--instr=on")
        work()
        self._control(pid, "--instr=off")
        self._control(pid, "--dump")
        self._dumps += 1
        text = self._out.with_name(f"{self._out.name}.{self._dumps}").read_text()
        return sum(int(total) for total in re.findall(r"^totals: (\d+)", text, re.M))

    def _control(self, pid: int, what: str) -> None:
        subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def _count(case: Case, binary: Path, directory: Path, windows: int) -> list[float]:
    """Instructions a READ, in each of the windows."""
    callgrind = Callgrind(directory, re.sub(r"\W+", "-", case.name))
    disk = Disk(case, binary, directory, callgrind.wrapper)
    batches = 20
    disk.burst(batches)
    pid = disk.machine.child.pid
    counts = [callgrind.count(pid, lambda: disk.burst(batches)) for _ in range(windows)]
    disk.stop()
    return [count / (batches * DEPTH) for count in counts]


def instructions(
    cases: Sequence[Case], binary: Path, directory: Path, windows: int = 5
) -> Iterator[tuple[Case, list[float]]]:
    """For each case, how many more a READ takes than upstream's, in each of the windows. The least
    is what to look at: what else goes on in the process, by the clock, only adds."""
    upstream: dict[Case, float] = {}
    for case in cases:
        base = case.compared_with
        if base not in upstream:
            upstream[base] = min(_count(base, binary, directory, windows))
        yield case, [n - upstream[base] for n in _count(case, binary, directory, windows)]


# --- time


def ratios(cases: Sequence[Case], binary: Path, directory: Path, rounds: int) -> dict[Case, list[float]]:
    """For each case, the time of a batch to that of upstream's in the same round."""
    everybody = {case.compared_with for case in cases} | set(cases)
    found: dict[Case, list[float]] = {case: [] for case in cases}
    with ExitStack() as stack:
        disks = {}
        for case in everybody:
            disks[case] = disk = Disk(case, binary, directory)
            stack.callback(disk.stop)
            disk.burst(20)
        for _ in range(rounds):
            times = {case: disk.burst(8) for case, disk in disks.items()}
            for case in cases:
                found[case].append(times[case] / times[case.compared_with])
    return found
