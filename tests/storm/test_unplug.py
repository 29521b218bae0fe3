# SPDX-License-Identifier: GPL-2.0-or-later
"""Unplugging a device while an iothread takes writes from its queue. Without the shim's waiting
for the iothread, QEMU 10.0 crashed in most processes of this test."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from .cluster import write_10
from .medium import Medium, tagged
from .node import Node, Setup


@pytest.mark.parametrize("iothreads", [0, 1, 2], ids=["main loop", "iothread", "two iothreads"])
def test_unplug_with_a_full_queue(qemu: Path, directory: Path, iothreads: int) -> None:
    rng = random.Random(1)
    medium = Medium(directory / "unplug.img", 128, 1)
    for _ in range(5):
        node = Node(0, qemu, medium, directory)
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
