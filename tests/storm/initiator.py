# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-scsi driver: commands in the rings of a machine's memory, which we map."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

from .qtest import Qtest, VirtioPci, virtqueue_layout

GOOD, CHECK_CONDITION, BUSY, CONFLICT, TASK_ABORTED = 0x00, 0x02, 0x08, 0x18, 0x40
UNIT_ATTENTION, ABORTED_COMMAND = 0x06, 0x0B
COMMUNICATION_TIME_OUT = 0x0801  # LOGICAL UNIT COMMUNICATION TIME-OUT
NOT_RUN = -1  # no status: the request was aborted or reset, or its process is gone

MEMORY = 32 << 20
SLOTS = 160  # requests under way at the same time
SLOT_DATA = 64 << 10
_RINGS = {index: (1 << 20) + index * (64 << 10) for index in range(4)}
_SIZES = {0: 64, 1: 64, 2: 512, 3: 512}
_CONTROL, _REQUESTS = 0, 2
_HEADERS = 2 << 20  # 256 bytes each: request, and at 128 the response
_DATA = 4 << 20
_LUN = bytes((1, 0, 0x40, 0, 0, 0, 0, 0))
_NEXT, _WRITE = 1, 2


@dataclass(slots=True)
class Request:
    """A SCSI command; `status` is None until it has ended."""

    slot: int
    context: object
    status: int | None = None
    sense_key: int = 0
    additional_sense: int = 0  # its code, and below it the qualifier
    data: bytes = b""

    @property
    def unit_attention(self) -> bool:
        return self.status == CHECK_CONDITION and self.sense_key == UNIT_ATTENTION

    @property
    def unknown(self) -> bool:
        """Of a change of a state that many hosts share: it may be in force, or be some time."""
        sense = self.sense_key, self.additional_sense
        return self.status == CHECK_CONDITION and sense == (ABORTED_COMMAND, COMMUNICATION_TIME_OUT)


