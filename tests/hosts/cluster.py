# SPDX-License-Identifier: GPL-2.0-or-later
"""An etcd and hosts, with a proxy between each host and each member."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from .etcd import Etcd, in_network, on_loopback
from .host import Host
from .network import Network
from .nexus import Nexus
from .proxy import HALF, PASS, SILENT, Proxy


class Cluster:
    def __init__(
        self, directory: Path, hosts: int, members: int = 1, duration: int = 2, apart: bool = False
    ) -> None:
        """`duration`: D in seconds; tests have no time for the usual one. `apart`: each host and each
        member is in a network namespace of its own; else all are on loopback."""
        self.directory = directory
        names = [f"h{i + 1}" for i in range(hosts)], [f"m{i}" for i in range(members)]
        self.network = Network(names[0] + names[1]) if apart else None
        places = in_network(self.network, names[1]) if self.network else on_loopback(members)
        self.etcd = Etcd(directory, places)
        self.proxies: dict[str, list[Proxy]] = {}
        self.hosts: dict[str, Host] = {}
        self.nexuses: list[Nexus] = []
        self.duration = duration
        try:
            self.etcd.start_all()
            for name in names[0]:
                self._add(name)
            for host in self.hosts.values():
                host.start()
            for host in self.hosts.values():
                host.wait_joined()
        except BaseException:
            self.close()
            raise

    def way(self, name: str) -> list[str]:
        """In front of a command that is to run on that host."""
        return self.network.command(name) if self.network else []

    def _add(self, name: str) -> None:
        inside = partial(self.network.inside, name) if self.network else nullcontext
        targets = [(place.address, place.client_port) for place in self.etcd.places]
        self.proxies[name] = [Proxy(target, inside) for target in targets]
        endpoints = [proxy.endpoint for proxy in self.proxies[name]]
        self.hosts[name] = Host(
            name, self.directory / name, endpoints, duration=self.duration, wrapper=self.way(name)
        )

    def nexus(self, name: str, host: str, unit: str = "quorum") -> Nexus:
        """Attached."""
        nexus = self.start_nexus(name, host, unit)
        assert nexus.opened == "ok", nexus.opened
        nexus.attach()
        return nexus

    def start_nexus(self, name: str, host: str, unit: str = "quorum") -> Nexus:
        self.nexuses.append(Nexus(name, self.hosts[host].runtime, unit))
        return self.nexuses[-1]

    def record_of(self, name: str, seen_by: str) -> dict[str, object]:
        """That host's, as it is in etcd."""
        told = self.hosts[seen_by].ask_tool("hosts", "--output=json")
        assert told.returncode == 0, told.stderr
        return next(each for each in json.loads(told.stdout)["hosts"] if each["name"] == name)

    def cut(self, host: str, mode: str = SILENT) -> None:
        """Between the host and etcd."""
        for proxy in self.proxies[host]:
            proxy.mode = mode

    def cut_at(self, host: str, request: bytes) -> None:
        """As soon as it sends such a request, which gets through, it hears nothing any more."""

        def hear(data: bytes) -> None:
            if request in data:
                self.cut(host, HALF)

        for proxy in self.proxies[host]:
            proxy.on_request = hear

    def mend(self, host: str) -> None:
        for proxy in self.proxies[host]:
            proxy.on_request = None
        self.cut(host, PASS)

    def close(self) -> None:
        for nexus in self.nexuses:
            nexus.close()
        for host in self.hosts.values():
            host.close()
        for proxies in self.proxies.values():
            for proxy in proxies:
                proxy.close()
        self.etcd.close()
        if self.network is not None:
            self.network.close()
