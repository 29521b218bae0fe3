# SPDX-License-Identifier: GPL-2.0-or-later
"""The network between the nodes: a hub in this process, with cables that can be cut."""

from __future__ import annotations

import selectors
import socket
import threading


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets that speak with each other only. Not a socketpair(): of Unix datagrams the
    kernel queues no more than ten."""
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for end in ends:
        end.bind(("127.0.0.1", 0))
    for end, other in zip(ends, reversed(ends), strict=True):
        end.connect(other.getsockname())
        end.setblocking(False)
    return ends[0], ends[1]


class Switch:
    """Every frame goes to all other ports, as long as both cables are whole. What a node that
    stands still does not take is lost. Needs neither root nor a network of the host's."""

    def __init__(self, ports: int) -> None:
        self._ends = [_pair() for _ in range(ports)]
        self._cut: set[int] = set()
        self._selector = selectors.DefaultSelector()
        for number, (ours, _) in enumerate(self._ends):
            self._selector.register(ours, selectors.EVENT_READ, number)
        self._stop, waker = socket.socketpair()
        self._selector.register(waker, selectors.EVENT_READ, None)
        self._waker = waker
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def port(self, number: int) -> int:
        """The descriptor that a QEMU inherits; also one that is started again later."""
        return self._ends[number][1].fileno()

    def cut(self, number: int) -> None:
        self._cut.add(number)

    def mend(self, number: int) -> None:
        self._cut.discard(number)

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        self._selector.close()
        self._waker.close()
        for pair in self._ends:
            for end in pair:
                end.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                self._forward(key.data)

    def _forward(self, source: int) -> None:
        try:
            frame = self._ends[source][0].recv(1 << 16)
        except OSError:  # nobody is at the other end of an earlier frame
            return
        for number, (ours, _) in enumerate(self._ends):
            if number != source and not self._cut & {number, source}:
                try:
                    ours.send(frame)
                except OSError:
                    pass
