# SPDX-License-Identifier: GPL-2.0-or-later
"""Our disk and LIO's, side by side in one guest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest.lib import host
from guest.lib.disk import Disk, create
from guest.lib.vm import VM
from passthrough.bed import LIO_DISK, guest_image_script

PROGRAM = Path(__file__).with_name("pr-latency.c")
OURS = {"memory:": "0x5000c50015ea7101", "file:": "0x5000c50015ea7102"}

# A logical unit of LIO with one path, the kernel's own (tcm_loop); it writes registrations with
# APTPL to a memory disk of the guest. `node WWID`: the node of the disk for SG_IO.
SETUP = LIO_DISK + """\
group=$t/loopback/naa.6000000000000001/tpgt_1
mkdir -p $group/lun/lun_0
echo naa.6000000000000011 >$group/nexus
ln -s $t/core/rd_mcp_0/disk $group/lun/lun_0/disk
node() {
    until grep -ls "$1" /sys/class/scsi_generic/*/device/$2 >/run/node; do usleep 50000; done
    echo /dev/$(cut -d/ -f5 /run/node)
}
"""


def initramfs(path: Path) -> Path:
    """The guest's own, and behind it one with the program."""
    script = guest_image_script()
    archive = script.Cpio()
    archive.file("usr/bin/pr-latency", 0o755, script.helper(PROGRAM))
    own = (host.guest_image() / "initramfs").read_bytes()
    path.write_bytes(own + b"\0" * (-len(own) % 4) + archive.bytes())
    return path


@contextmanager
def guest(binary: Path, directory: Path) -> Iterator[VM]:
    stores = {"memory:": "memory:", "file:": f"file:{directory}/lu.pr"}
    disks = [
        Disk(create(directory / f"{number}.img"), f"disk{number}", wwn=wwn, pr_store=stores[kind])
        for number, (kind, wwn) in enumerate(OURS.items())
    ]
    arguments = ["-initrd", str(initramfs(directory / "initramfs"))]
    with VM("peers", disks, binary=binary, arguments=arguments) as vm:
        yield vm


def measure(vm: VM, rounds: int) -> str:
    """What pr-latency says: device 0 is LIO's, then ours."""
    ours = " ".join(f"$(node {wwn.removeprefix('0x')} wwid)" for wwn in OURS.values())
    nodes = f"$(node RAMDISK model) {ours}"
    return vm.run(f"{SETUP} pr-latency {rounds} {nodes}", timeout=600, check=True).out
