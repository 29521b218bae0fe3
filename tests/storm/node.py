# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU process of the storm: a machine without CPU, a disk, and what can be done to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest.lib import disk, host
from guest.lib.channel import ChannelClosed
from guest.lib.process import tail
from guest.lib.qmp import QmpTimeout

from .initiator import Request
from .machine import Machine, adapter
from .medium import CHUNK, Medium

RUNNING, PAUSED, FROZEN, DEAD = "running", "paused", "frozen", "dead"

AIO = ("threads", "native", "io_uring")


@dataclass(frozen=True)
class Setup:
    """How a process is started."""

    aio: str  # one of AIO
    iothreads: int = 0  # each with a queue of its own
    tas: bool = False
    abort_timeout: int = 200  # ms
    fabric: Path | None = None  # the socket of one, instead of the medium's file


@dataclass(frozen=True)
class Home:
    """Where a process runs: the properties that name its store there, and the way to get there."""

    store: Mapping[str, object]
    wrapper: Sequence[str] = ()
    host: str = ""


def with_file_store(directory: Path) -> Home:
    return Home({"pr-store": f"file:{directory}/storm.pr"})


class Node:
    """`state` is what has been done to the process; only a RUNNING one is given commands."""

    def __init__(
        self, index: int, binary: Path, medium: Medium, directory: Path, home: Home
    ) -> None:
        self.index, self.home = index, home
        self.name = "abcdefgh"[index]
        self.state = DEAD
        self.tenure = 0  # of its registration, and its key; 0: not registered
        self.depth = 0  # writes that the storm keeps under way
        self.good = 0  # writes that ended so
        self.traps: list[int] = []
        self._binary, self._medium, self._directory = binary, medium, directory
        self._major = int(host.version(binary).split(".")[0])
        self._log = directory / f"{self.name}.log"
        self._clock = 0.0

    @property
    def most_iothreads(self) -> int:
        """Queues of one adapter in different iothreads came with 10.0."""
        return 2 if self._major >= 10 else 1

    @property
    def resets_units(self) -> bool:
        """Before 8.0 QEMU itself, without any change of ours, aborts in blk_drain() when a LOGICAL
        UNIT RESET arrives in an iothread."""
        return not (self.setup.iothreads and self._major < 8)

    # --- its life

    def start(self, setup: Setup) -> None:
        assert self.state == DEAD
        self.traps = list(self._medium.traps(self.index))
        self.setup = setup
        self._be(self._machine(self.home))
        self.state, self._clock = RUNNING, time.monotonic()

    def _machine(self, home: Home, source: Machine | None = None) -> Machine:
        setup = self.setup
        options = ["-object", "throttle-group,id=brake", "-blockdev", json.dumps(self._blockdev())]
        for i in range(setup.iothreads):
            options += ["-object", f"iothread,id=io{i}"]
        return Machine(
            self._binary,
            self._directory,
            self.name,
            options,
            [adapter(setup.iothreads), self._device(home)],
            queues=max(setup.iothreads, 1),
            wrapper=home.wrapper,
            source=source,
        )

    def _be(self, machine: Machine) -> None:
        self._now = machine
        self.child, self.qmp, self._qtest = machine.child, machine.qmp, machine.qtest
        self.initiator = machine.initiator

    def begin_migration(self, home: Home) -> Callable[[], bool]:
        """Nobody sends anything meanwhile. What it returns says whether the machine runs there now."""
        self.state = PAUSED
        there = self._machine(home, self._now)

        def arrived() -> bool:
            if not there.take_over():
                return False
            self._be(there)
            self.home = home
            self.state, self._clock = RUNNING, time.monotonic()
            return True

        return arrived

    def kill(self) -> None:
        """SIGKILL, and wait for the kernel to say that it is gone."""
        self.child.kill()
        self.state = DEAD

    def freeze(self) -> None:
        self.child.freeze()
        self.state = FROZEN

    def thaw(self) -> None:
        self.child.thaw()
        self.state, self._clock = RUNNING, time.monotonic()

    def log(self) -> str:
        return tail(self._log, 8)

    def describe(self) -> str:
        """What to know of it when something has gone wrong."""
        status = self.state
        if self.state in (RUNNING, PAUSED) and self.child.code is None:
            try:
                status += f" (QEMU says {self.qmp.execute('query-status', timeout=2)})"
            except (ChannelClosed, QmpTimeout):
                status += " (QEMU says nothing)"
        return (
            f"{self.name}: {status}, exit code {self.child.code}, {self.setup},"
            f" {self.initiator.under_way} under way, tenure {self.tenure},"
            f" events {[e['event'] for e in self.qmp.events]}\n{self.log()}"
        )

    # --- commands to it

    def send(self, cdb: bytes, out: bytes = b"", data_in: int = 0, context: object = None) -> Request:
        request = self.initiator.send(cdb, out, data_in, context)
        self.initiator.notify()
        return request

    def tick(self) -> None:
        """Its throttle group's clock goes on as ours has since."""
        now = time.monotonic()
        step, self._clock = now - self._clock, now
        self._qtest.step(max(int(step * 1e9), 1))

    def pause(self) -> None:
        self.qmp.execute("stop")
        self.qmp.wait_event("STOP")  # or stopped_by_error() would take it for one of its own
        self.state = PAUSED

    def resume(self) -> None:
        self.qmp.execute("cont")
        self.state, self._clock = RUNNING, time.monotonic()
        self.initiator.renotify()  # what was sent too late for it to notice

    def stopped_by_error(self) -> bool:
        """Whether werror=stop has stopped it; it is PAUSED then."""
        try:
            self.qmp.wait_event("STOP", 0.001)
        except QmpTimeout:
            return False
        self.state = PAUSED
        return True

    def stopped_lately(self) -> bool:
        """When all of its writes have ended: a fencing may have aborted the one that failed before
        QEMU came to stop. It has when it carries out a second command."""
        self.qmp.execute("query-status")
        if not self.qmp.execute("query-status")["running"]:
            self.qmp.wait_event("STOP")
            self.state = PAUSED
        return self.state == PAUSED

    def brake(self, writes_per_second: int) -> None:
        """Of the virtual clock, see tick(); 0: none."""
        limits = {"iops-write": writes_per_second}
        arguments = {"path": "/objects/brake", "property": "limits", "value": limits}
        self.qmp.execute("qom-set", arguments)

    def reset(self) -> None:
        """system_reset; what was under way is to be abandoned, and start() of the initiator due."""
        self.qmp.execute("system_reset")
        self.qmp.wait_event("RESET")

    def unplug(self) -> None:
        self.qmp.execute("device_del", {"id": "disk"})
        while self.qmp.wait_event("DEVICE_DELETED")["data"].get("device") != "disk":
            pass

    def begin_unplug(self) -> Callable[[], None]:
        """Does not wait; what it returns does. Meanwhile QEMU's main loop is busy."""
        self.state = PAUSED
        failures: list[BaseException] = []

        def leave() -> None:
            try:
                self.unplug()
            except (ChannelClosed, QmpTimeout) as failure:
                failures.append(failure)

        leaving = threading.Thread(target=leave)
        leaving.start()

        def gone() -> None:
            leaving.join()
            for failure in failures:
                raise failure
            self.state, self._clock = RUNNING, time.monotonic()

        return gone

    def plug(self) -> None:
        self.qmp.execute("device_add", self._device(self.home))

    # --- its command line

    def _device(self, home: Home) -> dict[str, Any]:
        return {
            "driver": "scsi-hd",
            "id": "disk",
            "bus": "scsi0.0",
            "drive": "medium",
            "share-rw": True,
            "werror": "stop",
            "wwn": int(disk.WWN, 0),
            "pr-initiator": f"iqn.2026-01.org.example:{self.name}",
            "pr-abort-timeout": self.setup.abort_timeout,
            "pr-tas": self.setup.tas,
        } | dict(home.store)

    def _blockdev(self) -> dict[str, Any]:
        """The first write to each trap fails; everything waits for the brake."""
        traps = [
            {"event": "none", "iotype": "write", "errno": 5, "once": True, "sector": chunk * CHUNK // 512}
            for chunk in self._medium.traps(self.index)
        ]
        file: dict[str, Any] = {
            "driver": "file",
            "filename": str(self._medium.path),
            "aio": self.setup.aio,
            "cache": {"direct": self._medium.direct},
        }
        if self.setup.fabric:
            file = {"driver": "nbd", "server": {"type": "unix", "path": str(self.setup.fabric)}}
        faulty = {"driver": "blkdebug", "inject-error": traps, "image": file}
        return {"driver": "throttle", "node-name": "medium", "throttle-group": "brake", "file": faulty}
