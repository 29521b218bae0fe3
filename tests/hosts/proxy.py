# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP proxy between a host and etcd that does what networks do: delay, silence, resets."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

PASS, SILENT, REFUSE, HALF = "pass", "silent", "refuse", "half"


class _Pipe:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        self.source, self.sink, self.answers = source, sink, answers


class Proxy:
    """`mode`: PASS; SILENT: takes everything, and passes nothing on; REFUSE: resets whoever comes and
    whoever is there; HALF: requests get through, answers do not. `delay`: seconds, both ways.
    `inside`: where both its sides are. `on_request`: hears what is sent before it is passed on."""

    def __init__(
        self, target: tuple[str, int], inside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._target, self._inside = target, inside
        with inside():
            self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._late: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = itertools.count()
        self._stop = threading.Event()
        self.mode, self.delay = PASS, 0.0
        self.on_request: Callable[[bytes], None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.005):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._take(key.data)
            if self.mode == REFUSE:
                self._reset_all()
            self._pass_on()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self.mode == REFUSE:
                raise ConnectionError
            with self._inside():
                server = socket.create_connection(self._target, timeout=1)
        except OSError:
            self._reset(client)
            return
        for source, sink, answers in ((client, server, False), (server, client, True)):
            self._selector.register(source, selectors.EVENT_READ, _Pipe(source, sink, answers))

    def _take(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._forget(pipe.source)
            self._forget(pipe.sink)
            return
        if self.on_request and not pipe.answers:
            self.on_request(data)
        if self.mode == PASS or (self.mode == HALF and not pipe.answers):
            heapq.heappush(self._late, (time.monotonic() + self.delay, next(self._count), pipe.sink, data))

    def _pass_on(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, sink, data = heapq.heappop(self._late)
            with contextlib.suppress(OSError, ValueError):
                sink.sendall(data)

    def _forget(self, each: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(each)
        each.close()

    @staticmethod
    def _reset(each: socket.socket) -> None:
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        each.close()

    def _reset_all(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._listener:
                self._selector.unregister(key.fileobj)
                self._reset(key.fileobj)  # type: ignore[arg-type]
        self._late.clear()
