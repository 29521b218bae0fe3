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
from guest.lib.qmp import Qmp

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
    """Runs once it is made. `wrapper`: what the process is started by, with its options."""

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
    ) -> None:
        memory_file = directory / f"{name}.ram"
        with memory_file.open("wb") as file:
            file.truncate(initiator.MEMORY)
        with memory_file.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), initiator.MEMORY)
        channels = qmp, qtest = Channel(), Channel()
        fds = [channel.fd for channel in channels]
        command = [*wrapper, *_command(binary, memory_file, name, *fds), *options]
        command += [word for device in devices for word in ("-device", json.dumps(device))]
        self.child = Child(command, directory / f"{name}.log", pass_fds=fds)
        for channel in channels:
            channel.passed_on()
        self.qmp = Qmp(qmp, timeout=30)
        self.qmp.negotiate()
        self.qtest = Qtest(qtest)
        self.initiator = Initiator(self.memory, self.qtest, PCI_SLOT, queues)


def _command(binary: Path, memory_file: Path, name: str, qmp: int, qtest: int) -> list[str]:
    command = [str(binary), "-nodefaults", "-no-user-config", "-display", "none"]
    command += [*host.firmware(), "-name", f"storm-{name}", "-accel", "qtest"]
    ram = f"memory-backend-file,id=ram,mem-path={memory_file},share=on"
    command += ["-object", f"{ram},size={initiator.MEMORY}"]
    command += ["-machine", "pc,memory-backend=ram", "-m", f"{initiator.MEMORY >> 20}M"]
    command += ["-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"]
    command += ["-chardev", f"socket,id=qtest,fd={qtest}", "-qtest", "chardev:qtest"]
    return [*command, "-qtest-log", "/dev/null"]
