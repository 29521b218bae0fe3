# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cluster nodes, each a VM with two paths to one logical unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath

from hosts.stores import StoreOn

from . import disk
from .disk import Disk
from .expect import DRAIN
from .scsi import Initiator
from .vm import VM

# Initiator port and relative target port of each path: A's two paths differ in the one, B's in the
# other. Fibre Channel because its TransportID is the one that all clients get right
# (test_mpathpersist.py).
PORTS = {
    "A": [("2100000000000a01", 1), ("2100000000000a01", 2)],
    "B": [("2100000000000b01", 1), ("2100000000000b02", 1)],
}
# Of which host each path is, where there are two: as unlike each other as can be.
HOSTS = {"A": [0, 1], "B": [1, 0]}


@dataclass
class Path(Initiator):
    """An I_T nexus of a node."""

    wwpn: str = ""
    port: int = 1

    @property
    def transport_id(self) -> str:
        """The initiator port as sg_persist takes it."""
        return f"fcp,{self.wwpn}"


@dataclass
class Node:
    vm: VM
    paths: list[Path]

    def drained(self) -> str:
        """A shell command that takes the unit attentions that wait at every path."""
        return " && ".join(f"({DRAIN.format(path.device)})" for path in self.paths)


def virtual_machine(name: str, directory: FilePath, binary: FilePath, store_on: StoreOn) -> VM:
    """A VM with the node's paths; the image of all nodes is in `directory`."""
    image = directory / "shared.img"
    if not image.exists():
        disk.create(image)
    disks = [
        Disk(image, f"disk{n}", pr_initiator=f"0x{wwpn}", pr_target_port=port, **store_on(host))
        for n, ((wwpn, port), host) in enumerate(zip(PORTS[name], HOSTS[name], strict=True))
    ]
    return VM(name, disks, binary=binary)


def node(vm: VM) -> Node:
    """The node of a VM that is up. Linux names disks in the order in which it gets hold of them."""
    names = vm.run("for n in 0 1; do ls /sys/class/scsi_device/0:0:$n:0/device/block; done").out
    devices = [f"/dev/{name}" for name in names.split()]
    ports = PORTS[vm.name]
    return Node(vm, [Path(vm, dev, *port) for dev, port in zip(devices, ports, strict=True)])


def clean(nodes: Iterable[Node]) -> None:
    """Nothing registered, no unit attention waiting; one command a VM."""
    first, *others = nodes
    device = first.paths[0].device
    clear = f"sg_persist -n -o -I -S 1 {device} && sg_persist -n -o -C -K 1 {device}"
    first.vm.run(f"{first.drained()} && {clear} && {first.drained()}", check=True)
    for other in others:
        other.vm.run(other.drained(), check=True)
