# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are hosts: the tool and its resource agent in them, and disks with several paths.

The tool of this machine goes into the guest as it is, with its libraries, in a second initramfs
behind the guest's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest.lib import host
from guest.lib.agent import Result
from guest.lib.disk import Disk, create
from guest.lib.vm import VM, running
from passthrough.bed import LIO_DISK, guest_image_script, libraries, lio_paths
from tool.run import program

AGENT = host.ROOT / "hw/scsi/pr/path/resource-agent"
INSTALLED = "/usr/lib/ocf/resource.d/scsi-pr/path"
# Exit status of scsi-pr path: docs/scsi-pr.1.
DONE, UNUSABLE, REFUSED, DOES_NOT_FIT, CLOSED = 0, 1, 3, 6, 7
WORLD_WIDE_NAME = "naa.5000c50015ea71ac"  # of guest.lib.disk.WWN

# Paths to that logical unit of LIO by iSCSI: two portal groups, and two initiators that log in to
# each. The initiators have addresses of their own there: iscsistart asks no portal twice.
TARGET, INITIATOR = "iqn.2026-11.example:target", "iqn.2026-11.example:"
ISCSI_PATHS = f"""\
echo 7e4d0000-0000-4000-8000-0000000000d1 >$t/core/rd_mcp_0/disk/wwn/vpd_unit_serial
ip link set lo up
modprobe -a iscsi_target_mod iscsi_tcp
mkdir -p $t/iscsi
for number in 1 2; do
    group=$t/iscsi/{TARGET}/tpgt_$number
    mkdir -p $group/lun/lun_0
    ln -s $t/core/rd_mcp_0/disk $group/lun/lun_0/disk
    echo 0 >$group/attrib/authentication
    for host in a b; do
        mkdir -p $group/acls/{INITIATOR}$host/lun_0
        ln -s $group/lun/lun_0 $group/acls/{INITIATOR}$host/lun_0/disk
    done
    mkdir $group/np/127.0.1.$number:3260 $group/np/127.0.2.$number:3260
    echo 1 >$group/enable
done
log_in() {{ iscsistart -i {INITIATOR}$1 -t {TARGET} -g $3 -a 127.0.$2.$3 >/dev/null; }}
log_in a 1 1
log_in a 1 2
log_in b 2 1
log_in b 2 2
"""
PATHS = {"tcm_loop": lio_paths(4), "iscsi": ISCSI_PATHS}

# Four paths to one logical unit of LIO, each an I_T nexus: /dev/path1 to /dev/path4. And two to
# one of scsi_debug's, which has no persistent reservations: /dev/debug1 and /dev/debug2.
DEBUG = "set -e; modprobe scsi_debug dev_size_mb=8 add_host=2 vpd_use_hostno=0"
LINKS = """\
# link MODEL COUNT NAME: once they are there
link() {
    until [ "$(grep -l "$1" /sys/block/sd*/device/model 2>/dev/null | wc -l)" = $2 ]; do usleep 50000; done
    n=0
    for disk in $(grep -l "$1" /sys/block/sd*/device/model | cut -d/ -f4); do
        until [ -b /dev/$disk ]; do usleep 50000; done
        n=$((n + 1))
        ln -sf $disk /dev/$3$n
    done
}
link RAMDISK 4 path
link scsi_debug 2 debug
"""


def initramfs(path: Path, more: Iterable[Path] = (), archives: Iterable[str] = ()) -> Path:
    """The guest's own, and behind it one with the tool and the resource agent, and more programs; and
    more archives of scripts/guest-image."""
    archive = guest_image_script().Cpio()
    archive.file(INSTALLED[1:], 0o755, AGENT.read_bytes())
    programs = [Path(program()), *more]
    if dmsetup := shutil.which("dmsetup", path="/usr/sbin:/sbin"):
        programs.append(Path(dmsetup))
    for each in programs:
        archive.file(f"usr/bin/{each.name}", 0o755, each.read_bytes())
    for library in sorted(libraries(programs)):
        archive.file(f"usr/lib/x86_64-linux-gnu/{library.name}", 0o755, library.read_bytes())
    parts = [(host.guest_image() / name).read_bytes() for name in ("initramfs", *archives)]
    path.write_bytes(b"".join(part + b"\0" * (-len(part) % 4) for part in [*parts, archive.bytes()]))
    return path


