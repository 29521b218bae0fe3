# SPDX-License-Identifier: GPL-2.0-or-later
"""A host in a guest: Debian with systemd, AppArmor and libvirt's daemon, whose domains are Debian's own
QEMU. The kernel of the machine that runs the tests may not enforce AppArmor; the guest's does.
"""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from guest.lib import host as machine
from guest.lib.agent import Result
from guest.lib.disk import option
from guest.lib.vm import VM, GuestTimeout

# Emulated, beside others: systemd needs a minute to start, and so does libvirt for a domain.
BOOT_TIMEOUT = 900.0
COMMAND_TIMEOUT = 600.0

EMULATOR = Path("/usr/bin/qemu-system-x86_64")
HOME = "/srv/files"  # what came with the host
FREESTANDING = """-m32 -Os -std=gnu11 -Wall -Wextra -Werror -ffreestanding -fno-pic -mno-sse
-fno-stack-protector -fno-asynchronous-unwind-tables -nostdlib -static
-Wl,-n,-Ttext=0x100000,--build-id=none"""


def root_image(suite: str) -> Path:
    """The root file system, made now if need be (it says so on stderr)."""
    script = machine.ROOT / "scripts/libvirt-image"
    done = subprocess.run([script, suite], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise machine.Missing(f"there is no root file system of a host: {script} {suite} has failed")
    return Path(done.stdout.splitlines()[-1])


def packages(suite: str) -> list[Path]:
    """Ours, as scripts/deb-try has made them."""
    directory = machine.BUILD / f"chroot/deb-{suite}"
    found = sorted(directory.glob("qemu-scsi-pr_*.deb"))
    if not found:
        raise machine.Missing(f"there are no packages in {directory}; run `scripts/deb-try {suite}` first")
    return found


def guest_program(directory: Path) -> Path:
    """What domains run (guest.c)."""
    program = directory / "guest"
    source = Path(__file__).with_name("guest.c")
    subprocess.run(["gcc", *FREESTANDING.split(), "-o", program, source], check=True)
    return program


class Host(VM):
    """The files are in HOME; nothing that happens in the host outlives it."""

    def __init__(self, suite: str, files: Sequence[Path], directory: Path) -> None:
        archive = directory / "files.tar"
        with tarfile.open(archive, "w") as tar:
            for file in files:
                tar.add(file, file.name)
        arguments = ["-smp", "2"]
        for name, path in (("root", root_image(suite)), ("files", archive)):
            drive = {"if": "none", "id": name, "format": "raw", "snapshot": "on", "file": path}
            arguments += ["-drive", option(drive), "-device", f"virtio-blk-pci,drive={name}"]
        super().__init__(
            f"host-{suite}",
            binary=EMULATOR,
            memory=1536,
            logs=directory / "logs",
            arguments=arguments,
            append="guest.root=vda systemd.mask=e2scrub_reap.service",
        )

    def wait_up(self, timeout: float = BOOT_TIMEOUT) -> None:
        super().wait_up(timeout)
        self.run(f"mkdir {HOME} && tar -C {HOME} -xf /dev/vdb", check=True)

    def run(self, command: str, timeout: float = COMMAND_TIMEOUT, check: bool = False) -> Result:
        return super().run(command, timeout, check)

    def out(self, command: str) -> str:
        """What a command prints that must succeed."""
        return self.run(command, check=True).out

    def write(self, path: str, text: str, arrow: str = ">") -> None:
        self.run(f"cat {arrow}{path} <<'END'\n{text}\nEND", check=True)

    def await_(self, what: str, condition: Callable[[], bool], timeout: float = COMMAND_TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise GuestTimeout(self.report(f"in vain: {what}, within {timeout:g} s"))
            time.sleep(0.5)

    def denials(self) -> list[str]:
        """What AppArmor has refused to whom it confines."""
        return [line for line in self.out("dmesg").splitlines() if 'apparmor="DENIED"' in line]
