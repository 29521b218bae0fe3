# SPDX-License-Identifier: GPL-2.0-or-later
"""The medium behind a fabric: NBD, by which the QEMUs of a host reach a storage that is elsewhere.

The fabric holds back what it is told to, for as long as it is told to, whatever has become of its sender. The
storage refuses the hosts that it is told to refuse.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .medium import CHUNK, Medium

LARGEST = 1 << 20  # bytes of one request

# The NBD protocol, doc/proto.md: fixed newstyle, simple replies.
_GREETING = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 3)
_OPTION, _OPTION_REPLY = struct.Struct(">8sII"), struct.Struct(">QIII")
_OPTION_MAGIC = 0x3E889045565A9
_GO, _ACK, _INFO, _UNSUPPORTED = 7, 1, 3, 0x80000001
_EXPORT = struct.Struct(">HQH")
_FLAGS = 1 | 4  # there are flags, there is FLUSH
_REQUEST, _REPLY = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
_REPLY_MAGIC = 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3


class Storage:
    """Carries out one request at a time, and none of a host that is fenced."""

    def __init__(self, medium: Medium, directory: Path) -> None:
        self.size = medium.chunks * CHUNK
        self._fd = os.open(medium.path, os.O_RDWR | (os.O_DIRECT if medium.direct else 0))
        self._buffer = mmap.mmap(-1, LARGEST + 2 * CHUNK)  # O_DIRECT wants aligned memory
        self._turn = threading.Lock()
        self._fenced: set[str] = set()
        self.refused = 0  # writes
        self.fence_command = directory / "fence"
        self._listener = _listen(directory / "fence.sock")
        self.fence_command.write_text(_FENCE_COMMAND.format(directory / "fence.sock"))
        self.fence_command.chmod(0o755)
        _thread(self._hear)

    def _hear(self) -> None:
        """Of its fence-command."""
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer:
                    self.fence(peer.recv(256).decode())
                    peer.sendall(b"fenced")

    def fence(self, host: str) -> None:
        """Nothing of that host is being carried out when this returns, nor will be."""
        with self._turn:
            self._fenced.add(host)

    def admit(self, host: str) -> None:
        with self._turn:
            self._fenced.discard(host)

    def read(self, offset: int, length: int) -> bytes:
        before = offset % CHUNK
        whole = -(-(before + length) // CHUNK) * CHUNK
        with self._turn:
            os.preadv(self._fd, [memoryview(self._buffer)[:whole]], offset - before)
            return self._buffer[before : before + length]

    def write(self, host: str, offset: int, data: bytes) -> int:
        """An error number, or 0."""
        with self._turn:
            if host in self._fenced:
                self.refused += 1
                return errno.EPERM
            self._buffer[: len(data)] = data
            done = os.pwritev(self._fd, [memoryview(self._buffer)[: len(data)]], offset)
            return 0 if done == len(data) else errno.EIO

    def close(self) -> None:
        _shut(self._listener)
        with self._turn:
            os.close(self._fd)


# [cluster] fence-command: with the host's name and its boot id.
_FENCE_COMMAND = """#!/usr/bin/python3
import socket, sys
with socket.socket(socket.AF_UNIX) as storage:
    storage.connect("{}")
    storage.sendall(sys.argv[1].encode())
    sys.exit(storage.recv(16) != b"fenced")
"""


class Fabric:
    """The way of one host to the storage."""

    def __init__(self, storage: Storage, host: str, path: Path) -> None:
        self._storage, self._host = storage, host
        self.path = path  # of the socket
        self._listener = _listen(path)
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._order = threading.Lock()  # of what is on its way
        self._holding = False
        self._on_their_way: list[Callable[[], int]] = []
        self._accepting = _thread(self._accept)

    # --- what it does with the host's writes

    def hold(self) -> None:
        """From now on they are on their way."""
        with self._order:
            self._holding = True

    @property
    def held(self) -> int:
        return len(self._on_their_way)

    def deliver(self) -> int:
        """All that are on their way arrive, as do later ones: how many of them the storage has carried out."""
        with self._order:
            self._holding = False
            arriving, self._on_their_way = self._on_their_way, []
            return sum(write() == 0 for write in arriving)

    def forget(self) -> int:
        """None of them arrives: how many."""
        with self._order:
            arriving, self._on_their_way = self._on_their_way, []
            return len(arriving)

    def cut(self) -> None:
        """The host sends and hears nothing any more; what is on its way is so still."""
        _shut(self._listener)
        self._accepting.join()
        for peer in self._peers:
            _shut(peer)
        for thread in self._threads:  # behind what had arrived at this end of it
            thread.join()

    def close(self) -> None:
        self.cut()
        self.forget()
        self.path.unlink(missing_ok=True)

    # --- NBD

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                self._threads.append(_thread(self._serve, peer))

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), peer.makefile("rb") as stream:
            self._negotiate(peer, stream)
            while self._carry_out(peer, stream):
                pass

    def _negotiate(self, peer: socket.socket, stream: BinaryIO) -> None:
        peer.sendall(_GREETING)
        _take(stream, 4)
        option = 0
        while option != _GO:
            _, option, length = _OPTION.unpack(_take(stream, _OPTION.size))
            _take(stream, length)
            if option == _GO:
                export = _EXPORT.pack(0, self._storage.size, _FLAGS)
                peer.sendall(_OPTION_REPLY.pack(_OPTION_MAGIC, option, _INFO, len(export)) + export)
            kind = _ACK if option == _GO else _UNSUPPORTED
            peer.sendall(_OPTION_REPLY.pack(_OPTION_MAGIC, option, kind, 0))

    def _carry_out(self, peer: socket.socket, stream: BinaryIO) -> bool:
        """One request; False: it was the last."""
        _, _, command, cookie, offset, length = _REQUEST.unpack(_take(stream, _REQUEST.size))
        if command == _WRITE:
            self._send(peer, cookie, offset, _take(stream, length))
        elif command == _READ:
            peer.sendall(_REPLY.pack(_REPLY_MAGIC, 0, cookie) + self._storage.read(offset, length))
        else:
            peer.sendall(_REPLY.pack(_REPLY_MAGIC, 0 if command == _FLUSH else errno.EINVAL, cookie))
        return command != _DISCONNECT

    def _send(self, peer: socket.socket, cookie: int, offset: int, data: bytes) -> None:
        def write() -> int:
            error = self._storage.write(self._host, offset, data)
            with contextlib.suppress(OSError):  # nobody may be there any more to hear it
                peer.sendall(_REPLY.pack(_REPLY_MAGIC, error, cookie))
            return error

        with self._order:
            if self._holding:
                self._on_their_way.append(write)
            else:
                write()


def _take(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def _shut(each: socket.socket) -> None:
    """Whoever waits for it, here or at its other end, is told."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def _thread(run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread
