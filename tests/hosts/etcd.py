# SPDX-License-Identifier: GPL-2.0-or-later
"""etcd as Debian packages it: one member or several, each a process of ours."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from guest.lib.process import Child, tail

from .network import Network

STARTS_WITHIN = 60.0


def why_no_etcd() -> str | None:
    return None if shutil.which("etcd") else "there is no etcd; scripts/deps etcd installs it"


def free_ports(count: int) -> list[int]:
    """Of loopback, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Place:
    """Where a member runs: its address and ports, and the ways there of a process and of a thread."""

    address: str = "127.0.0.1"
    client_port: int = 2379
    peer_port: int = 2380
    wrapper: Sequence[str] = field(default_factory=list)
    inside: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def client(self) -> str:
        return f"http://{self.address}:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"http://{self.address}:{self.peer_port}"


def on_loopback(members: int) -> list[Place]:
    ports = free_ports(2 * members)
    return [Place("127.0.0.1", *ports[2 * i : 2 * i + 2]) for i in range(members)]


def in_network(network: Network, names: Sequence[str]) -> list[Place]:
    return [
        Place(network.address(name), wrapper=network.command(name), inside=partial(network.inside, name))
        for name in names
    ]


class Etcd:
    """Data is in `directory`, which should be on tmpfs: tests are not about its disk."""

    def __init__(self, directory: Path, places: Sequence[Place], arguments: Sequence[str] = ()) -> None:
        self._directory = directory
        self.places = list(places)
        self._arguments = list(arguments)
        self.members: list[Child | None] = [None] * len(self.places)

    @property
    def endpoints(self) -> list[str]:
        return [place.client for place in self.places]

    def _data(self, index: int) -> Path:
        return self._directory / f"m{index}"

    def _identity(self, index: int) -> list[str]:
        """What makes a cluster of that name of them, whether it is new or put back."""
        cluster = ",".join(f"m{i}={each.peer}" for i, each in enumerate(self.places))
        words = ["--name", f"m{index}", "--data-dir", str(self._data(index))]
        return [*words, "--initial-cluster", cluster, "--initial-advertise-peer-urls", self.places[index].peer]

    def start(self, index: int) -> None:
        place = self.places[index]
        command = [*place.wrapper, "etcd", *self._identity(index)]
        command += ["--listen-client-urls", place.client, "--advertise-client-urls", place.client]
        command += ["--listen-peer-urls", place.peer, "--logger", "zap", *self._arguments]
        self.members[index] = Child(command, self._directory / "etcd.log")

    def start_all(self) -> None:
        for index in range(len(self.places)):
            self.start(index)
        for index in range(len(self.places)):
            self.wait_for(index)

    def wait_for(self, index: int) -> None:
        """Until it answers what needs a leader."""
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            member = self.members[index]
            if self.answers(index):
                return
            if time.monotonic() > deadline or (member and member.code is not None):
                raise TimeoutError(f"etcd does not start:\n{tail(self._directory / 'etcd.log')}")
            time.sleep(0.1)

    def answers(self, index: int) -> bool:
        try:
            return "header" in self.post("/v3/kv/range", {"key": "YQ=="}, index, timeout=2)
        except (OSError, ValueError):
            return False

    def leader(self) -> int | None:
        """As the first member says that answers."""
        for index in range(len(self.places)):
            try:
                status: dict[str, Any] = self.post("/v3/maintenance/status", {}, index, timeout=1)
            except (OSError, ValueError):
                continue
            if status.get("leader") == status["header"]["member_id"]:
                return index
        return None

    def post(self, path: str, body: dict[str, object], index: int = 0, timeout: float = 5) -> dict[str, object]:
        """A request to the JSON gateway of a member."""
        request = urllib.request.Request(self.places[index].client + path, json.dumps(body).encode())
        with self.places[index].inside(), urllib.request.urlopen(request, timeout=timeout) as answer:
            found: dict[str, object] = json.loads(answer.read())
        return found

    # --- backups, by etcdctl as an administrator does it

    def save(self, backup: Path) -> None:
        backup.unlink(missing_ok=True)
        self._etcdctl("--endpoints", self.places[0].client, "snapshot", "save", str(backup))

    def put_back(self, backup: Path | None) -> None:
        """All members begin anew with that; None: with nothing."""
        for index in range(len(self.places)):
            self.kill(index)
            shutil.rmtree(self._data(index))
            if backup is not None:
                self._etcdctl("snapshot", "restore", str(backup), *self._identity(index))
        self.start_all()

    def _etcdctl(self, *words: str) -> None:
        done = subprocess.run(["etcdctl", *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def kill(self, index: int) -> None:
        member = self.members[index]
        if member is not None and member.code is None:
            member.kill()
        self.members[index] = None

    def freeze(self, index: int) -> None:
        member = self.members[index]
        assert member is not None
        member.freeze()

    def thaw(self, index: int) -> None:
        member = self.members[index]
        assert member is not None
        member.thaw()

    def close(self) -> None:
        for index in range(len(self.places)):
            self.kill(index)
