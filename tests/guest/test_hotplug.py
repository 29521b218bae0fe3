# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugging and unplugging by QMP: what stays of a nexus, and that it is the same one afterwards.

The initiator port is the default one, made of -uuid and the device's place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk, store
from guest.lib.disk import WWN, Disk
from guest.lib.expect import conflict, drain, good
from guest.lib.matrix import Record
from guest.lib.scsi import Initiator, Reservation
from guest.lib.vm import VM

KEY, OTHER = 0xA, 0xB
Place = dict[str, int]  # at an adapter
LUN_1: Place = {"lun": 1}
# The disk of the adapter in slot 10h, in sysfs.
FIND_PLUGGED = "find /sys/devices -path '*/0000:00:10.0/*/block/sd*' -prune | grep ."


class Plug:
    """A shared disk that comes and goes."""

    def __init__(
        self, vm: VM, image: Path, uri: str, bus: str = "scsi0.0", place: Place = LUN_1
    ) -> None:
        self.vm = vm
        node = {"driver": "raw", "node-name": "shared", "file": {"driver": "file", "filename": str(image)}}
        vm.qmp.execute("blockdev-add", node)
        self.device = {
            "driver": "scsi-hd", "id": "plugged", "bus": bus, "drive": "shared",
            "share-rw": True, "wwn": int(WWN, 0), "pr-store": uri,
        } | place  # fmt: skip

    def plug(self) -> dict[str, Any]:
        """What query-scsi-pr says of it."""
        self.vm.qmp.execute("device_add", self.device)
        told = self.vm.qmp.execute("query-scsi-pr")
        (info,) = [each for each in told if each["device"] == "plugged"]
        return dict(info)

    def unplug(self) -> None:
        self.vm.qmp.execute("device_del", {"id": "plugged"})
        self.vm.qmp.wait_event("DEVICE_DELETED")


def state_of(info: dict[str, Any], aptpl: bool) -> store.State:
    """Registered with KEY and the holder."""
    nexus = {"initiator": info["initiator"], "target-port": info["target-port"]}
    return {
        "pr-generation": 1,
        "aptpl": aptpl,
        "registrations": [nexus | {"key": f"0x{KEY:016x}"}],
        "reservation": {
            "type": "write-exclusive-registrants-only", "scope": "logical-unit", "holder": nexus,
        },
    }  # fmt: skip


def document(state: store.State) -> dict[str, Any]:
    return {"format": "scsi-pr", "schema": 1, "checksum": store.checksum(state), "state": state}


# Clause: 5.6.3: power cycle with APTPL; 5.6.3: power cycle without APTPL
@pytest.mark.parametrize("aptpl", [True, False], ids=["APTPL", "no APTPL"])
@pytest.mark.parametrize("last", [True, False], ids=["last", "not last"])
def test_unplugged_and_plugged_again(
    qemu: Path, tmp_path: Path, last: bool, aptpl: bool
) -> None:
    """The same nexus comes back. To its state the unplugging of the last one is a power cycle."""
    image, uri = disk.create(tmp_path / "disk.img", 1 << 20), f"file:{tmp_path}/disk.pr"
    others = [] if last else [Disk(image, "other", pr_store=uri)]
    vm = VM("plug", others, binary=qemu, arguments=["-S"])
    try:
        vm.start()
        vm.qmp.negotiate()
        plugged = Plug(vm, image, uri)
        before = plugged.plug()
        state = state_of(before, aptpl)
        vm.qmp.complete("scsi-pr-load", {"device": "plugged", "document": document(state)})
        for _ in range(2):
            plugged.unplug()
            after = plugged.plug()
            assert after["initiator"] == before["initiator"]
            if last and not aptpl:
                assert after["state"] == store.EMPTY
            else:
                assert after["state"] == state | {"pr-generation": 0 if last else 1}
    finally:
        vm.close()


