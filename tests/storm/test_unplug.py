# SPDX-License-Identifier: GPL-2.0-or-later
"""Unplugging a device while an iothread takes writes from its queue. Without the shim's waiting
for the iothread, QEMU 10.0 crashed in most processes of this test."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import write_10
from .machine import Machine, adapter
from .medium import Medium, tagged
from .node import Node, Setup, with_file_store


@pytest.mark.parametrize("iothreads", [0, 1, 2], ids=["main loop", "iothread", "two iothreads"])
def test_unplug_with_a_full_queue(qemu: Path, directory: Path, iothreads: int) -> None:
    rng = random.Random(1)
    medium = Medium(directory / "unplug.img", 128, 1)
    for _ in range(5):
        node = Node(0, qemu, medium, directory, with_file_store(directory))
        node.start(Setup("threads", min(iothreads, node.most_iothreads)))
        try:
            for _ in range(5):
                for chunk in range(128):
                    node.initiator.send(write_10(chunk, 1), tagged(1, chunk))
                node.initiator.notify()
                time.sleep(rng.random() * 0.004)  # anywhere in its way through the queue
                node.unplug()
                end = time.monotonic() + 10
                while node.initiator.under_way and time.monotonic() < end:
                    node.initiator.reap(lambda request: None)
                assert not node.initiator.under_way, "requests that never end"
                node.plug()
        finally:
            node.kill()
    medium.close()


READ_4_KIB = bytes((0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0))
DISK = {
    "driver": "scsi-hd",
    "id": "disk",
    "bus": "scsi0.0",
    "drive": "null",
    "pr-store": "memory:",
    "pr-initiator": "iqn.2026-01.org.example:a",
}


def at_once(qemu: Path, directory: Path) -> Machine:
    """A disk whose requests are complete when they are sent, in an iothread."""
    null = '{"driver": "null-co", "node-name": "null", "size": 1073741824, "read-zeroes": false}'
    options = ["-object", "iothread,id=io0", "-blockdev", null]
    return Machine(qemu, directory, "a", options, [adapter(1), DISK])


def unplug(machine: Machine) -> None:
    machine.qmp.execute("device_del", {"id": "disk"})
    machine.qmp.wait_event("DEVICE_DELETED")
    machine.qmp.execute("device_add", DISK)


def reset(machine: Machine) -> None:
    machine.qmp.execute("system_reset")
    machine.qmp.wait_event("RESET")


@pytest.mark.parametrize("purge", [unplug, reset])
def test_requests_that_complete_at_once(
    qemu: Path, directory: Path, purge: Callable[[Machine], None]
) -> None:
    """QEMU 7.2 completes them without the AioContext's lock, and ended when they were purged
    meanwhile: `req->refcount > 0`."""
    rng = random.Random(1)
    machine = at_once(qemu, directory)
    try:
        for _ in range(40):
            for _ in range(128):
                machine.initiator.send(READ_4_KIB, data_in=4096)
            machine.initiator.notify()
            time.sleep(rng.random() * 0.001)
            purge(machine)
            machine.initiator.abandon(lambda request: None)
            machine.initiator.start()
    finally:
        machine.child.kill()