@dataclass
class Host:
    """A host: its name, and the devices that are its paths. Two may be in one guest."""

    vm: VM
    name: str
    paths: Sequence[str]
    key: int

    @property
    def options(self) -> str:
        return f"--runtime-dir /run/{self.name}"

    def path(self, arguments: str) -> Result:
        """scsi-pr path; a command, then its arguments."""
        command, _, rest = arguments.partition(" ")
        return self.vm.run(f"mkdir -p /run/{self.name}; scsi-pr path {command} {self.options} {rest}")

    def add(self, *paths: str) -> Result:
        return self.path(f"add --key {self.key:#x} g {' '.join(paths or self.paths)}")

    def open(self, how: str = "") -> Result:
        return self.path(f"open {how} g")

    def close(self) -> Result:
        return self.path("close g")

    def status(self) -> Result:
        return self.path("status g")

    def agent(self, action: str, mode: str) -> int:
        """The exit status of the resource agent, called as Pacemaker calls it. It takes the runtime
        directory that the tool finds by itself: hosts in one guest have it one at a time."""
        parameters = {"devices": " ".join(self.paths), "key": f"{self.key:#x}", "mode": mode}
        environment = " ".join(f"OCF_RESKEY_{name}='{value}'" for name, value in parameters.items())
        mine = f"mkdir -p /run/{self.name}-agent; rm -rf /run/scsi-pr; ln -s {self.name}-agent /run/scsi-pr"
        return self.vm.run(f"{mine}; OCF_RESOURCE_INSTANCE=disk {environment} {INSTALLED} {action}").code

    def told(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.path("status --json g").out)
        return said

    def writes(self) -> list[bool]:
        """Whether a write by each path is carried out."""
        write = "dd if=/dev/zero bs=512 seek=8 count=1 oflag=direct"
        return [self.vm.run(f"{write} of={path}").code == 0 for path in self.paths]


def persist(vm: VM, device: str, option: str) -> str:
    """sg_persist --in, which tells it independently of our tool."""
    return vm.run(f"for i in 1 2 3; do sg_persist -n -i {option} {device} && break; done").out


@contextmanager
def lio(qemu: Path, directory: Path, transport: str = "tcm_loop", more: Iterable[Path] = ()) -> Iterator[VM]:
    """A guest whose kernel has the disks."""
    image = initramfs(directory / "initramfs", more, ["initiator"] if transport == "iscsi" else [])
    with VM("lio", binary=qemu, memory=1024 if more else 512, arguments=["-initrd", str(image)]) as vm:
        vm.run(DEBUG + LIO_DISK + PATHS[transport] + LINKS, timeout=60, check=True)
        yield vm


@contextmanager
def hosts(qemu: Path, directory: Path) -> Iterator[tuple[Host, Host]]:
    """Two guests that share a scsi-hd of ours, each by two adapters."""
    image, disk = initramfs(directory / "initramfs"), create(directory / "disk.img")
    store = f"file:{directory}/disk.pr"
    vms = []
    for name in "AB":
        disks = [Disk(disk, "one", pr_store=store), Disk(disk, "two", pr_store=store, bus="scsi1.0")]
        adapters = ["-device", "virtio-scsi-pci,id=scsi1"]
        arguments = ["-initrd", str(image)]
        # The tool with its symbols, and its libraries, are most of what 256 MiB have for files.
        vms.append(VM(name, disks, binary=qemu, memory=512, adapters=adapters, arguments=arguments))
    with running(*vms):
        a, b = (Host(vm, "host", ("/dev/sda", "/dev/sdb"), 0xA + n) for n, vm in enumerate(vms))
        yield a, b
