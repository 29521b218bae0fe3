# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of scsi-prd in one guest, each with paths of its own to a disk; and an etcd, and nexuses.

Each daemon has a machine id, an address and directories of its own, and runs as the service does
with the drop-in of docs/many-hosts-setup.md: with its groups, capabilities and devices, and no more.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guest.lib.agent import Result
from guest.lib.disk import Disk, create
from guest.lib.vm import VM
from hosts.host import BINARY as DAEMON
from hosts.nexus import BINARY as NEXUS
from hosts.nexus import GOOD, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, RESERVE, out
from hosts.nexus import WRITE_EXCLUSIVE_REGISTRANTS_ONLY as WERO
from hosts.setup_guide import blocks

from . import bed

GROUP = "quorum"
DURATION = 3  # D: shorter than usual, and long enough for an emulated guest
USER = 990
DISK = 6  # Debian's group of that name
PATIENCE = 30.0
CONFLICT = "Invalid exchange"  # EBADE, the kernel's name for RESERVATION CONFLICT
NUMBERS = itertools.count(1)  # of logical units: each fencing has its own

# How udev has disks. And an etcd of one member, to which all addresses of this machine lead.
BEGIN = f"""
chgrp {DISK} /dev/sd? && chmod 660 /dev/sd?
mkdir -p /etc && touch /etc/machine-id
mkdir /run/devices && mount -t cgroup -o devices none /run/devices
ip link set lo up
peer=http://127.0.0.1:2380 client=http://127.0.0.1:2379
etcd --name m --data-dir /run/etcd --logger zap --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls $client \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster m=$peer >/run/etcd.log 2>&1 &
until wget -qO /dev/null $client/health; do
    kill -0 $! 2>/dev/null || {{ tail -n 3 /run/etcd.log; exit 1; }}
    usleep 100000
done
"""


# Of the drop-in: those that its service does not work without.
LINES = ("SupplementaryGroups", "DeviceAllow", "AmbientCapabilities")
# null, zero, full, random, urandom, tty, ptmx and pts, which DevicePolicy=closed leaves.
EVERYBODYS = ("c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:2", "c 136:*")


def drop_in() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", blocks()["storage"], re.M))


def rights(without: str = "") -> str:
    """Shell commands that make /run/as-service, which executes its arguments as the service would be.

    `without`: /run/as-serviceLINE, as it would be without that line of the drop-in."""
    says = {name: value for name, value in drop_in().items() if name != without}
    directory, script = f"/run/devices/with{'out-' + without if without else '-all'}", f"/run/as-service{without}"
    lines = [f"mkdir {directory}", f"cd {directory}", "echo a >devices.deny"]
    lines += [f"echo {each} rwm >devices.allow" for each in EVERYBODYS]
    if "DeviceAllow" in says:
        name, access = says["DeviceAllow"].removeprefix("block-").split()
        majors = f"sed -n '/^Block/,$s/^ *\\([0-9]*\\) {name}$/\\1/p' /proc/devices"
        lines.append(f'for major in $({majors}); do echo "b $major:* {access}" >devices.allow; done')
    groups = f"--groups={DISK}" if says.get("SupplementaryGroups") == "disk" else "--clear-groups"
    kept, given = (
        ",".join(["-all", *says.get(name, "").lower().replace("cap_", "+").split()])
        for name in ("CapabilityBoundingSet", "AmbientCapabilities")
    )
    capabilities = f"--bounding-set={kept} --inh-caps={given} --ambient-caps={given} --no-new-privs"
    enter = f"#!/bin/sh -e\necho $$ >{directory}/cgroup.procs"
    execute = f'exec /usr/bin/setpriv --reuid={USER} --regid={USER} {groups} {capabilities} "$@"'
    return "\n".join([*lines, f"cat >{script} <<'END'\n{enter}\n{execute}\nEND", f"chmod 755 {script}"])


