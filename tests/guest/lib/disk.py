# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of a guest: the -blockdev and -device options a user would type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

WWN = "0x5000c50015ea71ac"


def option(pairs: Mapping[str, object]) -> str:
    """QEMU's key=value,… syntax; a comma inside a value is doubled."""
    return ",".join(f"{key}={str(value).replace(',', ',,')}" for key, value in pairs.items())


def create(path: Path, size: int = 16 << 20, fill: bytes = b"\0") -> Path:
    """A raw image, every 512-byte block beginning with `fill` (sparse for zeros)."""
    with path.open("wb") as image:
        if fill.strip(b"\0"):
            image.write(fill.ljust(512, b"\0") * (size // 512))
        image.truncate(size)
    return path


def direct_io(path: Path) -> bool:
    """Whether the file system takes O_DIRECT (tmpfs of older kernels does not)."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


@dataclass
class Disk:
    """A raw image behind virtio-scsi.

    share-rw=on on both sides is all it takes for two QEMUs to open the image: their image locks
    then ask for no exclusion, file.locking=off is not needed. The page cache is shared on one
    host, so buffered I/O would be coherent too; O_DIRECT is used where possible because only then
    has a completed write reached what the other guest and the host read, and a write in flight is
    really on its way to the disk.
    """

    path: Path
    id: str = "disk0"
    driver: str = "scsi-hd"
    wwn: str | None = WWN
    share_rw: bool = True
    pr_store: str | None = None
    pr_initiator: str | None = None
    pr_target_port: int | None = None
    direct: bool | None = None  # None: where the file system can
    bus: str = "scsi0.0"
    properties: dict[str, object] = field(default_factory=dict)  # more of the device's properties

    def arguments(self) -> list[str]:
        direct = direct_io(self.path) if self.direct is None else self.direct
        node = f"{self.id}-image"
        blockdev = {"driver": "raw", "node-name": node, "file.driver": "file"}
        blockdev |= {"file.filename": str(self.path), "cache.direct": "on" if direct else "off"}
        optional: dict[str, object] = {
            "wwn": self.wwn,
            "pr-store": self.pr_store,
            "pr-initiator": self.pr_initiator,
            "pr-target-port": self.pr_target_port,
        }
        device: dict[str, object] = {"id": self.id, "bus": self.bus, "drive": node}
        device["share-rw"] = "on" if self.share_rw else "off"
        device |= {key: value for key, value in optional.items() if value is not None}
        device |= self.properties
        return ["-blockdev", option(blockdev), "-device", f"{self.driver},{option(device)}"]
