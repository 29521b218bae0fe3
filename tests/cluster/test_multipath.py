# SPDX-License-Identifier: GPL-2.0-or-later
"""dm-multipath, multipathd and mpathpersist of Debian's in a guest with two adapters to one logical
unit, beside a second VM with one.

They are of the generation before multipath-tools 0.13 (0.9 in Debian 12, 0.11 in Debian 13); what
later ones send is in guest/clients/test_mpathpersist.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.agent import Task
from guest.lib.disk import WWN, Disk
from guest.lib.expect import conflict, drain, good
from guest.lib.scsi import GOOD, Initiator, Reservation, outcome
from guest.lib.vm import VM, running

from .node import BOOT_TIMEOUT, Node

ONLY_NEWEST_QEMU = True

KEY_A, KEY_B = 0xA1, 0xB2
INITIATOR_A, INITIATOR_B = "0x2100000000000a01", "0x2100000000000b01"
DEVICE = f"/dev/mapper/3{WWN.removeprefix('0x')}"
PATHS = "multipathd show paths raw format '%d %t %o' | grep -c '^sd.* active running'"


@dataclass
class Multipath:
    """Node A with its device, and VM B."""

    a: Node
    b: VM
    store: str

    @property
    def device(self) -> Initiator:
        """A's multipath device."""
        return Initiator(self.a, DEVICE)

    @property
    def other(self) -> Initiator:
        return Initiator(self.b)

    def path(self, port: int) -> Initiator:
        """A's path through target port 1 or 2: the first or the second adapter."""
        found = self.a.out(f"ls /sys/class/scsi_device/{port - 1}:*/device/block")
        return Initiator(self.a, f"/dev/{found.strip()}")

    def persist(self, options: str) -> None:
        self.a.run(f"mpathpersist {options} {DEVICE}", check=True)

    def registered(self) -> dict[tuple[str, int | None], int]:
        """Key by initiator port and target port."""
        return {(f"0x{each.wwpn}", each.port): each.key for each in self.other.full_status()}

    def holder_port(self) -> int | None:
        (port,) = [each.port for each in self.other.full_status() if each.type is not None]
        return port

    def wait_paths(self, count: int) -> None:
        self.a.wait(f'test "$({PATHS})" = {count}')

    def lose(self, port: int) -> None:
        self.a.qmp.execute("device_del", {"id": f"path{port}"})
        self.a.qmp.wait_event("DEVICE_DELETED")

    def plug(self, port: int, adapter: int) -> None:
        """A path through target port `port`; the adapter is what tells paths apart in the guest."""
        device = {"driver": "scsi-hd", "id": f"path{port}", "bus": f"scsi{adapter}.0", "share-rw": True}
        device |= {"drive": f"path{adapter + 1}-image", "wwn": int(WWN, 16), "pr-store": self.store}
        self.a.qmp.execute(
            "device_add", {**device, "pr-initiator": INITIATOR_A, "pr-target-port": port}
        )

    def start_writing(self) -> Task:
        """Writes to the multipath device until /run/stop is there; ends in 0 if none has failed."""
        self.a.run("rm -f /run/stop /run/written", check=True)
        write = f"dd if=/dev/zero of={DEVICE} bs=4k seek=64 count=8 oflag=direct conv=notrunc"
        return self.a.begin(
            f"until [ -e /run/stop ]; do {write} 2>/run/dd || {{ cat /run/dd >&2; exit 1; }}; "
            "echo >>/run/written; sleep 0.1; done"
        )

    def written_more(self) -> None:
        """Some more writes have ended since."""
        self.a.run(
            "n=$(wc -l </run/written); until [ $(wc -l </run/written) -ge $((n + 3)) ]; "
            "do sleep 0.2; done",
            check=True,
        )

    def stop_writing(self, task: Task) -> None:
        self.a.run("touch /run/stop", check=True)
        assert self.a.finish(task, 120).code == 0, str(task.result)


def path_disk(image: Path, store: str, port: int) -> Disk:
    return Disk(
        image,
        f"path{port}",
        bus=f"scsi{port - 1}.0",
        pr_store=store,
        pr_initiator=INITIATOR_A,
        pr_target_port=port,
    )


@pytest.fixture(scope="module")
def booted(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Multipath]:
    directory = tmp_path_factory.mktemp("multipath")
    image = disk.create(directory / "shared.img")
    store = f"file:{directory}/shared.pr"
    second = ["-device", "virtio-scsi-pci,id=scsi1", *path_disk(image, store, 2).arguments()]
    a = Node(1, [path_disk(image, store, 1)], binary=qemu, directory=directory, arguments=second)
    b = VM("B", [Disk(image, pr_store=store, pr_initiator=INITIATOR_B)], binary=qemu)
    with running(a, b, timeout=BOOT_TIMEOUT):
        a.run("multipathd", check=True)
        yield Multipath(a, b, store)


