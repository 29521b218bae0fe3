# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests reboot, end and are killed; what sg_persist then sees is a row of tests/survival.txt.

A has a logical unit for each case. The other VM that is attached to A's stores is a QEMU process
whose guest never starts: it only has to be there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest.lib import disk, survival
from guest.lib.disk import Disk
from guest.lib.expect import DRAIN
from guest.lib.scsi import TYPES
from guest.lib.vm import VM

KEY = 0xABC0001
TYPE = 5

# Name of the disk, its store, APTPL; in the order of A's disks.
UNITS = [("durable", "file", True), ("volatile", "file", False), ("memory", "memory", False)]
HELD = "held"  # reserved by RESERVE of SPC-2
NAMES = [*(name for name, _, _ in UNITS), HELD]


@dataclass
class Host:
    """VM A, and another one if need be, on files in a directory."""

    directory: Path
    binary: Path
    a: VM = field(init=False)
    other: VM | None = None

    def __post_init__(self) -> None:
        for name in NAMES:
            disk.create(self.directory / name, size=1 << 20)
        self.a = self.vm("A")

    def store(self, name: str) -> str:
        return f"memory:{name}" if name == "memory" else f"file:{self.directory}/{name}.pr"

    def vm(self, name: str, **options: object) -> VM:
        disks = [
            Disk(
                self.directory / unit, unit, wwn=f"0x{wwn(unit)}", pr_store=self.store(unit),
                # Two VMs have the image, each with a store of its own.
                properties={"pr-accept-medium": "on"} if unit == "memory" else {},
            )  # fmt: skip
            for unit in NAMES
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


@dataclass
class Seen:
    """What a guest sees of a logical unit."""

    keys: list[int]
    generation: int
    holder: tuple[int, int] | None  # key and type
    capable: int  # PTPL_C
    active: int  # PTPL_A
    written: bool  # a write ends in GOOD


# Names of the devices by their WWN, then everything about each unit, in one command: under TCG
# a process costs time, and a round trip does.
FIND = """
unit() { grep -l "naa.$1" /sys/block/sd*/device/wwid | sed 's|/sys/block/|/dev/|;s|/device/wwid||'; }
"""
DRAINED = f"({DRAIN.format('$d')})"
LOOK = f"""
d=$(unit {{wwn}}); {DRAINED}; echo "=== {{name}}"
sg_persist -n -i -s $d && sg_persist -n -i -c $d
dd if=/dev/zero of=$d bs=512 count=1 oflag=direct 2>/dev/null && echo written
"""
ESTABLISH = f"""
d=$(unit {{wwn}}); {DRAINED}
sg_persist -n -o -I -S 1 {{aptpl}} $d && sg_persist -n -o -I -S {KEY:#x} {{aptpl}} $d &&
sg_persist -n -o -R -T {TYPE} -K {KEY:#x} $d || exit 1
"""


def wwn(name: str) -> str:
    return disk.WWN[2:-2] + f"{NAMES.index(name):02x}"


def establish(host: Host) -> dict[str, Seen]:
    """Registered, reserved, PRgeneration not 0; and RESERVE on one disk."""
    script = FIND
    for name, _, aptpl in UNITS:
        script += ESTABLISH.format(wwn=wwn(name), aptpl="-Z" if aptpl else "")
    script += f"d=$(unit {wwn(HELD)}); {DRAINED}; sg_raw $d 16 00 00 00 00 00"
    host.a.run(script, check=True, timeout=60)
    assert "legacy-holder" in query(host.a, HELD)["state"]
    before = look(host)
    for name, _, aptpl in UNITS:
        assert before[name].holder == (KEY, TYPE) and before[name].active == aptpl
        assert before[name].generation >= 2
    return before


def look(host: Host) -> dict[str, Seen]:
    script = FIND + "".join(LOOK.format(name=n, wwn=wwn(n)) for n, _, _ in UNITS)
    said = host.a.run(script, timeout=60).out
    units = re.findall(r"=== (\w+)\n(.*?)(?==== |\Z)", said, re.S)
    return {name: seen(text) for name, text in units}


def seen(said: str) -> Seen:
    def number(pattern: str) -> int:
        found = re.search(pattern, said)
        assert found, f"no {pattern} in {said}"
        return int(found[1], 16)

    holder = r"Key=0x([0-9a-f]+)\s.*?<< Reservation holder >>\s.*?type: (.+?)$"
    held = re.search(holder, said, re.S | re.M)
    return Seen(
        keys=[int(key, 16) for key in re.findall(r"Key=0x([0-9a-f]+)", said)],
        generation=number(r"PR generation=0x([0-9a-f]+)"),
        holder=(int(held[1], 16), TYPES[held[2].strip()]) if held else None,
        capable=number(r"\(PTPL_C\): (\d)"),
        active=number(r"\(PTPL_A\): (\d)"),
        written=said.endswith("written\n"),
    )


def expect(host: Host, event: str, before: dict[str, Seen]) -> None:
    after = look(host)
    for name, store, aptpl in UNITS:
        row = survival.row(event, store, aptpl)
        kept = row.state == "kept"
        assert after[name] == Seen(
            keys=[KEY] if kept else [],
            generation=before[name].generation if row.generation == "kept" else 0,
            holder=(KEY, TYPE) if kept else None,
            capable=1 if store == "file" else 0,
            active=1 if aptpl and kept else 0,
            written=True,
        ), name
    kept = survival.row(event, "file", False).reserve == "kept"
    assert ("legacy-holder" in query(host.a, HELD)["state"]) == kept


def query(vm: VM, device: str) -> dict[str, dict[str, object]]:
    (found,) = (each for each in vm.qmp.execute("query-scsi-pr") if each["device"] == device)
    result: dict[str, dict[str, object]] = found
    return result


# Clause: 5.6.3: nexus loss and resets
@pytest.mark.parametrize("how", ["reboot", "reset"])
def test_guest_reset(host: Host, how: str) -> None:
    before = establish(host)
    getattr(host.a, how)()
    expect(host, "guest reboots, or is reset", before)


def test_logical_unit_reset(host: Host) -> None:
    before = establish(host)
    resets = "".join(f"sg_reset -d $(unit {wwn(name)}) || exit 1\n" for name in NAMES)
    host.a.run(FIND + resets, check=True)
    expect(host, "LOGICAL UNIT RESET", before)


# Clause: 5.6.3: what is kept
@pytest.mark.parametrize("how", ["power off", "kill"])
def test_power_cycle_beside_another(host: Host, how: str) -> None:
    before = establish(host)
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
    before = establish(host)
    host.a.begin("poweroff -f")
    assert host.a.child.wait(30) == 0
    host.restart()
    expect(host, "QEMU ends and starts again; last", before)


def test_host_reboot(host: Host) -> None:
    """Every process dies, and what was in memory is gone."""
    before = establish(host)
    host.start_other()
    assert host.other
    host.other.kill()
    host.a.kill()
    host.stop_other()
    for left in Path(os.environ["XDG_RUNTIME_DIR"]).glob("scsi-pr-*"):
        left.unlink()
    host.restart()
    expect(host, "host reboots", before)
