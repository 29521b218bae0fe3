# SPDX-License-Identifier: GPL-2.0-or-later
"""An I_T nexus in a process of its own, without QEMU (tests/process/nexus_process.cc)."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

from guest.lib import host as machine

BINARY = machine.BUILD / "core/tests/process/nexus-process"
REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE = range(7)
GOOD, CHECK_CONDITION, BUSY, CONFLICT = "status 0", "status 2", "status 8", "status 24"
WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5


class Nexus:
    def __init__(self, name: str, runtime: Path, unit: str = "quorum") -> None:
        self.name = name
        self._buffer = b""
        self._process = subprocess.Popen(
            [BINARY, f"cluster:{unit}", f"iqn.2026-11.example:{name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"RUNTIME_DIRECTORY": str(runtime)},
        )
        assert self._process.stdout is not None
        self._poll = select.poll()  # there may be thousands
        self._poll.register(self._process.stdout, select.POLLIN)
        self.opened = self.hear()

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- one line, one answer

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def heard(self, timeout: float = 0) -> bool:
        """Whether an answer is there."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            ready = self._poll.poll(max(0, deadline - time.monotonic()) * 1000)
            if not ready:
                return False
            data = os.read(self._process.stdout.fileno(), 1 << 20)
            if not data:
                raise EOFError(f"process of {self.name} has ended")
            self._buffer += data
        return True

    def hear(self, timeout: float = 60) -> str:
        if not self.heard(timeout):
            raise TimeoutError(f"{self.name} does not answer within {timeout:g} s")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def ask(self, line: str, timeout: float = 60) -> str:
        self.tell(line)
        return self.hear(timeout)

    def took(self) -> float:
        """Seconds, in its process, from the line before to its answer."""
        return int(self.ask("took")) / 1e6

    # --- commands

    def attach(self) -> None:
        answer = self.ask("attach")
        assert answer == "ok", answer

    def out(self, action: int, key: int, service_key: int = 0, kind: int = 0, aptpl: int = 0) -> str:
        return self.ask(out(action, key, service_key, kind, aptpl))

    def begin_out(self, action: int, key: int, service_key: int = 0, kind: int = 0, aptpl: int = 0) -> None:
        self.tell(out(action, key, service_key, kind, aptpl))

    def register(self, key: int, aptpl: int = 0) -> None:
        answer = self.out(REGISTER_AND_IGNORE, 0, key, aptpl=aptpl)
        assert answer == GOOD, answer

    def enter(self) -> int | None:
        """A WRITE that stays on its way: what leave() takes; None: it was refused."""
        answer = self.ask("enter")
        return None if answer == "no" else int(answer.split()[1])

    def leave(self, epoch: int) -> None:
        self.ask(f"leave {epoch}")

    def admits(self) -> bool:
        """Whether a WRITE gets in now."""
        epoch = self.enter()
        if epoch is None:
            return False
        self.leave(epoch)
        return True

    def attentions(self) -> list[str]:
        found = []
        while (each := self.ask("attention")) != "none":
            found.append(each)
        return found

    # --- its process

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def out(action: int, key: int, service_key: int, kind: int, aptpl: int) -> str:
    return f"out {action} {key} {service_key} {kind} {aptpl}"