class Host:
    """Its number is in its address; `paths` are its disks."""

    def __init__(self, vm: VM, number: int, paths: Sequence[str]) -> None:
        self.vm = vm
        self.name = f"h{number}"
        self.paths = list(paths)
        self._address = f"10.0.0.{number}"
        self.pid = ""
        config = (
            f"[etcd]\nendpoints=http://{self._address}:2379\n"
            f"[cluster]\nduration={DURATION}\nproof=storage\n[paths]\n{GROUP}={';'.join(paths)}\n"
            f"[host]\nname={self.name}\ngroup=\nruntime-directory={self.runtime}\nstate-directory={self._home}/state\n"
        )
        vm.run(
            f"mkdir -p {self.runtime} {self._home}/state && printf '%s' '{config}' >{self._home}/conf &&"
            f"printf '%032d\\n' {number} >{self._home}/machine-id && chown -R {USER}:{USER} {self._home} &&"
            f"chmod 600 {self._home}/conf && chmod 755 {self._home} && ip addr add {self._address}/32 dev lo",
            check=True,
        )

    @property
    def _home(self) -> str:
        return f"/run/{self.name}"

    @property
    def runtime(self) -> str:
        return f"{self._home}/run"

    # --- the daemon

    def start(self, without: str = "") -> None:
        """`without`: a line of the drop-in that is left out."""
        mount = f"mount -o bind {self._home}/machine-id /etc/machine-id"
        command = f"/run/as-service{without} scsi-prd --config {self._home}/conf"
        inside = f"unshare --mount sh -c '{mount} && exec {command}' >>{self._home}/log 2>&1 & echo $!"
        self.pid = self.vm.run(inside, check=True).out.strip()

    def stop(self) -> None:
        """In order."""
        self.vm.run(f"kill {self.pid}; while [ -d /proc/{self.pid} ]; do usleep 20000; done", check=True)
        self.pid = ""

    @property
    def runs(self) -> bool:
        return self.pid != ""

    def tool(self, words: str) -> Result:
        command, _, rest = words.partition(" ")
        return self.vm.run(f"scsi-pr {command} --runtime-dir {self.runtime} {rest}")

    @property
    def is_member(self) -> bool:
        """It admits."""
        admitted = re.search(r"^scsi_prd_admitted_seconds (\S+)", self.tool("metrics").out, re.M)
        return bool(admitted) and float(admitted[1]) > 0

    def wait_joined(self) -> None:
        wait_until(lambda: self.is_member, lambda: f"host {self.name} does not join:\n{self.log()}")

    def log(self) -> str:
        return self.vm.run(f"cat {self._home}/log").out

    def forget_log(self) -> None:
        self.vm.run(f": >{self._home}/log")

    def wait_said(self, text: str) -> None:
        wait_until(lambda: text in self.log(), lambda: f"host {self.name} does not say '{text}':\n{self.log()}")

    def cut(self) -> None:
        """What it sends to etcd has no way any more."""
        self.vm.run(f"ip addr del {self._address}/32 dev lo", check=True)

    def mend(self) -> None:
        self.vm.run(f"ip addr add {self._address}/32 dev lo", check=True)

    # --- its disk

    @functools.cached_property
    def key(self) -> int:
        """As the daemon has noted it; it stays the same."""
        return int(json.loads(self.path("status --json").out)["key"], 16)

    def path(self, words: str) -> Result:
        command, _, rest = words.partition(" ")
        return self.vm.run(f"/run/as-service scsi-pr path {command} --runtime-dir {self.runtime} {rest} {GROUP}")

    def retire(self) -> None:
        """As the guide does it, when the daemon is stopped."""
        for command in re.findall(r"for command in (.*);", blocks()["retire"])[0].split():
            done = self.path(command)
            assert done.code == 0, done

    def set_state(self, state: str, *paths: str) -> None:
        """offline: nothing gets through any more; running."""
        names = [path.removeprefix("/dev/") for path in paths]
        self.vm.run(" && ".join(f"echo {state} >/sys/block/{name}/device/state" for name in names), check=True)

    def write(self, path: str, text: str = "") -> str:
        """How it ends, in the kernel's words; nothing: well."""
        words = f"printf %-512s '{text}' | dd of={path} bs=512 seek=8 count=1 oflag=direct"
        done = self.vm.run(words)
        return "" if done.code == 0 else done.err

    def read(self, path: str) -> str:
        return self.vm.run(f"dd if={path} bs=512 skip=8 count=1 iflag=direct").out.strip()


class Nexus:
    """hosts.nexus, in the guest: it reads and writes pipes, which it keeps open itself."""

    def __init__(self, host: Host, name: str, unit: str) -> None:
        self.vm = host.vm
        self._file = f"/run/{host.name}-{name}-{unit}"
        self._is_open = False
        command = f"nexus-process cluster:{unit} iqn.2026-11.example:{name}"
        self.pid = self.vm.run(
            f"mkfifo {self._file}.in {self._file}.out; RUNTIME_DIRECTORY={host.runtime} {command} "
            f"<>{self._file}.in 1<>{self._file}.out 2>/dev/null & echo $!",
            check=True,
        ).out.strip()
        assert self.ask("attach") == "ok\nok", "it is open, and attached"

    def ask(self, *lines: str) -> str:
        """What it answers to these lines; and before, at its beginning."""
        tell = "".join(f"echo {line} >{self._file}.in; " for line in lines)
        count = len(lines) + (0 if self._is_open else 1)
        self._is_open = True
        listen = f"for line in {'x ' * count}; do read -r answer; echo \"$answer\"; done <{self._file}.out"
        return self.vm.run(tell + listen, PATIENCE + 10, check=True).out.strip()

    def out(self, action: int, key: int, service_key: int = 0, kind: int = 0) -> str:
        return self.ask(out(action, key, service_key, kind, 0))

    def enter(self) -> int | None:
        """A WRITE that stays on its way; None: it was refused."""
        answer = self.ask("enter")
        return None if answer == "no" else int(answer.split()[1])

    def admits(self) -> bool:
        return self.ask("admits") == "yes"


