# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with a stock QEMU and its plugin, beside the overlay's of the same series, and between them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk, host
from guest.lib.disk import Disk
from guest.lib.expect import conflict, good
from guest.lib.migration import Migration, await_outcome, migrate
from guest.lib.scsi import GOOD, UNIT_ATTENTION, Initiator, outcome, sense
from guest.lib.vm import VM, boot

from .conftest import MACHINE, SANDBOX, STOCK, Plugins

KEY_A, KEY_B = 0xA, 0xB
PREEMPTED = f"{UNIT_ATTENTION}, REGISTRATIONS PREEMPTED"


@pytest.fixture
def pair(stock: Path, overlay: Path, tmp_path: Path) -> Iterator[list[VM]]:
    """A has the plugin, as libvirt confines it, B the overlay; one disk, one store. A test may
    replace them."""
    image = disk.create(tmp_path / "quorum.img")
    disks = [Disk(image, pr_store=f"file:{tmp_path}/quorum.pr")]
    vms = [
        VM("A", disks, binary=stock, machine=MACHINE, arguments=SANDBOX),
        VM("B", disks, binary=overlay, machine=MACHINE),
    ]
    try:
        boot(vms)
        yield vms
    finally:
        for vm in vms:
            vm.close()


def fence(by: VM, key: int, victim: VM, victims_key: int) -> None:
    assert outcome(Initiator(by).preempt_and_abort(key, victims_key)) == GOOD
    assert sense(Initiator(victim).test_unit_ready()) == PREEMPTED
    conflict(Initiator(victim).write("fenced", 9))


def test_demo(stock: Path, tmp_path: Path) -> None:
    """What the README shows."""
    demo = [host.ROOT / "scripts/demo", "--stock"]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(demo, capture_output=True, text=True, env=env, timeout=180)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"QEMU {host.version(stock)}" in done.stdout


def test_there_and_back(pair: list[VM], stock: Path, overlay: Path) -> None:
    """One fences the other, whichever QEMU it has; both move to the other's QEMU, and again."""
    a, b = (Initiator(vm) for vm in pair)
    good(a.register(KEY_A))
    good(a.reserve(KEY_A))
    good(b.register(KEY_B))
    pair[0] = migrate(pair[0], overlay)
    pair[1] = migrate(pair[1], stock)
    a, b = (Initiator(vm) for vm in pair)
    assert sorted(a.keys()) == sorted(b.keys()) == [KEY_A, KEY_B]
    good(a.write("of A", 1))
    fence(pair[1], KEY_B, pair[0], KEY_A)
    pair[0] = migrate(pair[0], stock)
    pair[1] = migrate(pair[1], overlay)
    a, b = (Initiator(vm) for vm in pair)
    conflict(a.write("late", 9))
    good(b.write("of B", 2))
    good(a.register(KEY_A))
    fence(pair[0], KEY_A, pair[1], KEY_B)
    event = pair[0].qmp.wait_event("SCSI_PR_CHANGED")["data"]
    assert event["device"] == "disk0" and event["count"] >= 1
    assert pair[1].qmp.wait_event("SCSI_PR_PREEMPTED")["data"]["device"] == "disk0"


@pytest.fixture
def upgradable(plugins: Plugins, tmp_path: Path) -> Iterator[VM]:
    """A guest, registered and the holder, whose plugin is the test's own."""
    disks = [Disk(disk.create(tmp_path / "disk.img"), pr_store=f"file:{tmp_path}/quorum.pr")]
    with VM("A", disks, binary=plugins.emulator(), machine=MACHINE) as vm:
        good(Initiator(vm).register(KEY_A))
        good(Initiator(vm).reserve(KEY_A))
        yield vm


def test_upgrade_while_it_runs(upgradable: VM, plugins: Plugins) -> None:
    """The package is replaced by one for another QEMU: what runs goes on, what starts is refused."""
    plugins.made.rename(plugins.directory / f"scsi-pr-{'0' * 40}.so")
    vm = Initiator(upgradable)
    good(vm.write("after the upgrade", 1))
    assert vm.keys() == [KEY_A]
    assert upgradable.qmp.execute("query-scsi-pr")[0]["state"]["pr-generation"] == 1
    twin = upgradable.twin()
    twin.start()
    assert twin.child.wait(30) == 1
    assert "no plugin for this QEMU" in twin.qemu_log.read_text()
    twin.close()
    upgradable.reboot()
    good(vm.write("after a reboot", 2))


def test_migration_to_a_qemu_without_plugin(upgradable: VM) -> None:
    """It knows neither the property nor, without that, what comes; the guest runs on."""
    twin = upgradable.twin(STOCK)
    twin.start()
    assert twin.child.wait(30) == 1
    assert "pr-store" in twin.qemu_log.read_text()
    twin.close()
    upgradable.disks[0].pr_store = None
    migration = Migration(upgradable, STOCK)
    migration.begin()
    assert "scsi-pr" in migration.fail()
    assert Initiator(upgradable).keys() == [KEY_A]


@pytest.mark.parametrize("what", [b"scsi-pr-store", b"scsi-pr-nexus"])
def test_migration_to_an_older_plugin(plugins: Plugins, tmp_path: Path, what: bytes) -> None:
    """What it cannot know yet it refuses by the number of its format."""
    disks = [Disk(disk.create(tmp_path / "disk.img"), pr_store=f"file:{tmp_path}/quorum.pr")]
    stream = tmp_path / "stream"
    source = VM("A", disks, binary=plugins.emulator(), machine=MACHINE, arguments=["-S"])
    source.start()
    source.qmp.negotiate()
    source.qmp.execute("migrate", {"uri": f"exec:cat >{stream}"})
    assert await_outcome(source.qmp)["status"] == "completed"
    older = source.twin()
    data, count = re.subn(rb'(%s".*?"schema": ?)1' % what, rb"\g<1>9", stream.read_bytes(), flags=re.S)
    assert count == 1
    stream.write_bytes(data)
    older.start()
    older.qmp.negotiate()
    older.qmp.execute("migrate-incoming", {"uri": f"exec:cat {stream}"})
    assert older.child.wait(30) == 1
    assert "has schema 9, this program knows up to 1" in older.qemu_log.read_text()
    older.close()
    source.close()
