# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU process without a guest: we write into its memory, and drive its virtio-scsi adapter."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guest.lib import host
from guest.lib.channel import Channel
from guest.lib.process import Child
from guest.lib.qmp import Qmp, QmpError

from . import initiator
from .initiator import Initiator
from .qtest import Qtest

PCI_SLOT = 4


def adapter(iothreads: int, **more: Any) -> dict[str, Any]:
    """The adapter that `Machine.initiator` drives; a queue for each of the iothreads io0, io1 ..."""
    device: dict[str, Any] = {
        "driver": "virtio-scsi-pci",
        "id": "scsi0",
        "addr": str(PCI_SLOT),
        "disable-legacy": "on",
        "num_queues": max(iothreads, 1),
        "virtqueue_size": 512,
    }
    if iothreads == 1:
        device["iothread"] = "io0"
    elif iothreads:
        device["iothread-vq-mapping"] = [{"iothread": f"io{i}"} for i in range(iothreads)]
    return device | more


class Machine:
    """Runs once it is made. `wrapper`: what the process is started by, with its options. `source`: it
    waits for that one to migrate, has the same memory, and takes its initiator over by take_over()."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        name: str,
        options: Sequence[str],
        devices: Sequence[dict[str, Any]],
        *,
        queues: int = 1,
        wrapper: Sequence[str] = (),
        source: Machine | None = None,
    ) -> None:
        memory_file = directory / f"{name}.ram"
        self.memory = source.memory if source else _new_memory(memory_file)
        channels = qmp, qtest = Channel(), Channel()
        fds = [channel.fd for channel in channels]
        command = [*wrapper, *_command(binary, memory_file, name, *fds), *options]
        command += [word for device in devices for word in ("-device", json.dumps(device))]
        command += ["-incoming", "defer"] if source else []
        self.child = Child(command, directory / f"{name}.log", pass_fds=fds)
        for channel in channels:
            channel.passed_on()
        self.qmp = Qmp(qmp, timeout=30)
        self.qmp.negotiate()
        self.qtest = Qtest(qtest)
        self._source = source
        if source is None:
            self.initiator = Initiator(self.memory, self.qtest, PCI_SLOT, queues)
        else:
            source.migrate_to(self, f"unix:{directory}/{name}.migration")

    def migrate_to(self, destination: Machine, uri: str) -> None:
        """Goes on while it may. The memory is there already."""
        capability = {"capability": "x-ignore-shared", "state": True}
        for qmp in (self.qmp, destination.qmp):
            qmp.execute("migrate-set-capabilities", {"capabilities": [capability]})
        destination.qmp.execute("migrate-incoming", {"uri": uri})
        self.qmp.execute("migrate", {"uri": uri})

    def take_over(self) -> bool:
        """Whether the source has come by now; its process is ended then."""
        assert self._source is not None
        status = self._source.qmp.execute("query-migrate").get("status")
        if status != "completed":
            if status in ("failed", "cancelled"):
                raise QmpError("migrate", status, "the migration has failed")
            return False
        self.qmp.wait_event("RESUME")
        self._source.child.kill()
        self.initiator = self._source.initiator
        self.initiator.go_on(self.qtest)
        self._source = None
        return True


def _new_memory(path: Path) -> mmap.mmap:
    with path.open("wb") as file:
        file.truncate(initiator.MEMORY)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), initiator.MEMORY)


def _command(binary: Path, memory_file: Path, name: str, qmp: int, qtest: int) -> list[str]:
    command = [str(binary), "-nodefaults", "-no-user-config", "-display", "none"]
    command += [*host.firmware(), "-name", f"storm-{name}", "-accel", "qtest"]
    ram = f"memory-backend-file,id=ram,mem-path={memory_file},share=on"
    command += ["-object", f"{ram},size={initiator.MEMORY}"]
    command += ["-machine", "pc,memory-backend=ram", "-m", f"{initiator.MEMORY >> 20}M"]
    command += ["-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"]
    command += ["-chardev", f"socket,id=qtest,fd={qtest}", "-qtest", "chardev:qtest"]
    return [*command, "-qtest-log", "/dev/null"]
