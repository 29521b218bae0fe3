# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests reboot, end and are killed; what sg_persist then sees is a row of tests/survival.txt.

A has a logical unit for each case. The other VM that is attached to A's stores is a QEMU process
whose guest never starts: it only has to be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest.lib import disk, startup, survival
from guest.lib.disk import Disk
from guest.lib.expect import drain, good
from guest.lib.scsi import Initiator, Reservation
from guest.lib.vm import VM

KEY = 0xABC0001
TYPE = 5
RESERVE = "16 00 00 00 00 00"
PTPL_C, PTPL_A = "Persist Through Power Loss Capable(PTPL_C)", "Persist Through Power Loss Active(PTPL_A)"

# Name of the disk, its store, APTPL; in the order of A's disks.
UNITS = [("durable", "file", True), ("volatile", "file", False), ("memory", "memory", False)]
HELD = "held"  # reserved by RESERVE of SPC-2


@dataclass
class Host:
    """VM A, and another one if need be, on files in a directory."""

    directory: Path
    binary: Path
    a: VM = field(init=False)
    other: VM | None = None

    def __post_init__(self) -> None:
        for name in (*(unit[0] for unit in UNITS), HELD):
            disk.create(self.directory / name, size=1 << 20)
        self.a = self.vm("A")

    def store(self, name: str) -> str:
        return f"memory:{name}" if name == "memory" else f"file:{self.directory}/{name}.pr"

    def vm(self, name: str, **options: object) -> VM:
        disks = [
            Disk(self.directory / unit, unit, wwn=f"{disk.WWN[:-2]}{n:02x}", pr_store=self.store(unit))
            for n, unit in enumerate([unit[0] for unit in UNITS] + [HELD])
        ]
        return VM(name, disks, binary=self.binary, **options)  # type: ignore[arg-type]

    def start_other(self) -> None:
        self.other = self.vm("B", arguments=["-S"])
        self.other.start()
        self.other.qmp.negotiate()

    def stop_other(self) -> None:
        if self.other:
            self.other.close()
        self.other = None

    def restart(self, **options: object) -> None:
        """A starts again, as the same I_T nexuses."""
        self.a.close()
        self.a = self.vm("A", **options)
        self.a.start()
        self.a.wait_up()


@pytest.fixture(scope="module")
def host(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("survival"), qemu)
    try:
        host.a.start()
        host.a.wait_up()
        yield host
    finally:
        host.stop_other()
        host.a.close()


def initiators(host: Host) -> dict[str, Initiator]:
    """A's view of each disk. Linux names them as it finds them."""
    found = host.a.run("for d in /sys/block/sd*; do echo $(basename $d) $(cat $d/device/wwid); done").out
    names = dict(reversed(line.split()) for line in found.splitlines())
    wanted = {name: f"naa.{disk.WWN[2:-2]}{n:02x}" for n, name in enumerate([*(u[0] for u in UNITS), HELD])}
    return {name: Initiator(host.a, f"/dev/{names[wwid]}") for name, wwid in wanted.items()}


def establish(host: Host) -> None:
    """Registered, reserved, with PRgeneration 2 at least; and RESERVE on one disk."""
    units = initiators(host)
    drain(*units.values())
    for name, _, aptpl in UNITS:
        options = "-Z" if aptpl else ""
        good(units[name].register_and_ignore(KEY + 1, options), units[name].register_and_ignore(KEY, options))
        good(units[name].reserve(KEY, TYPE))
        assert units[name].generation() >= 2
    good(units[HELD].raw(RESERVE))


def generations(host: Host) -> dict[str, int]:
    return {name: initiators(host)[name].generation() for name, _, _ in UNITS}


def expect(host: Host, event: str, before: dict[str, int]) -> None:
    units = initiators(host)
    drain(*units.values())
    for name, store, aptpl in UNITS:
        row = survival.row(event, store, aptpl)
        unit = units[name]
        kept = row.state == "kept"
        assert unit.keys() == ([KEY] if kept else []), name
        assert unit.reservation() == (Reservation(KEY, TYPE) if kept else None), name
        assert unit.generation() == (before[name] if row.generation == "kept" else 0), name
        told = unit.capabilities()
        assert told[PTPL_C] == (1 if store == "file" else 0), name
        assert told[PTPL_A] == (1 if aptpl and kept else 0), name
        good(unit.write("holder, or nobody is", 0))
    held = query(host.a, HELD)
    released = survival.row(event, "file", False).reserve == "released"
    assert ("legacy-holder" in held["state"]) != released, held


def query(vm: VM, device: str) -> dict[str, dict[str, object]]:
    (found,) = (each for each in vm.qmp.execute("query-scsi-pr") if each["device"] == device)
    result: dict[str, dict[str, object]] = found
    return result


# Clause: 5.6.3: nexus loss and resets
@pytest.mark.parametrize("how", ["reboot", "reset"])
def test_guest_reset(host: Host, how: str) -> None:
    establish(host)
    before = generations(host)
    getattr(host.a, how)()
    expect(host, "guest reboots, or is reset", before)


def test_logical_unit_reset(host: Host) -> None:
    establish(host)
    before = generations(host)
    for unit in initiators(host).values():
        good(unit.vm.run(f"sg_reset -d {unit.device}"))
    expect(host, "LOGICAL UNIT RESET", before)


# Clause: 5.6.3: what is kept
@pytest.mark.parametrize("how", ["power off", "kill"])
def test_power_cycle_beside_another(host: Host, how: str) -> None:
    establish(host)
    before = generations(host)
    host.start_other()
    if how == "kill":
        host.a.kill()
    else:
        host.a.begin("poweroff -f")
        assert host.a.child.wait(30) == 0
    event = "kill -9 of QEMU" if how == "kill" else "QEMU ends and starts again"
    host.restart()
    expect(host, f"{event}; others attached", before)
    assert host.other
    for name in ("durable", "volatile"):
        assert query(host.other, name)["state"] == query(host.a, name)["state"]
    host.stop_other()


# Clause: 5.6.3: power cycle with APTPL; 5.6.3: power cycle without APTPL; 6.11.3: PRGENERATION
def test_power_cycle_of_the_last(host: Host) -> None:
    establish(host)
    host.a.begin("poweroff -f")
    assert host.a.child.wait(30) == 0
    host.restart()
    expect(host, "QEMU ends and starts again; last", {})


def test_host_reboot(host: Host, tmp_path: Path) -> None:
    """Every process dies, and the next ones run in another boot of the host."""
    establish(host)
    host.start_other()
    assert host.other
    host.other.kill()
    host.a.kill()
    host.stop_other()
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("5c0ffee0-0000-4000-8000-000000000000\n")
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id'
    host.restart(wrapper=startup.in_mount_namespace(script, str(boot_id)))
    expect(host, "host reboots", {})
