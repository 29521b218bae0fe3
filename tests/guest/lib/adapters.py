# SPDX-License-Identifier: GPL-2.0-or-later
"""Every adapter behind which QEMU shows a SCSI disk, side by side in one guest."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from .disk import Disk
from .vm import VM

FIRST_SLOT = 0x10


@dataclass(frozen=True)
class Adapter:
    """`device` as QEMU calls it, and the driver that Linux has for it."""

    device: str
    module: str
    usb_port: int = 0  # not 0: below the xHCI controller
    has_status: bool = True  # can tell the initiator every SCSI status
    has_no_data: bool = True  # passes commands on that transfer no data
    is_disk: bool = False  # makes its scsi-hd itself

    @property
    def slot(self) -> int:
        """Where it is on the PCI bus."""
        return FIRST_SLOT + ADAPTERS.index(self)

    @property
    def bus(self) -> str:
        return f"{self.id}.0"

    @property
    def id(self) -> str:
        return self.device.replace("-", "")

    def arguments(self) -> list[str]:
        if self.is_disk:
            return []
        if self is MMIO:
            return ["-device", f"{self.device},id={self.id}"]
        place = f"bus=xhci.0,port={self.usb_port}" if self.usb_port else f"addr={self.slot:#x}"
        return ["-device", f"{self.device},id={self.id},{place}"]

    def disk(self, image: Path, store: str) -> Disk:
        """With `store`; a disk that it makes itself gets one, and a name, from -global."""
        if not self.is_disk:
            return Disk(image, f"on-{self.id}", pr_store=store, bus=self.bus)
        port: dict[str, object] = {"port": self.usb_port}
        return Disk(image, self.id, self.device, wwn=None, bus="xhci.0", properties=port)

    @property
    def sysfs(self) -> str:
        """A regular expression for the place of its disk in sysfs."""
        return rf"/usb\d+/\d+-{self.usb_port}/" if self.usb_port else rf"/0000:00:{self.slot:02x}\.0/"


ADAPTERS = [
    Adapter("virtio-scsi-pci", "virtio_scsi"),
    Adapter("pvscsi", "vmw_pvscsi"),
    # Its QEMU model ends them in HARDWARE ERROR by itself.
    Adapter("megasas", "megaraid_sas", has_no_data=False),
    Adapter("megasas-gen2", "megaraid_sas", has_no_data=False),
    Adapter("lsi53c895a", "sym53c8xx"),
    Adapter("lsi53c810", "sym53c8xx"),
    Adapter("mptsas1068", "mptsas"),
    Adapter("am53c974", "am53c974"),
    Adapter("usb-uas", "uas", usb_port=1),
    # Bulk-only transport says whether a command has failed, no more.
    Adapter("usb-bot", "usb_storage", usb_port=2, has_status=False),
    Adapter("usb-storage", "usb_storage", usb_port=3, has_status=False, is_disk=True),
]
# Of a machine without PCI.
MMIO = Adapter("virtio-scsi-device", "virtio_scsi")


@dataclass
class Names:
    """Block devices in the guest."""

    disk: str
    peer: str


def device_names(vm: VM, adapter: Adapter) -> Names:
    """Linux names disks in the order in which it gets hold of them: they are known by their place.

    The peer's is the first virtio-scsi adapter."""
    places = _places(vm)
    virtio = sorted((path for path in places if "/virtio" in path), key=_first_number)
    peer = places[virtio[0]]
    if adapter is MMIO:
        return Names(f"/dev/{places[virtio[1]]}", f"/dev/{peer}")
    (found,) = [name for path, name in places.items() if re.search(adapter.sysfs, path)]
    return Names(f"/dev/{found}", f"/dev/{peer}")


@functools.cache  # the disks of these VMs stay
def _places(vm: VM) -> dict[str, str]:
    """In sysfs, of each disk."""
    said = vm.run("for d in /sys/block/sd*; do echo ${d##*/} $(readlink -f $d); done", check=True).out
    return {path: name for name, path in (line.split() for line in said.splitlines())}


def _first_number(path: str) -> int:
    found = re.search(r"/virtio(\d+)/", path)
    assert found, path
    return int(found[1])
