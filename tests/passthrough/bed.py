# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with QEMU in it, and disks that only a kernel of our own can have: scsi_debug and LIO.

The QEMU and the qtests of this machine go into the guest as they are, with their libraries, in a
second initramfs behind the guest's own.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from guest.lib import host
from guest.lib.disk import Disk, create
from guest.lib.vm import VM

HOME = "opt/qemu"
FIRMWARE = ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin")
MARK = "/passthrough-pr"  # in the names of our tests
SKIPPED = "skipped: "

# A logical unit of LIO on a memory disk, $t/core/rd_mcp_0/disk, still without a path.
LIO_DISK = """
mkdir -p /etc/target/pr # LIO writes down its registrations
modprobe -a target_core_mod tcm_loop
t=/sys/kernel/config/target
[ -d $t ] || mount -t configfs configfs /sys/kernel/config
mkdir -p $t/core/rd_mcp_0/disk
echo rd_pages=2048 >$t/core/rd_mcp_0/disk/control
echo 1 >$t/core/rd_mcp_0/disk/enable
"""


def lio_paths(count: int) -> str:
    """Paths to that disk, each an I_T nexus."""
    numbers = " ".join(str(number + 1) for number in range(count))
    return f"""\
echo 7e4d0000-0000-4000-8000-0000000000d1 >$t/core/rd_mcp_0/disk/wwn/vpd_unit_serial
for path in {numbers}; do
    group=$t/loopback/naa.600000000000000$path/tpgt_1
    mkdir -p $group/lun/lun_0
    echo naa.600000000000001$path >$group/nexus
    ln -s $t/core/rd_mcp_0/disk $group/lun/lun_0/disk
done
"""


# Two paths to one logical unit of LIO: two I_T nexuses of one host. A disk of scsi_debug. The outer
# QEMU's has neither a control mode page nor a list of commands. The nodes' paths go to /run/nodes as
# shell variables.
DISKS = "set -e; modprobe scsi_debug dev_size_mb=8" + LIO_DISK + lio_paths(2) + """\
# disks MODEL COUNT: their names, once they are there
disks() {
    until [ "$(grep -l "$1" /sys/block/sd*/device/model 2>/dev/null | wc -l)" = $2 ]; do usleep 50000; done
    grep -l "$1" /sys/block/sd*/device/model | cut -d/ -f4
}
sg() { ls "/sys/block/$1/device/scsi_generic"; }
debug=$(disks scsi_debug 1)
set -- $(disks RAMDISK 2)
scarce=$(disks HARDDISK 1)
cd=$(grep -lx 5 /sys/class/scsi_generic/sg*/device/type | cut -d/ -f5)
cat >/run/nodes <<END
export SCSI_PR_DEBUG_BLOCK=/dev/$debug SCSI_PR_DEBUG_SG=/dev/$(sg $debug)
export SCSI_PR_LIO_BLOCK=/dev/$1 SCSI_PR_LIO_SG=/dev/$(sg $1) SCSI_PR_LIO_OTHER=/dev/$2
export SCSI_PR_CD_SG=/dev/$cd SCSI_PR_SCARCE_BLOCK=/dev/$scarce
END
for disk in $debug $1 $2 $scarce; do until [ -b /dev/$disk ] && [ -c /dev/$(sg $disk) ]; do usleep 50000; done; done
"""


@functools.cache
def guest_image_script() -> ModuleType:
    """scripts/guest-image, which knows how an initramfs is written."""
    path = str(host.ROOT / "scripts/guest-image")
    loader = importlib.machinery.SourceFileLoader("guest_image", path)
    spec = importlib.util.spec_from_loader("guest_image", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def qos_test(qemu: Path) -> Path:
    path = qemu.parent / "tests/qtest/qos-test"
    if not path.exists():
        raise host.Missing(f"{path} is missing: run `scripts/check passthrough`")
    return path


def our_tests(qemu: Path) -> list[str]:
    """The full names of the qtests that are for this bed."""
    environment = os.environ | {"QTEST_QEMU_BINARY": str(qemu)}
    listed = subprocess.run([qos_test(qemu), "-l"], env=environment, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split() if MARK in name]


def libraries(programs: list[Path]) -> set[Path]:
    said = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"=> (/\S+)", said)}


def initramfs(qemu: Path, path: Path, more: Sequence[Path] = ()) -> Path:
    """The guest's own, and behind it one with QEMU, and with more programs."""
    archive = guest_image_script().Cpio()
    programs = [qemu, qos_test(qemu), qemu.parent / "qemu-pr-helper", *more]
    for program in programs:
        archive.file(f"{HOME}/{program.name}", 0o755, program.read_bytes())
    for library in sorted(libraries(programs)):
        archive.file(f"usr/lib/x86_64-linux-gnu/{library.name}", 0o755, library.read_bytes())
    for name in FIRMWARE:
        [found, *_] = [p for d in ("seabios", "qemu") if (p := Path("/usr/share", d, name)).exists()]
        archive.file(f"usr/share/qemu/{name}", 0o644, found.read_bytes())
    # As scripts/check has it: a name that libqtest understands.
    wrapper = f"#!/bin/sh\nexec /{HOME}/{qemu.name} -L /usr/share/qemu -nodefaults \"$@\"\n"
    archive.file(f"{HOME}/qtest-system-x86_64", 0o755, wrapper.encode())
    own = (host.guest_image() / "initramfs").read_bytes()
    path.write_bytes(own + b"\0" * (-len(own) % 4) + archive.bytes())
    return path


@contextmanager
def bed(qemu: Path, directory: Path) -> Iterator[VM]:
    """The guest, with its disks."""
    image = initramfs(qemu, directory / "initramfs")
    disk = Disk(create(directory / "scarce.img"), share_rw=False)
    arguments = ["-initrd", str(image), "-device", "scsi-cd,bus=scsi0.0"]
    with VM("bed", [disk], binary=qemu, memory=1024, arguments=arguments) as vm:
        vm.run(DISKS, check=True)
        yield vm


def trouble(said: str) -> str:
    """The end of what qos-test says, without the way to the test."""
    lines = [line for line in said.splitlines() if not line.startswith(("# Start", "# End"))]
    return "\n".join(lines[-8:])


def run_qtests(vm: VM, names: list[str]) -> dict[str, str]:
    """What went wrong, by test; nothing: '', skipped: SKIPPED and why. After a test that aborts the
    rest is run again."""
    results: dict[str, str] = {}
    while names:
        options = " ".join(f"-p {name}" for name in names)
        programs = f"QTEST_QEMU_BINARY=/{HOME}/qtest-system-x86_64 SCSI_PR_HELPER=/{HOME}/qemu-pr-helper"
        done = vm.run(f". /run/nodes; export {programs}; /{HOME}/qos-test --tap -k {options}", timeout=600)
        for verdict, name, why in re.findall(r"^(ok|not ok) \d+ (\S+)(?: # SKIP (.*))?", done.out, re.M):
            results[name] = SKIPPED + why if why else "" if verdict == "ok" else trouble(done.out + done.err)
        left = [name for name in names if name not in results]
        if left:
            results[left[0]] = trouble(done.out + done.err)
        names = left[1:]
    return results
