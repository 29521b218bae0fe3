# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared image: who wrote each block. Every block begins with its writer's tag."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from guest.lib import disk

BLOCK = 512
CHUNK = 4096  # what a victim writes by one command
TRAPS = 24  # chunks of each node, whose first write fails
_TAG = struct.Struct("<8sQQ")
_MAGIC = b"storm\0\0\0"


def tagged(tenure: int, sequence: int, chunks: int = 1) -> bytes:
    """Blocks written by the holder of `tenure`: one registration of one node."""
    return _TAG.pack(_MAGIC, tenure, sequence).ljust(BLOCK, b"\xa5") * (chunks * CHUNK // BLOCK)


class Medium:
    """Chunks 0 ... area-1 are for all; behind them lie the traps of each node."""

    def __init__(self, path: Path, area: int, nodes: int) -> None:
        self.path, self.area = path, area
        self.chunks = area + nodes * TRAPS
        disk.create(path, self.chunks * CHUNK, fill=tagged(0, 0)[:BLOCK])
        self.direct = disk.direct_io(path)
        self._fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if self.direct else 0))
        self._buffer = mmap.mmap(-1, self.chunks * CHUNK)  # O_DIRECT wants aligned memory

    def close(self) -> None:
        os.close(self._fd)

    def traps(self, node: int) -> range:
        first = self.area + node * TRAPS
        return range(first, first + TRAPS)

    def tenures(self) -> dict[int, list[int]]:
        """The blocks that each tenure wrote last, by tenure, read past QEMU."""
        done = 0
        while done < len(self._buffer):
            done += os.preadv(self._fd, [memoryview(self._buffer)[done:]], done)
        found: dict[int, list[int]] = {}
        for block in range(len(self._buffer) // BLOCK):
            magic, tenure, _ = _TAG.unpack_from(self._buffer, block * BLOCK)
            found.setdefault(tenure if magic == _MAGIC else -1, []).append(block)
        return found
