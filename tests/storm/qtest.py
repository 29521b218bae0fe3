# SPDX-License-Identifier: GPL-2.0-or-later
"""The qtest protocol, and just enough PCI and virtio (1.0) to own a device's virtqueues.

The machine's memory is a file that we map too: descriptors and rings are written and read in
place, also while the process stands still or is gone. Only registers go over the socket.
"""

from __future__ import annotations

import time

from guest.lib.channel import Channel


class Qtest:
    """Registers and the clock of a machine without a CPU. Numbers are little-endian."""

    TIMEOUT = 30.0

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def command(self, text: str) -> str:
        self._channel.send(text.encode(), self.TIMEOUT)
        deadline = time.monotonic() + self.TIMEOUT
        while True:
            line = self._channel.receive(deadline)
            if line is None:
                raise TimeoutError(f"qtest: no answer to `{text}`")
            words = line.decode().split()
            if words and words[0] == "OK":
                return words[1] if len(words) > 1 else ""
            if words and words[0] != "IRQ":
                raise RuntimeError(f"qtest: `{text}` was answered by `{line.decode()}`")

    def write(self, size: str, address: int, value: int) -> None:
        """`size` is b, w, l or q."""
        self.command(f"write{size} {address:#x} {value:#x}")

    def read(self, size: str, address: int) -> int:
        return int(self.command(f"read{size} {address:#x}"), 0)

    def step(self, nanoseconds: int) -> None:
        """Let the virtual clock go on: QEMU's throttle groups obey it under qtest."""
        self.command(f"clock_step {nanoseconds}")


class PciFunction:
    """A function on bus 0, by configuration mechanism 1."""

    COMMAND, CAPABILITIES, BAR0 = 0x04, 0x34, 0x10

    def __init__(self, qtest: Qtest, slot: int) -> None:
        self._qtest = qtest
        self._address = 1 << 31 | slot << 11

    def read(self, offset: int) -> int:
        self._qtest.command(f"outl 0xcf8 {self._address | offset & 0xFC:#x}")
        return int(self._qtest.command("inl 0xcfc"), 0)

    def read_byte(self, offset: int) -> int:
        return self.read(offset) >> 8 * (offset & 3) & 0xFF

    def write(self, offset: int, value: int) -> None:
        self._qtest.command(f"outl 0xcf8 {self._address | offset:#x}")
        self._qtest.command(f"outl 0xcfc {value:#x}")

    def enable(self, bar: int, address: int) -> None:
        """Maps a 64-bit BAR; lets the function be the master of the bus."""
        self.write(self.BAR0 + 4 * bar, address)
        self.write(self.BAR0 + 4 * bar + 4, 0)
        self.write(self.COMMAND, 0x06)


class VirtioPci:
    """A modern virtio device (virtio 1.0, 4.1.4)."""

    MEMORY = 0xE0000000  # where its BAR is mapped: the hole for PCI
    _COMMON, _NOTIFY = 1, 2
    _VENDOR = 0x09
    _ACKNOWLEDGE, _DRIVER, _DRIVER_OK, _FEATURES_OK = 1, 2, 4, 8
    _VERSION_1 = 1 << (32 - 32)  # in the upper word

    def __init__(self, qtest: Qtest, slot: int) -> None:
        self._slot = slot
        self.go_on(qtest)
        self._regions: dict[int, int] = {}
        self._multiplier = 0
        self._doorbells: dict[int, int] = {}

    def start(self, queues: dict[int, tuple[int, int]]) -> None:
        """Reset and start it; each queue has a size, and an address for virtqueue_layout()."""
        self._find_regions()
        self._status(0)
        self._status(self._ACKNOWLEDGE | self._DRIVER)
        for select, features in ((0, 0), (1, self._VERSION_1)):
            self._common("l", 0x08, select)
            self._common("l", 0x0C, features)
        self._status(self._ACKNOWLEDGE | self._DRIVER | self._FEATURES_OK)
        for index, (size, address) in queues.items():
            self._start_queue(index, size, address)
        self._status(self._ACKNOWLEDGE | self._DRIVER | self._FEATURES_OK | self._DRIVER_OK)

    def go_on(self, qtest: Qtest) -> None:
        """Also when the machine has migrated to another process, as it was."""
        self._qtest, self._function = qtest, PciFunction(qtest, self._slot)

    def notify(self, queue: int) -> None:
        self._qtest.write("w", self._doorbells[queue], queue)

    def _find_regions(self) -> None:
        at = self._function.read_byte(PciFunction.CAPABILITIES)
        while at:
            kind, bar = self._function.read_byte(at + 3), self._function.read_byte(at + 4)
            if self._function.read_byte(at) == self._VENDOR and kind in (self._COMMON, self._NOTIFY):
                self._regions[kind] = self.MEMORY + self._function.read(at + 8)
                self._function.enable(bar, self.MEMORY)
                if kind == self._NOTIFY:
                    self._multiplier = self._function.read(at + 16)
            at = self._function.read_byte(at + 1)

    def _common(self, size: str, offset: int, value: int) -> None:
        self._qtest.write(size, self._regions[self._COMMON] + offset, value)

    def _status(self, value: int) -> None:
        self._common("b", 0x14, value)

    def _start_queue(self, index: int, size: int, address: int) -> None:
        self._common("w", 0x16, index)
        self._common("w", 0x18, size)
        for offset, part in zip((0x20, 0x28, 0x30), virtqueue_layout(size, address), strict=True):
            self._common("l", offset, part)
            self._common("l", offset + 4, 0)
        self._common("w", 0x1C, 1)
        notify_off = self._qtest.read("w", self._regions[self._COMMON] + 0x1E)
        self._doorbells[index] = self._regions[self._NOTIFY] + notify_off * self._multiplier


def virtqueue_layout(size: int, address: int) -> tuple[int, int, int]:
    """Descriptors, available ring, used ring."""
    return address, address + 16 * size, address + 16 * size + 8192
