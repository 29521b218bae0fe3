# SPDX-License-Identifier: GPL-2.0-or-later
"""pr-dir: one line gives every shared disk of a host its store. The CPUs stand still throughout."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, Disk
from guest.lib.qmp import QmpError
from guest.lib.startup import start
from guest.lib.vm import VM

Starter = Callable[..., VM]

# For one image that stands for several disks.
APART: dict[str, object] = {"pr-accept-medium": "on"}


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    place = tmp_path / "stores"
    place.mkdir()
    return place


@pytest.fixture
def vm(qemu: Path, stores: Path) -> Iterator[Starter]:
    """Starts VMs of a host on which pr-dir is on."""
    started = []

    def start_one(
        name: str,
        *disks: Disk,
        adapters: Sequence[str] = (),
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
    ) -> VM:
        one_line = ("-global", f"scsi-hd.pr-dir={stores}")
        options = ["-S", *one_line, *arguments]
        each = VM(name, disks, binary=qemu, adapters=adapters, arguments=options, wrapper=wrapper)
        started.append(each)
        each.start()
        each.qmp.negotiate()
        return each

    yield start_one
    for each in started:
        each.close()


def shared(image: Path, id: str = "disk0", wwn: str | None = None, **properties: object) -> Disk:
    return Disk(image, id, wwn=wwn, properties=properties)


def used(vm: VM) -> dict[str, str]:
    """The store of each device that has one."""
    return {each["device"]: each["store"] for each in vm.qmp.execute("query-scsi-pr")}


def plug(vm: VM, drive: str, id: str, **properties: object) -> None:
    arguments: dict[str, Any] = {"driver": "scsi-hd", "id": id, "drive": drive, "bus": "scsi0.0"}
    vm.qmp.execute("device_add", arguments | {"share-rw": True} | properties)


# --- who gets which store


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"wwn": "0x5000c50015ea71ac"}, "naa.5000c50015ea71ac"),
        ({"wwn": "0x1", "serial": "s", "device_id": "d"}, "naa.0000000000000001"),
        ({"serial": "QUORUM-1"}, "vendor.QUORUM-1"),
        ({"serial": "s", "device_id": "quorum_2.b"}, "vendor.quorum_2.b"),
        ({"serial": ".."}, "vendor..."),
        ({"serial": "a/b c%é"}, "vendor.a%2Fb%20c%25%C3%A9"),
        ({"serial": "naa.5000c50015ea71ac"}, "vendor.naa.5000c50015ea71ac"),
        ({"device_id": "x" * 160}, f"vendor.{'x' * 160}"),
        ({"device_id": "x" * 161}, f"sha256.{hashlib.sha256(b'x' * 161).hexdigest()}"),
        ({"device_id": "/" * 100}, f"sha256.{hashlib.sha256(b'/' * 100).hexdigest()}"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_name(
    vm: Starter, image: Path, stores: Path, properties: dict[str, str], name: str
) -> None:
    """A safe file name, another one for each identity."""
    one = vm("a", shared(image, **properties))
    assert used(one) == {"disk0": f"file:{stores}/{name}.pr"}
    assert (stores / f"{name}.pr").is_file()


def test_only_shared_disks(vm: Starter, image: Path, stores: Path, tmp_path: Path) -> None:
    """Private disks and CD-ROMs are upstream's; pr-store says more, and an empty pr-dir nothing."""
    own = disk.create(tmp_path / "own.img", size=1 << 20)
    explicit = f"file:{tmp_path}/explicit.pr"
    one = vm(
        "a",
        shared(image, wwn=WWN),
        Disk(own, "private", wwn=None, share_rw=False),
        Disk(image, "explicit", pr_store=explicit, properties=APART),
        shared(image, "off", **{"pr-dir": ""}),
        arguments=("-device", "scsi-cd,id=cd,bus=scsi0.0"),
    )
    assert used(one) == {
        "disk0": f"file:{stores}/naa.5000c50015ea71ac.pr",
        "explicit": explicit,
    }


def test_usb_storage(vm: Starter, image: Path, stores: Path) -> None:
    """It makes its scsi-hd itself, and has share-rw and serial for it."""
    serial: dict[str, object] = {"serial": "QUORUM-1"}
    stick = Disk(image, "stick", "usb-storage", wwn=None, bus="xhci.0", properties=serial)
    one = vm("a", stick, adapters=("-device", "qemu-xhci,id=xhci"))
    (device,) = one.qmp.execute("query-scsi-pr")
    assert device["store"] == f"file:{stores}/vendor.QUORUM-1.pr"


def test_two_vms_one_store(vm: Starter, image: Path, stores: Path) -> None:
    a, b = (vm(name, shared(image, wwn=WWN)) for name in "ab")
    assert used(a) == used(b)
    (device,) = b.qmp.execute("query-scsi-pr")
    assert [each["owner"][:4] for each in device["attached"]] == ["VM a", "VM b"]


