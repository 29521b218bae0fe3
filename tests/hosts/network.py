# SPDX-License-Identifier: GPL-2.0-or-later
"""A small network of machines: network namespaces that a bridge in another one connects."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def why_no_network() -> str | None:
    """What this machine lacks for network namespaces; None: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip; install iproute2"
    probe = subprocess.run(["unshare", "--net", "ip", "link", "add", "probe", "type", "veth"], check=False)
    return "this kernel makes no network namespaces with veth" if probe.returncode else None


def _enter(namespace: int) -> None:
    """Of the calling thread only. Python has os.setns() since 3.12."""
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Network:
    """`names` are namespaces that are reached by `command(name)`; each has an address."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"scsi-pr-{os.getpid()}-"
        self._names = list(names)
        self._switch = self._prefix + "switch"
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, name in enumerate(self._names):
            space = self._prefix + name
            _ip("netns", "add", space)
            _ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", f"port{number}", "netns", self._switch)
            _ip("-n", self._switch, "link", "set", f"port{number}", "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")

    def address(self, name: str) -> str:
        return f"192.0.2.{self._names.index(name) + 1}"  # RFC 5737: for documentation, nobody's

    def command(self, name: str) -> list[str]:
        """In front of a command that is to run there."""
        return ["ip", "netns", "exec", self._prefix + name]

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """What this thread opens meanwhile is a socket there, and stays so."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._prefix}{name}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(here)
            os.close(there)
            os.close(here)

    def cut(self, name: str) -> None:
        """Pulls its cable."""
        _ip("-n", self._switch, "link", "set", f"port{self._names.index(name)}", "down")

    def mend(self, name: str) -> None:
        _ip("-n", self._switch, "link", "set", f"port{self._names.index(name)}", "up")

    def close(self) -> None:
        """Never fails."""
        for name in [*self._names, "switch"]:
            subprocess.run(["ip", "netns", "delete", self._prefix + name], check=False, capture_output=True)
