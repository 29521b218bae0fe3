# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of the agent in the guest; tests/guest/image/agent documents the messages."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field

from .channel import Channel


@dataclass
class Result:
    """What a command in the guest left behind, byte for byte."""

    command: str
    code: int
    stdout: bytes
    stderr: bytes
    elapsed: float

    @property
    def out(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.stderr.decode(errors="replace")

    def __str__(self) -> str:
        said = "".join(f"\n    {line}" for line in (self.out + self.err).splitlines())
        return f"`{self.command}` ended with exit code {self.code}{said}"


@dataclass
class Task:
    """A command under way in the guest; VM.finish() waits for it."""

    id: str
    command: str
    started: float = field(default_factory=time.monotonic)
    result: Result | None = None
    lost: bool = False  # the guest was reset while the command ran


class Agent:
    """Starts commands and collects results. It never blocks longer than asked."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tasks: dict[str, Task] = {}
        self._count = 0
        self.boots: list[str] = []  # boot ids, one for each time the guest came up

    def start(self, command: str) -> Task:
        self._count += 1
        task = Task(str(self._count), command)
        script = command.replace("\\", "\\\\").replace("\n", "\\n")
        self._channel.send(f"run {task.id} {script}".encode())
        self._tasks[task.id] = task
        return task

    def moved(self, channel: Channel) -> None:
        """The guest is in another process, with all that runs in it."""
        self._channel = channel

    def kill(self, task: Task) -> None:
        """SIGKILL the command and its children; the task then ends with exit code 137."""
        self._channel.send(f"kill {task.id}".encode())

    def poll(self, seconds: float) -> None:
        """Take in what arrives within that time; return early after one message."""
        line = self._channel.receive(time.monotonic() + seconds)
        words = (line or b"").decode(errors="replace").split(" ")
        if words[0] == "ready" and len(words) == 2:
            self._rebooted(words[1])
        elif words[0] == "done" and len(words) == 5 and words[1] in self._tasks:
            self._ended(words[1], int(words[2]), words[3], words[4])

    def _rebooted(self, boot_id: str) -> None:
        self.boots.append(boot_id)
        self.abandon()

    def abandon(self) -> None:
        """The guest that ran the commands is gone, and they with it."""
        for task in self._tasks.values():
            task.lost = True
        self._tasks.clear()

    def _ended(self, id: str, code: int, out: str, err: str) -> None:
        task = self._tasks.pop(id)
        elapsed = time.monotonic() - task.started
        task.result = Result(
            task.command, code, base64.b64decode(out), base64.b64decode(err), elapsed
        )