def test_hot_plug_and_json(vm: Starter, image: Path, stores: Path) -> None:
    json_device = {
        "driver": "scsi-hd", "id": "json", "bus": "scsi0.0", "drive": "disk0-image",
        "share-rw": True, "wwn": int(WWN, 0), "pr-dir": str(stores), "pr-accept-medium": True,
    }  # fmt: skip
    first = shared(image, serial="first", **APART)
    one = vm("a", first, arguments=("-device", json.dumps(json_device)))
    plug(one, "disk0-image", "plugged", serial="second", **{"pr-accept-medium": True})
    assert used(one) == {
        "disk0": f"file:{stores}/vendor.first.pr",
        "json": f"file:{stores}/naa.5000c50015ea71ac.pr",
        "plugged": f"file:{stores}/vendor.second.pr",
    }


# --- what is refused


def refusal(qemu: Path, pr_dir: str, image: Path, *patterns: str, **properties: object) -> None:
    bad = Disk(image, wwn=None, properties={"pr-dir": pr_dir} | properties)
    start(qemu, [bad]).refusal("pr-dir", *patterns)


def test_no_identity(qemu: Path, image: Path, stores: Path) -> None:
    refusal(qemu, str(stores), image, "identity", "wwn", "serial", "device_id")
    assert list(stores.iterdir()) == []


def test_relative_directory(qemu: Path, image: Path) -> None:
    refusal(qemu, "stores", image, "absolute", "'stores'", serial="s")


def test_missing_directory(qemu: Path, image: Path, tmp_path: Path) -> None:
    refusal(qemu, f"{tmp_path}/missing", image, f"{tmp_path}/missing.*no directory", "Create it",
            serial="s")  # fmt: skip
    refusal(qemu, str(image), image, "no directory", serial="s")


def test_two_disks_with_one_identity(
    vm: Starter, image: Path, stores: Path, tmp_path: Path
) -> None:
    """Plugged while another VM has the other one: refused, whatever format is above the file. The
    error names both."""
    a = vm("a", shared(image, wwn=WWN))
    other = disk.create(tmp_path / "other.img", size=1 << 20)
    b = vm("b", shared(other, wwn="0x1"))
    with pytest.raises(QmpError) as refused:
        plug(b, "disk0-image", "twin", wwn=int(WWN, 0))
    for part in ("VM a, device disk0", str(a.child.pid), "VM b, device twin", "naa.5000c50015ea71ac"):
        assert part in str(refused.value)
    # So is who names the store; unless he insists.
    explicit: dict[str, object] = {"wwn": int(WWN, 0), "pr-store": used(a)["disk0"]}
    with pytest.raises(QmpError, match="another medium"):
        plug(b, "disk0-image", "explicit", **explicit)
    plug(b, "disk0-image", "explicit", **explicit, **{"pr-accept-medium": True})
    # The disk may have been replaced, once nobody has the old one.
    a.stop()
    for mine in ("explicit", "disk0"):
        b.qmp.execute("device_del", {"id": mine})
    plug(b, "disk0-image", "again", wwn=int(WWN, 0))


def test_one_disk_under_two_names(vm: Starter, image: Path, tmp_path: Path) -> None:
    """Links are no other disk, nor is a block device that may be the same."""
    os.link(image, tmp_path / "hard.img")
    (tmp_path / "symbolic.img").symlink_to(image)
    vm("a", shared(image, wwn=WWN))
    for name in ("hard", "symbolic"):
        vm(name, shared(tmp_path / f"{name}.img", wwn=WWN))


def test_a_passed_descriptor(vm: Starter, image: Path, tmp_path: Path) -> None:
    """An image that comes as /dev/fdset/N, as from libvirt, is known by its inode too."""
    other = disk.create(tmp_path / "other.img", size=1 << 20)
    vm("a", shared(image, wwn=WWN))
    b = vm(
        "b",
        arguments=("-add-fd", "fd=8,set=1", "-add-fd", "fd=9,set=2"),
        wrapper=["sh", "-c", 'exec 8<>"$1" 9<>"$2"; shift 2; exec "$@"', "sh", str(image), str(other)],
    )
    for fdset in (1, 2):
        node = {"driver": "file", "node-name": f"passed{fdset}", "filename": f"/dev/fdset/{fdset}"}
        b.qmp.execute("blockdev-add", node)
    plug(b, "passed1", "same", wwn=int(WWN, 0))
    b.qmp.execute("device_del", {"id": "same"})
    with pytest.raises(QmpError, match="VM a, device disk0"):
        plug(b, "passed2", "other", wwn=int(WWN, 0))