def comes_goes_and_comes(
    peer: Initiator, come: Callable[[], Initiator], go: Callable[[], None]
) -> None:
    """A disk that is registered, and the holder, is both while it is away and afterwards."""
    x = come()
    good(x.register(KEY), x.reserve(KEY, 6), peer.register(OTHER))
    go()
    drain(peer)
    assert peer.keys() == [KEY, OTHER] and peer.reservation() == Reservation(KEY, 6)
    good(peer.register(0, OTHER))
    conflict(peer.write("not registered", 0))
    x = come()
    good(x.write("the same nexus, still the holder", 0))
    conflict(peer.read(0))


@pytest.mark.parametrize(
    ("hba", "module"), [("virtio-scsi-pci", "virtio_scsi"), ("pvscsi", "vmw_pvscsi")]
)
def test_disk_of_a_running_guest(
    qemu: Path, tmp_path: Path, hba: str, module: str, cell: Record
) -> None:
    """The adapter tells the guest of its disk, which finds its registration again."""
    image, uri = disk.create(tmp_path / "disk.img"), f"file:{tmp_path}/disk.pr"
    with VM(
        "plug",
        [Disk(image, pr_store=uri)],
        binary=qemu,
        machine="pc",
        kernel="standard",
        modules=[module],
        adapters=["-device", f"{hba},id=hba,addr=0x10"],
    ) as vm:
        peer = Initiator(vm)
        plugged = Plug(vm, image, uri, "hba.0", {"scsi-id": 1})  # pvscsi has no other LUN than 0

        def come() -> Initiator:
            plugged.plug()
            return plugged_disk(vm)

        def go() -> None:
            plugged.unplug()
            vm.run(f"while {FIND_PLUGGED}; do usleep 50000; done", check=True)

        comes_goes_and_comes(peer, come, go)
        cell("hot-plug", hba)


@pytest.fixture(params=["main loop", "iothread"])
def adapter_options(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"iothread": "io"} if request.param == "iothread" else {}


def test_whole_adapter(
    qemu: Path, tmp_path: Path, adapter_options: dict[str, str], cell: Record
) -> None:
    """Adapter and disk leave a running guest and come back, while another nexus is there."""
    image, uri = disk.create(tmp_path / "disk.img"), f"file:{tmp_path}/disk.pr"
    arguments = ["-object", "iothread,id=io"]
    with VM("plug", [Disk(image, pr_store=uri)], binary=qemu, machine="pc", arguments=arguments) as vm:
        peer = Initiator(vm)
        plugged = Plug(vm, image, uri, bus="hba.0")
        comes_goes_and_comes(
            peer, lambda: plug_adapter(plugged, adapter_options), lambda: unplug_adapter(plugged)
        )
        # Fenced while it is away: it comes back as nobody.
        unplug_adapter(plugged)
        good(peer.register(OTHER), peer.preempt_and_abort(OTHER, KEY))
        x = plug_adapter(plugged, adapter_options)
        conflict(x.write("fenced", 0), x.reserve(KEY))
        assert peer.keys() == [OTHER]
        cell("hot-plug")


def plug_adapter(plugged: Plug, options: dict[str, str]) -> Initiator:
    qmp = plugged.vm.qmp
    qmp.execute("device_add", {"driver": "virtio-scsi-pci", "id": "hba", "addr": "0x10"} | options)
    plugged.plug()
    return plugged_disk(plugged.vm)


def plugged_disk(vm: VM) -> Initiator:
    """Of the adapter in slot 10h, once the guest has it."""
    found = vm.run(f"until {FIND_PLUGGED}; do usleep 50000; done", check=True)
    x = Initiator(vm, f"/dev/{Path(found.out.strip()).name}")
    drain(x)
    return x


def unplug_adapter(plugged: Plug) -> None:
    """The guest's ACPI driver lets go of it; the disk goes with it."""
    plugged.vm.qmp.execute("device_del", {"id": "hba"})
    while plugged.vm.qmp.wait_event("DEVICE_DELETED", 30)["data"].get("device") != "hba":
        pass