class Virtqueue:
    """One queue: 16-bit indices are written by one store each, for the device reads meanwhile."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self.size = _SIZES[index]
        self.descriptors, available, used = virtqueue_layout(self.size, _RINGS[index])
        self._memory = memory
        view = memoryview(memory)
        memory[available : available + 4 + 2 * self.size] = bytes(4 + 2 * self.size)
        memory[used : used + 4 + 8 * self.size] = bytes(4 + 8 * self.size)
        self._available = view[available : available + 4 + 2 * self.size].cast("H")
        self._used_index = view[used : used + 4].cast("H")
        self._used = view[used + 4 : used + 4 + 8 * self.size].cast("I")
        self._available[0] = 1  # we poll
        self._seen = 0

    def describe(self, index: int, address: int, length: int, flags: int, following: int = 0) -> None:
        at = self.descriptors + 16 * index
        struct.pack_into("<QIHH", self._memory, at, address, length, flags, following)

    def offer(self, head: int) -> None:
        index = self._available[1]
        self._available[2 + index % self.size] = head
        self._available[1] = index + 1 & 0xFFFF

    @property
    def given_back(self) -> int:
        """How many chains take() would find."""
        return self._used_index[1] - self._seen & 0xFFFF

    def take(self) -> list[int]:
        """Heads of the chains that the device has given back since."""
        end = self._used_index[1]
        heads = []
        while self._seen != end:
            heads.append(self._used[2 * (self._seen % self.size)])
            self._seen = self._seen + 1 & 0xFFFF
        return heads


class Initiator:
    """Sends commands to the one logical unit of a virtio-scsi adapter."""

    def __init__(self, memory: mmap.mmap, qtest: Qtest, pci_slot: int, queues: int = 1) -> None:
        """`queues`: those for commands, which take turns."""
        self._memory = memory
        self._indices = range(_REQUESTS + queues)
        self._device = VirtioPci(qtest, pci_slot)
        self.start()

    def start(self) -> None:
        """Also after a reset of the machine: it has forgotten everything."""
        self._queues = {index: Virtqueue(self._memory, index) for index in self._indices}
        self._requests: dict[int, Request] = {}
        self._free = list(range(SLOTS))
        self._offered: set[int] = set()
        self._resetting = False
        self._device.start({index: (_SIZES[index], _RINGS[index]) for index in self._indices})

    def go_on(self, qtest: Qtest) -> None:
        """In the process that the machine has migrated to; what the first one left is done there."""
        self._device.go_on(qtest)
        self.renotify()

    def _request_queues(self) -> range:
        return self._indices[_REQUESTS:]

    @property
    def under_way(self) -> int:
        return len(self._requests) + self._resetting

    @property
    def all_ended(self) -> bool:
        """Whether reap() would leave nothing under way. Cheap: for those who wait busily."""
        queues = self._request_queues()
        return sum(self._queues[index].given_back for index in queues) == len(self._requests)

    def send(self, cdb: bytes, out: bytes = b"", data_in: int = 0, context: object = None) -> Request:
        """Puts the command into the queue; notify() tells the device."""
        request = Request(self._free.pop(), context)
        self._requests[request.slot] = request
        index = _REQUESTS + request.slot % len(self._request_queues())
        queue, first = self._queues[index], 3 * request.slot
        header, data = _HEADERS + 256 * request.slot, _DATA + SLOT_DATA * request.slot
        self._memory[header : header + 51] = struct.pack("<8sQ3x32s", _LUN, request.slot, cdb)
        self._memory[data : data + len(out)] = out
        chain = [(header, 51, 0)]
        chain += [(data, len(out), 0)] if out else []
        chain += [(header + 128, 108, _WRITE)]
        chain += [(data, data_in, _WRITE)] if data_in else []
        for offset, (address, length, flags) in enumerate(chain):
            last = offset + 1 == len(chain)
            queue.describe(
                first + offset, address, length, flags | (0 if last else _NEXT), first + offset + 1
            )
        queue.offer(first)
        self._offered.add(index)
        return request

    def notify(self) -> None:
        while self._offered:
            self._device.notify(self._offered.pop())

    def renotify(self) -> None:
        self._offered.update(self._request_queues())
        self.notify()

    def reap(self, ended: Callable[[Request], None]) -> None:
        """Calls `ended` for each request that has ended. Reads memory, never the process."""
        if self._queues[_CONTROL].take():
            self._resetting = False
        queues = [self._queues[index] for index in self._request_queues()]
        for head in [head for queue in queues for head in queue.take()]:
            request = self._requests.pop(head // 3)
            self._free.append(request.slot)
            at = _HEADERS + 256 * request.slot + 128
            _sense_length, _residual, _, status, response = struct.unpack_from("<IIHBB", self._memory, at)
            request.status = status if response == 0 else NOT_RUN
            request.sense_key = self._memory[at + 12 + 2] & 0x0F
            (request.additional_sense,) = struct.unpack_from(">H", self._memory, at + 12 + 12)
            data = _DATA + SLOT_DATA * request.slot
            request.data = self._memory[data : data + 512]
            ended(request)

    def abandon(self, ended: Callable[[Request], None]) -> None:
        """The device will never answer what is under way any more."""
        self.reap(ended)
        for request in self._requests.values():
            request.status = NOT_RUN
            ended(request)
        self._requests.clear()
        self._resetting = False

    def logical_unit_reset(self) -> None:
        """Sends the task management function and does not wait for its response."""
        queue, at = self._queues[_CONTROL], _HEADERS + 256 * SLOTS
        self._memory[at : at + 24] = struct.pack("<II8sQ", 0, 5, _LUN, 0)
        self._resetting = True
        queue.describe(0, at, 24, _NEXT, 1)
        queue.describe(1, at + 128, 1, _WRITE)
        queue.offer(0)
        self._device.notify(_CONTROL)