class Fencing:
    """a on h1 has a reservation and a command on its way; b on h2 fences it."""

    def __init__(self, h1: Host, h2: Host) -> None:
        self.h1, self.h2 = h1, h2
        unit = f"unit{next(NUMBERS)}"
        self.a, self.b = Nexus(self.h1, "a", unit), Nexus(self.h2, "b", unit)
        self.other = Nexus(self.h1, "c", f"{unit}-2")  # of another disk, which nobody reserves
        for nexus, key in ((self.a, 0xA), (self.b, 0xB)):
            assert nexus.out(REGISTER_AND_IGNORE, 0, key) == GOOD
        assert self.a.out(RESERVE, 0xA, 0, WERO) == GOOD
        epoch = self.a.enter()
        assert epoch is not None and self.other.admits()
        self.on_its_way = epoch
        self.key = self.h1.key

    def freeze(self) -> None:
        self._signal("STOP", self.h1, self.a, self.other)

    def thaw(self) -> None:
        self._signal("CONT", self.h1, self.a, self.other)

    def fence(self, patience: float = 30) -> str:
        preempts = out(PREEMPT_AND_ABORT, 0xB, 0xA, WERO, 0)
        return self.b.ask(f"patience {1000 * patience:.0f}", preempts).splitlines()[1]

    def fences(self) -> None:
        answer = self.fence()
        assert answer == GOOD, f"{answer}\n{self.h2.log()}"

    def has_fenced(self) -> None:
        """At the physical disk; and only h1."""
        h1, h2 = self.h1, self.h2
        assert registered(h2) == [h2.key] * 2
        said = bed.persist(h2.vm, h2.paths[1], "-r")
        assert "Write Exclusive, all registrants" in said, said
        assert [h2.write(path, f"of h2 by {path}") for path in h2.paths] == ["", ""]
        for path in h1.paths:
            assert CONFLICT in h1.write(path, "of h1")
        assert h2.read(h2.paths[0]) == f"of h2 by {h2.paths[1]}"

    def close(self) -> None:
        self.thaw()
        self._signal("KILL", self.a, self.b, self.other)

    def _signal(self, name: str, *whom: Host | Nexus) -> None:
        self.h1.vm.run(f"kill -{name} {' '.join(each.pid for each in whom)}", check=True)


def joined(*hosts: Host) -> None:
    for host in hosts:
        if not host.runs:
            host.start()
    for host in hosts:
        host.wait_joined()


def wait_until(condition: Callable[[], bool], why: Callable[[], str], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)


def registered(host: Host) -> list[int]:
    """The keys, one for each path that is registered; as sg_persist says it there, by a path that works."""
    said = bed.persist(host.vm, host.paths[-1], "-k") or bed.persist(host.vm, host.paths[0], "-k")
    return [int(key, 16) for key in re.findall(r"^ +(0x[0-9a-f]+)$", said, re.M)]


def programs() -> list[Path]:
    found = [Path(each) for name in ("etcd", "unshare", "setpriv") if (each := shutil.which(name))]
    return [*found, DAEMON, NEXUS]


def two_hosts(vm: VM, paths: Sequence[str]) -> tuple[Host, Host]:
    """Each with two of the disks; no daemon runs yet."""
    vm.run(BEGIN, timeout=60, check=True)
    vm.run("set -e\n" + "\n".join(rights(without) for without in ("", *LINES)), check=True)
    return Host(vm, 1, paths[:2]), Host(vm, 2, paths[2:])


@contextmanager
def guest(qemu: Path, directory: Path) -> Iterator[tuple[Host, Host]]:
    """Hosts in it that share a scsi-hd of ours, each by two adapters."""
    image = bed.initramfs(directory / "initramfs", programs())
    disk = create(directory / "disk.img")
    store = f"file:{directory}/disk.pr"
    disks = [Disk(disk, f"path{n}", pr_store=store, bus=f"scsi{n}.0") for n in range(4)]
    adapters = [word for n in range(1, 4) for word in ("-device", f"virtio-scsi-pci,id=scsi{n}")]
    arguments = ["-initrd", str(image), "-smp", "2"]
    with VM("hosts", disks, binary=qemu, memory=1024, adapters=adapters, arguments=arguments) as vm:
        yield two_hosts(vm, ("/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"))
