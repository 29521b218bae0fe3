# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines over a socket with deadlines: what QMP and the guest agent have in common."""

from __future__ import annotations

import socket
import time


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of a socket pair; the other end is a file descriptor that QEMU inherits.

    No path, hence no length limit, no file to clean up and no race between listen and connect.
    """

    def __init__(self) -> None:
        self._socket, self._theirs = socket.socketpair()
        self._buffer = b""

    @property
    def fd(self) -> int:
        """The descriptor to pass to the child."""
        return self._theirs.fileno()

    def passed_on(self) -> None:
        """The child has its end: drop ours of it, or its death would go unnoticed."""
        self._theirs.close()

    def close(self) -> None:
        self._socket.close()
        self._theirs.close()

    def continue_from(self, other: Channel) -> None:
        """What has arrived at another one, whose other side is gone, comes before our own."""
        other._socket.settimeout(10)
        while data := other._socket.recv(1 << 16):
            other._buffer += data
        self._buffer = other._buffer + self._buffer

    def send(self, line: bytes, timeout: float = 10) -> None:
        """Send a line. Raises ChannelClosed, or TimeoutError when nobody reads."""
        self._check_open()
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(line + b"\n")
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise ChannelClosed from gone

    def receive(self, deadline: float) -> bytes | None:
        """The next line without its end, None when there is none before `deadline` (monotonic).

        What has already arrived is returned even after the deadline.
        """
        while b"\n" not in self._buffer:
            self._check_open()
            # A deadline in the past still polls: 0 would mean non-blocking, with an exception.
            self._socket.settimeout(max(deadline - time.monotonic(), 0.0001))
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            except ConnectionResetError:
                data = b""
            if not data:
                raise ChannelClosed
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise ChannelClosed
