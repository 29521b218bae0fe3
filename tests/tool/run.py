# SPDX-License-Identifier: GPL-2.0-or-later
"""The command-line tool, and a QEMU that uses a store, without a guest."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest.lib import host, store
from guest.lib.disk import Disk
from guest.lib.vm import VM

DONE, UNUSABLE, DAMAGED, REFUSED, NOT_IN_TIME = range(5)

A = "iqn.2024-01.org.example:node-a"
B = "iqn.2024-01.org.example:node-b"
KEY_A, KEY_B = "0x000000000000000a", "0x000000000000000b"


def program() -> str:
    path = os.environ.get("SCSI_PR", host.BUILD / "prefix/bin/scsi-pr")
    assert os.access(path, os.X_OK), f"there is no {path}; run scripts/core first"
    return str(path)


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def scsi_pr(*arguments: object, stdin: str = "", wrapper: Sequence[str] = (), cwd: Path | None = None) -> Ran:
    command = [*wrapper, program(), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd)
    return Ran(done.returncode, done.stdout, done.stderr)


def good(*arguments: object, **options: Any) -> Ran:
    ran = scsi_pr(*arguments, **options)
    assert ran.code == DONE and ran.err == "", f"exit status {ran.code}: {ran.err}"
    return ran


def fails(code: int, *arguments: object, **options: Any) -> str:
    """Ends so, with one line that says why and at most one that says what to do."""
    ran = scsi_pr(*arguments, **options)
    assert ran.code == code, f"exit status {ran.code}, not {code}: {ran.out}{ran.err}"
    lines = ran.err.splitlines()
    assert 1 <= len(lines) <= 2 and lines[0].startswith("scsi-pr: "), ran.err
    return ran.err


def registered(*pairs: tuple[str, str], holder: str | None = None, aptpl: bool = True) -> store.State:
    """A state in which these initiators are registered with their keys."""
    state: store.State = {
        "pr-generation": len(pairs),
        "aptpl": aptpl,
        "registrations": [{"initiator": who, "target-port": 1, "key": key} for who, key in pairs],
    }
    if holder:
        state["reservation"] = {
            "type": "write-exclusive-registrants-only",
            "scope": "logical-unit",
            "holder": {"initiator": holder, "target-port": 1},
        }
    return state


BOTH = registered((A, KEY_A), (B, KEY_B), holder=A)


def document(state: store.State, schema: int = 1) -> str:
    text = {"format": "scsi-pr", "schema": schema, "checksum": store.checksum(state), "state": state}
    return json.dumps(text)


def paused(
    binary: Path,
    image: Path,
    path: Path,
    initiator: str,
    name: str = "vm",
    wrapper: Sequence[str] = (),
) -> VM:
    """A QEMU with stopped CPUs that is attached to the store, or has made it."""
    shared = Disk(image, pr_store=f"file:{path}", pr_initiator=initiator)
    vm = VM(name, [shared], binary=binary, arguments=["-S"], wrapper=wrapper)
    try:
        vm.start()
        vm.qmp.negotiate()
    except BaseException:
        vm.close()
        raise
    return vm


def state_in_qemu(vm: VM) -> store.State:
    (device,) = vm.qmp.execute("query-scsi-pr")
    found: store.State = device["state"]
    return found


def until(condition: Callable[[], object], patience: float = 20) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


class Watch:
    """`scsi-pr watch`, whose lines are read as they come."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [program(), "watch", *map(str, arguments)], stdout=subprocess.PIPE, bufsize=0
        )
        self._read = b""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def line(self, patience: float = 20) -> str:
        assert self.process.stdout
        while b"\n" not in self._read:
            assert select.select([self.process.stdout], [], [], patience)[0], "nothing comes"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "it has ended"
            self._read += more
        line, self._read = self._read.split(b"\n", 1)
        return line.decode()

    def json(self) -> Any:
        return json.loads(self.line())

    def changes(self, *names: str) -> list[Any]:
        """Reads on until all of these have been told; what was told."""
        told: list[Any] = []
        while not set(names) <= {change["change"] for change in told}:
            line = self.json()
            assert line["event"] == "changed", line
            told += line["changes"]
        return told

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)
