# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that share a disk: their writes, their reservation commands, and who may write no more.

Everything that must never happen is noticed here and written down as a violation.
"""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from guest.lib.channel import ChannelClosed

from .figures import Figures
from .initiator import BUSY, CHECK_CONDITION, CONFLICT, GOOD, NOT_RUN, TASK_ABORTED, Request
from .medium import BLOCK, CHUNK, Medium, tagged
from .node import AIO, DEAD, FROZEN, RUNNING, Home, Node, Setup, with_file_store

REGISTER_AND_IGNORE, RESERVE, PREEMPT, PREEMPT_AND_ABORT = 0x06, 0x01, 0x04, 0x05
READ_KEYS, READ_RESERVATION = 0x00, 0x01
TYPES = (5, 6, 7, 8)  # those that let every registrant write, and nobody else
REWRITE = 16  # chunks a command

STATUS = {GOOD: "GOOD", CHECK_CONDITION: "CHECK CONDITION", BUSY: "BUSY", NOT_RUN: "not run"}
STATUS |= {CONFLICT: "RESERVATION CONFLICT", TASK_ABORTED: "TASK ABORTED"}


class Hung(Exception):
    """Something did not end that must. The storm cannot go on."""


class Write:
    """The context of a request that writes; `then` is told the status."""

    def __init__(self, node: Node, then: Callable[[int], None] | None = None) -> None:
        self.node, self.tenure, self.then = node, node.tenure, then


class Cluster:
    """On one host, with a `file:` store."""

    PATIENCE = 30.0  # seconds until a command that should end counts as hung
    ABORT_TIMEOUTS: Sequence[int] = range(150, 301)  # ms
    BRAKES = (0, 0, 1000, 3000, 10000)  # writes a second of a victim's disk, see Node.brake()
    # How a command of who has access may end, to be sent again.
    PASSING: tuple[int, ...] = (CHECK_CONDITION,)  # a unit attention condition

    def __init__(self, binary: Path, directory: Path, rng: random.Random, area: int = 128) -> None:
        self.rng, self.figures = rng, Figures()
        self.directory = directory
        homes = self.homes()
        self.medium = Medium(directory / "storm.img", area, len(homes))
        self.nodes = [Node(i, binary, self.medium, directory, home) for i, home in enumerate(homes)]
        self.fenced: set[int] = set()  # tenures that may write no more
        self.round = ""  # for people: which one a violation was found in
        self.kind = ""  # of that round
        self._tenures = 0
        self._sequence = 0
        self._aio = [aio for aio in AIO if self._can_use(aio)]

    def homes(self) -> list[Home]:
        """Of each node."""
        return [with_file_store(self.directory)] * 3

    def _can_use(self, aio: str) -> bool:
        """Not every kernel and file system has them all, and QEMU may refuse one for good reasons."""
        probe = self.nodes[0]
        try:
            probe.start(Setup(aio))
        except ChannelClosed:
            if aio == "threads":
                raise RuntimeError(f"QEMU does not start:\n{probe.log()}") from None
            return False
        probe.kill()
        return True

    def close(self) -> None:
        for node in self.nodes:
            if node.state != DEAD:
                node.kill()
        self.medium.close()

    def violation(self, text: str) -> None:
        self.figures.violations[f"{self.round}: {text}"] += 1

    # --- processes

    def start(self, node: Node, **chosen: Any) -> None:
        """`chosen`: of its Setup; the rest is drawn."""
        rng = self.rng
        setup = Setup(
            aio=rng.choice(self._aio),
            iothreads=min(rng.choice((0, 0, 0, 1, 2)), node.most_iothreads),
            tas=rng.random() < 0.3,
            abort_timeout=rng.choice(self.ABORT_TIMEOUTS),
        )
        setup = replace(setup, **chosen)
        node.start(setup)
        kind = "fabric" if setup.fabric else f"aio={setup.aio}"
        kind += f" iothreads: {setup.iothreads}" * bool(setup.iothreads)
        self.figures.processes[kind] += 1

    def restart(self, node: Node, **chosen: Any) -> None:
        """By another process, which has nothing under way, and nothing to report."""
        node.depth = 0
        self.end(node)
        self.start(node, **chosen)
        self.do(node, bytes(6))

    def end(self, node: Node) -> None:
        """By SIGKILL."""
        node.kill()
        self.killed(node)

    def killed(self, node: Node) -> None:
        """Its process is gone: what it still had under way will never be answered."""
        node.initiator.abandon(self._ended)

    def reset(self, node: Node) -> None:
        node.reset()
        node.initiator.abandon(self._ended)
        node.initiator.start()

    # --- time

    def pump(self) -> None:
        """Takes in what has ended, keeps the queues as deep as they shall be."""
        for node in self.nodes:
            self.take_in(node)
            if node.state != RUNNING:
                continue
            self._refill(node)
            node.initiator.notify()
            if node.initiator.under_way:
                node.tick()
        time.sleep(0.0001)

    def take_in(self, node: Node) -> None:
        if node.state != DEAD:
            node.initiator.reap(self._ended)

    def until(
        self, condition: Callable[[], bool], what: str, patience: float | None = None
    ) -> None:
        patience = patience or self.PATIENCE
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise Hung(f"not within {patience:g} s: {what}")
            self.pump()

    def let_pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()

    def logs(self) -> str:
        return "".join(node.describe() for node in self.nodes)

    # --- writes

    def _refill(self, node: Node) -> None:
        while node.initiator.under_way < node.depth:
            self.write(node, self.rng.randrange(self.medium.area))

    def write(
        self,
        node: Node,
        chunk: int,
        count: int = 1,
        then: Callable[[int], None] | None = None,
        tag: int | None = None,
    ) -> None:
        """Sent with the next notify(). Tagged with the node's tenure, if not said otherwise."""
        self._sequence += 1
        data = tagged(node.tenure if tag is None else tag, self._sequence, count)
        node.initiator.send(write_10(chunk, count), data, context=Write(node, then))

    def rewrite(self, node: Node, chunks: range, tag: int | None = None) -> None:
        """Overwrites the chunks, and returns when all is on the medium."""
        deadline = time.monotonic() + self.PATIENCE
        todo = {start: min(REWRITE, chunks.stop - start) for start in chunks[::REWRITE]}
        while todo:
            if time.monotonic() > deadline:
                raise Hung(f"{node.name} keeps its access, but cannot rewrite")
            status: dict[int, int] = {}
            for start, count in todo.items():
                self.write(node, start, count, partial(status.__setitem__, start), tag)
            self.until(lambda: len(status) == len(todo), f"{node.name} rewrites")
            for start, end in status.items():
                if end == GOOD:
                    del todo[start]
                elif end not in self.PASSING:
                    listed = "lists" if node.tenure in self.keys(node) else "does not list"
                    self.violation(
                        f"{node.name} keeps its access, but its write ended {STATUS[end]};"
                        f" READ KEYS {listed} it"
                    )
                    return

    def _ended(self, request: Request) -> None:
        if isinstance(request.context, Write):
            write, status = request.context, request.status
            assert status is not None
            self.figures.writes[STATUS.get(status, f"{status:#x}")] += 1
            write.node.good += status == GOOD
            if status == GOOD and write.tenure in self.fenced:
                self.violation(f"a write of {write.node.name} was GOOD after it had been fenced")
            if write.then:
                write.then(status)
        elif callable(request.context):
            request.context(request)

    # --- reservation commands

    def do(self, node: Node, cdb: bytes, out: bytes = b"", data_in: int = 0) -> Request:
        """The command's end; repeated after unit attention conditions and BUSY, and if nobody knows
        whether it was carried out."""
        deadline = time.monotonic() + self.PATIENCE
        while True:
            request = node.send(cdb, out, data_in)
            self.until(lambda: request.status is not None, f"{node.name} runs {cdb.hex()}")
            if not (request.unit_attention or request.unknown or request.status == BUSY):
                return request
            if time.monotonic() > deadline:
                raise Hung(f"{node.name}: {cdb.hex()} is BUSY for ever")

    def keys(self, node: Node) -> set[int]:
        request = self.do(node, struct.pack(">BB5xHx", 0x5E, READ_KEYS, 256), data_in=256)
        if request.status != GOOD:
            raise Hung(f"{node.name}: READ KEYS ended {request.status:#x}")
        (length,) = struct.unpack_from(">I", request.data, 4)
        return {key for (key,) in struct.iter_unpack(">Q", request.data[8 : 8 + length])}

    def reservation_type(self, node: Node) -> int:
        """0: there is no reservation."""
        request = self.do(node, struct.pack(">BB5xHx", 0x5E, READ_RESERVATION, 256), data_in=256)
        return request.data[21] & 0x0F if struct.unpack_from(">I", request.data, 4)[0] else 0

    def register(self, node: Node, tenure: int | None = None) -> None:
        """By a key that nobody has had; or by that of another node, to be fenced with it."""
        self._tenures += tenure is None
        key = self._tenures if tenure is None else tenure
        cdb, out = pr_out(REGISTER_AND_IGNORE, 0, 0, key)
        request = self.do(node, cdb, out)
        if request.status != GOOD:
            raise Hung(f"{node.name}: REGISTER AND IGNORE EXISTING KEY ended {request.status:#x}")
        node.tenure = key

    def make_ready(self) -> int:
        """All run, are registered, have nothing under way; the type of the reservation."""
        for node in self.nodes:
            if node.state == DEAD:
                self.start(node)
            elif node.state == FROZEN:
                node.thaw()
        for node in self.nodes:
            node.depth = 0
            node.brake(0)
        self.until(lambda: not any(n.initiator.under_way for n in self.nodes), "writes end")
        keys = self.keys(self.nodes[0])
        # Two may share a key still: they were to be fenced together, and one of them won.
        shared = Counter(node.tenure for node in self.nodes)
        for node in self.nodes:
            if node.tenure not in keys or node.tenure in self.fenced or shared[node.tenure] > 1:
                self.register(node)
            self.do(node, bytes(6))  # takes unit attention conditions
        holder = self.rng.choice(self.nodes)
        kind = self.reservation_type(holder)
        if kind == 0:
            kind = self.rng.choice(TYPES)
            cdb, out = pr_out(RESERVE, kind, holder.tenure, 0)
            self.do(holder, cdb, out)
        return kind

    # --- judgement

    def has_been_fenced(self, tenure: int) -> None:
        """From now on nothing may be written by that tenure."""
        for node in self.nodes:
            self.take_in(node)  # what ended before we knew
        self.figures.fencings += 1
        self.fenced.add(tenure)

    def check_medium(self) -> None:
        for tenure, blocks in self.medium.tenures().items():
            if tenure == -1 or tenure in self.fenced:
                self.violation(f"{len(blocks)} blocks, from {blocks[0]}, are of fenced tenure {tenure}")


def write_10(chunk: int, count: int) -> bytes:
    """CDB of WRITE(10)."""
    blocks = CHUNK // BLOCK
    return struct.pack(">BBIBHB", 0x2A, 0, chunk * blocks, 0, count * blocks, 0)


def pr_out(action: int, kind: int, key: int, service_key: int) -> tuple[bytes, bytes]:
    """CDB and parameter list of PERSISTENT RESERVE OUT."""
    cdb = struct.pack(">BBB2xIx", 0x5F, action, kind, 24)
    return cdb, struct.pack(">QQ8x", key, service_key)