@pytest.fixture
def both(booted: Multipath) -> Multipath:
    """Both paths work; A has registered and reserved through mpathpersist, B has registered."""
    plugged = {each["device"] for each in booted.a.qmp.execute("query-scsi-pr") if "device" in each}
    for port in {"path1", "path2", "path3"} - plugged - {"path3"}:
        booted.plug(int(port[4:]), int(port[4:]) - 1)
    if "path3" in plugged:
        booted.lose(3)
    booted.wait_paths(2)
    drain(booted.other)
    good(booted.other.register_and_ignore(KEY_B), booted.other.clear(KEY_B))
    good(booted.other.register(KEY_B))
    booted.persist(f"-o --register-ignore --param-sark={KEY_A:x}")
    booted.persist(f"-o --reserve --prout-type=5 --param-rk={KEY_A:x}")
    return booted


def test_register_and_reserve(both: Multipath) -> None:
    """One command registers both nexuses; either path serves the device then, and B is a member."""
    a = {(INITIATOR_A, port): KEY_A for port in (1, 2)}
    assert both.registered() == {**a, (INITIATOR_B, 1): KEY_B}
    assert both.other.reservation() == Reservation(KEY_A, 5)
    good(both.device.write("through the device", 0), both.other.write("registered too", 1))


def test_holder_path_lost_and_back(both: Multipath) -> None:
    """The path that holds the reservation is unplugged: I/O goes on through the other one. It
    returns, and multipathd registers it."""
    writing = both.start_writing()
    both.written_more()
    lost = both.holder_port()
    assert lost in (1, 2)
    both.lose(lost)
    both.wait_paths(1)
    both.written_more()
    assert both.other.reservation() == Reservation(KEY_A, 5)

    generation = both.other.generation()
    both.plug(lost, lost - 1)
    both.wait_paths(2)
    both.a.await_("multipathd registers", lambda: both.other.generation() > generation, 60)
    both.lose(3 - lost)  # what has returned must serve alone
    both.wait_paths(1)
    both.written_more()
    both.stop_writing(writing)


def test_new_path_is_registered(both: Multipath) -> None:
    """A path that nobody has seen yet, through a third target port."""
    both.lose(2)
    both.wait_paths(1)
    both.plug(3, 1)
    both.wait_paths(2)
    new = (INITIATOR_A, 3)
    both.a.await_("multipathd registers", lambda: both.registered().get(new) == KEY_A, 60)


@pytest.mark.parametrize("lost", [2, 1], ids=["B's port is left", "B's port is lost"])
def test_release_without_the_holders_path(both: Multipath, lost: int) -> None:
    """CLEAR, then a REGISTER with SPEC_I_PT for each of the others: their initiator ports are
    registered for the target port through which the command came (SPC-3 5.6.6), also if they were
    for another one. Before 0.13 this client knows no better."""
    both.persist(f"-o --release --prout-type=5 --param-rk={KEY_A:x}")
    drain(both.path(lost))
    good(both.path(lost).reserve(KEY_A))
    both.lose(lost)
    both.wait_paths(1)
    both.persist(f"-o --release --prout-type=5 --param-rk={KEY_A:x}")
    assert both.other.reservation() is None
    left = 3 - lost
    assert both.registered() == {(INITIATOR_A, left): KEY_A, (INITIATOR_B, left): KEY_B}


def test_fences(both: Multipath) -> None:
    both.persist(f"-o --preempt-abort --prout-type=5 --param-rk={KEY_A:x} --param-sark={KEY_B:x}")
    conflict(both.other.write("fenced", 0))
    assert set(both.registered().values()) == {KEY_A}
    good(both.device.write("survivor", 0))


def test_is_fenced(both: Multipath) -> None:
    """Both paths at once, and multipathd does not register them again."""
    good(both.other.preempt_and_abort(KEY_B, KEY_A))
    conflict(both.device.write("fenced", 0))
    both.wait_paths(2)
    assert both.registered() == {(INITIATOR_B, 1): KEY_B}


def test_fence_mpath(both: Multipath) -> None:
    """The fence agent, unmodified: unfences its own node, fences the other."""
    agent = f"fence_mpath -d {DEVICE}"
    both.a.run(f"{agent} -o on -n {KEY_A:x}", check=True)
    assert both.a.run(f"{agent} -o status -n {KEY_B:x}").code == 0
    both.a.run(f"{agent} -o off -n {KEY_B:x}", check=True)
    assert outcome(both.other.write("fenced", 0)) != GOOD
    assert both.a.run(f"{agent} -o status -n {KEY_B:x}").code == 2
