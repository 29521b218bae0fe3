# SPDX-License-Identifier: GPL-2.0-or-later
"""A small client of the QEMU Machine Protocol."""

from __future__ import annotations

import json
import time
from typing import Any

from .channel import Channel


class QmpError(Exception):
    """QEMU refused a command: `kind` is its error class, `description` its text."""

    def __init__(self, command: str, kind: str, description: str) -> None:
        super().__init__(f"QMP {command}: {description} ({kind})")
        self.command = command
        self.kind = kind
        self.description = description


class QmpTimeout(Exception):
    """QEMU did not answer, or an event did not come, in time."""


class Qmp:
    """QMP over a channel. Events that arrive meanwhile are kept, in order, in `events`."""

    def __init__(self, channel: Channel, timeout: float = 10) -> None:
        self._channel = channel
        self._timeout = timeout
        self.events: list[dict[str, Any]] = []
        self.greeting: dict[str, Any] = {}

    def negotiate(self) -> None:
        """Greeting and capabilities; before this QEMU accepts no other command."""
        self.greeting = self._message(time.monotonic() + self._timeout, "greeting")["QMP"]
        self.execute("qmp_capabilities")

    def execute(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float | None = None
    ) -> Any:
        """Run a command and return what it returns; QmpError when QEMU refuses it."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._channel.send(json.dumps(request).encode())
        deadline = time.monotonic() + (timeout or self._timeout)
        while True:
            message = self._message(deadline, command)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                error = message["error"]
                raise QmpError(command, error["class"], error["desc"])
            else:
                return message["return"]

    def wait_event(self, name: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the first event of that name out of `events`, waiting for it if need be."""
        deadline = time.monotonic() + (timeout or self._timeout)
        while True:
            for at, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(at)
            self.events.append(self._message(deadline, f"event {name}"))

    def complete(self, command: str, arguments: dict[str, Any]) -> None:
        """Run scsi-pr-load, -preempt or -clear to its end; QmpError when it fails."""
        operation = self.execute(command, arguments)["operation"]
        while True:
            data = self.wait_event("SCSI_PR_COMPLETED")["data"]
            if data["operation"] == operation:
                break
        if "error" in data:
            raise QmpError(command, "SCSI_PR_COMPLETED", data["error"])

    def _message(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        line = self._channel.receive(deadline)
        if line is None:
            raise QmpTimeout(f"QMP: no answer in time while waiting for {waiting_for}")
        message: dict[str, Any] = json.loads(line)
        return message
