# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's node: a guest with a root file system of its own and a network card."""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from guest.lib import host
from guest.lib.agent import Result
from guest.lib.disk import Disk, option
from guest.lib.vm import VM, GuestTimeout

# All under TCG, two nodes at a time, on a machine that may be busy.
BOOT_TIMEOUT = 300.0
COMMAND_TIMEOUT = 120.0


@functools.cache
def root_image() -> Path:
    """The nodes' root file system, built now if need be (it says so on stderr)."""
    script = host.ROOT / "scripts/cluster-image"
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise host.Missing(f"there is no root file system for cluster nodes: {script} has failed")
    return Path(done.stdout.splitlines()[-1])


def _overlay(path: Path, binary: Path) -> Path:
    """What this node writes; the image itself is shared by all and never written to."""
    command = [binary.with_name("qemu-img"), "create", "-q", "-f", "qcow2"]
    command += ["-b", root_image(), "-F", "raw", path]
    subprocess.run(command, check=True)
    return path


class Node(VM):
    """Node `number` (1, 2, …), named as corosync.conf names it; disks as of any VM."""

    def __init__(
        self,
        number: int,
        disks: Iterable[Disk],
        *,
        binary: Path,
        directory: Path,
        port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """`directory` gets logs and root file system, `port` is the switch's."""
        name = f"node{number}"
        logs = directory / name
        logs.mkdir(parents=True)
        root = _overlay(logs / "root.qcow2", binary)
        blockdev = {"driver": "qcow2", "node-name": "root", "file.driver": "file"}
        more = ["-blockdev", option({**blockdev, "file.filename": root})]
        more += ["-device", "virtio-blk-pci,drive=root"]
        append = f"guest.root=vda guest.name={name}"
        if port is not None:
            card = {"netdev": "net", "mac": f"52:54:00:00:00:{number:02x}", "romfile": ""}
            more += ["-netdev", f"dgram,id=net,local.type=fd,local.str={port}"]
            more += ["-device", f"virtio-net-pci,{option(card)}"]
            append += f" guest.address=10.0.0.{number}/24"
        super().__init__(
            name,
            disks,
            binary=binary,
            logs=logs,
            memory=512,
            arguments=[*more, *arguments],
            append=append,
            pass_fds=[] if port is None else [port],
        )
        self.number = number

    def command(self, agent_fd: int, qmp_fd: int) -> list[str]:
        """Under TCG the guest's clock counts instructions: however busy the machine is, it runs no
        faster than the guest. Pacemaker has time-outs of seconds that cannot be set."""
        clock = ["-icount", "shift=1"] if self.accel == "tcg" else []
        return super().command(agent_fd, qmp_fd) + clock

    def wait_up(self, timeout: float = BOOT_TIMEOUT) -> None:
        super().wait_up(timeout)

    def run(self, command: str, timeout: float = COMMAND_TIMEOUT, check: bool = False) -> Result:
        return super().run(command, timeout, check)

    def out(self, command: str) -> str:
        """What a command prints that must succeed."""
        return self.run(command, check=True).out

    def wait(self, command: str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """Repeat a command in the guest until it succeeds."""
        loop = f"until {command}; do sleep 0.3; done"
        return self.run(loop, timeout, check=True)

    def await_(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until something holds that is asked for from outside."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise GuestTimeout(self.report(f"in vain: {what}, within {timeout:g} s"))
            time.sleep(0.2)
