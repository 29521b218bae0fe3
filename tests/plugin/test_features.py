# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user of the overlay would miss, with a stock QEMU. The CPUs stand still throughout."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, Disk
from guest.lib.qmp import QmpError
from guest.lib.vm import VM

from .conftest import MACHINE, STOCK, Plugins

Schema = dict[str, dict[str, Any]]
ABI = ("query-scsi-pr", "scsi-pr-", "SCSI_PR_")


@pytest.fixture
def start() -> Iterator[Callable[..., VM]]:
    """Starts VMs of one UUID: they may take each other's place."""
    started = []

    def start_one(binary: Path, *disks: Disk, arguments: tuple[str, ...] = ()) -> VM:
        vm = VM("vm", disks, binary=binary, machine=MACHINE, arguments=["-S", *arguments])
        started.append(vm)
        vm.start()
        vm.qmp.negotiate()
        return vm

    yield start_one
    for vm in started:
        vm.close()


def schema_of(vm: VM) -> Schema:
    entities = vm.qmp.execute("query-qmp-schema")
    by_name = {entity["name"]: entity for entity in entities}
    assert len(by_name) == len(entities), "a name is there twice"
    return by_name


def references(entity: dict[str, Any]) -> list[str]:
    """The types that an entity of the schema is made of."""
    found = [entity[key] for key in ("arg-type", "ret-type", "element-type") if key in entity]
    for key in ("members", "variants"):
        found += [each["type"] for each in entity.get(key, []) if "type" in each]
    return found


def unfold(schema: Schema, name: str, seen: tuple[str, ...] = ()) -> Any:
    """What an entity means, without the names of types, which mean nothing."""
    if name in seen:
        return "recursive"
    entity = schema[name]
    told: dict[str, Any] = {key: entity[key] for key in entity if key != "name"}
    inner = (*seen, name)
    for key in ("arg-type", "ret-type", "element-type"):
        if key in told:
            told[key] = unfold(schema, told[key], inner)
    for key in ("members", "variants"):
        if key in told and entity["meta-type"] != "enum":
            told[key] = [each | {"type": unfold(schema, each["type"], inner)} for each in told[key]]
    return told


def test_schema(start: Callable[..., VM], stock: Path, overlay: Path) -> None:
    """The same commands, events and types as with the overlay, and no name without an entity."""
    theirs, ours = schema_of(start(overlay)), schema_of(start(stock))
    assert {name for entity in ours.values() for name in references(entity)} <= ours.keys()
    names = [name for name in theirs if name.startswith(ABI)]
    assert len(names) > 5
    assert set(names) == {name for name in ours if name.startswith(ABI)}
    for name in names:
        assert unfold(ours, name) == unfold(theirs, name)


def test_nothing_of_qemus_is_lost(start: Callable[..., VM], stock: Path) -> None:
    without, with_plugin = schema_of(start(STOCK)), schema_of(start(stock))
    assert {name: with_plugin.get(name) for name in without} == without


def test_commands(start: Callable[..., VM], stock: Path, overlay: Path) -> None:
    def commands(binary: Path) -> set[str]:
        named = start(binary).qmp.execute("query-commands")
        return {each["name"] for each in named if each["name"].startswith(ABI)}

    assert commands(stock) == commands(overlay) != set()


def test_properties(start: Callable[..., VM], stock: Path, overlay: Path) -> None:
    def properties(vm: VM, device: str) -> list[dict[str, Any]]:
        told = vm.qmp.execute("device-list-properties", {"typename": device})
        return sorted((each for each in told if each["name"].startswith("pr-")), key=lambda p: p["name"])

    theirs, ours = start(overlay), start(stock)
    for device in ("scsi-hd", "scsi-block", "scsi-generic"):
        assert properties(ours, device) == properties(theirs, device) != []


def test_info_of_hmp(start: Callable[..., VM], stock: Path, overlay: Path, tmp_path: Path) -> None:
    """`info scsi-pr`, its help, and the commands of QEMU's own beside it."""
    images = [disk.create(tmp_path / name) for name in ("ours.img", "theirs.img")]
    ours = start(stock, Disk(images[0], pr_store="memory:"))
    theirs = start(overlay, Disk(images[1], pr_store="memory:"))
    for line in ("info scsi-pr", "help info scsi-pr"):
        said = [vm.qmp.execute("human-monitor-command", {"command-line": line}) for vm in (ours, theirs)]
        said = [re.sub(r"process \d+ \([^)]*\)|iqn\.\S+", "…", each) for each in said]
        assert said[0] == said[1] != ""
    for line in ("info version", "info status", "info qtree", "help info"):
        assert "unknown" not in ours.qmp.execute("human-monitor-command", {"command-line": line})


def test_info_of_a_module(start: Callable[..., VM], stock: Path) -> None:
    """Modules that are loaded later add their commands to a table that `info` no longer reads."""
    said = []
    for binary in (STOCK, stock):
        vm = start(binary)
        vm.qmp.execute("device-list-properties", {"typename": "usb-host"})  # loads its module
        said.append(vm.qmp.execute("human-monitor-command", {"command-line": "info usbhost"}))
    assert said[0] == said[1]
    assert "not available" not in said[0]


def test_info_of_no_module(start: Callable[..., VM], stock: Path) -> None:
    said = [
        start(binary).qmp.execute("human-monitor-command", {"command-line": "info usbhost"})
        for binary in (STOCK, stock)
    ]
    assert said[0] == said[1]
    assert "not available" in said[0]


def test_trace(start: Callable[..., VM], plugins: Plugins, tmp_path: Path) -> None:
    """trace= of the plugin stands in for -trace, which QEMU reads too early."""
    image = disk.create(tmp_path / "disk.img")
    vm = start(plugins.emulator(",trace=scsi_pr_att*"), Disk(image, pr_store="memory:"))
    said = vm.qemu_log.read_text()
    assert re.search(r"scsi_pr_attach .*disk0: store memory:", said)
    state = vm.qmp.execute("trace-event-get-state", {"name": "scsi_pr_*"})
    enabled = {each["name"] for each in state if each["state"] == "enabled"}
    assert enabled == {"scsi_pr_attach"} and len(state) > 10
    vm.qmp.execute("trace-event-set-state", {"name": "scsi_pr_detach", "enable": True})
    vm.qmp.execute("device_del", {"id": "disk0"})
    vm.qmp.wait_event("DEVICE_DELETED")
    assert "scsi_pr_detach" in vm.qemu_log.read_text()


def hot_plug(vm: VM, image: Path, **properties: object) -> None:
    node = {"driver": "raw", "node-name": "shared", "file": {"driver": "file", "filename": str(image)}}
    vm.qmp.execute("blockdev-add", node)
    device = {"driver": "scsi-hd", "id": "plugged", "bus": "scsi0.0", "drive": "shared"}
    vm.qmp.execute("device_add", device | {"share-rw": True, "wwn": int(WWN, 0)} | properties)


def test_one_line_for_a_host(start: Callable[..., VM], stock: Path, tmp_path: Path) -> None:
    """-global …pr-dir, and a disk that is plugged later."""
    vm = start(stock, arguments=("-global", f"scsi-hd.pr-dir={tmp_path}"))
    hot_plug(vm, disk.create(tmp_path / "disk.img"))
    (told,) = vm.qmp.execute("query-scsi-pr")
    assert told["store"].startswith(f"file:{tmp_path}/")


def test_one_line_that_is_wrong(start: Callable[..., VM], stock: Path, tmp_path: Path) -> None:
    vm = start(stock, arguments=("-global", f"scsi-hd.pr-dir={tmp_path}/nowhere"))
    with pytest.raises(QmpError, match="nowhere"):
        hot_plug(vm, disk.create(tmp_path / "disk.img"))


def test_forgotten_plugin_and_hot_plug(start: Callable[..., VM], tmp_path: Path) -> None:
    """Properties of the plugged disk itself are refused by a QEMU that does not know them."""
    vm = start(STOCK)
    image = disk.create(tmp_path / "disk.img")
    with pytest.raises(QmpError, match="pr-store"):
        hot_plug(vm, image, **{"pr-store": "memory:"})
    vm.qmp.execute("blockdev-del", {"node-name": "shared"})
    with pytest.raises(QmpError, match="pr-dir"):
        hot_plug(vm, image, **{"pr-dir": str(tmp_path)})


def test_the_exception(start: Callable[..., VM], tmp_path: Path) -> None:
    """docs/plugin.md: what QEMU makes of a -global that it does not know, when a disk is plugged."""
    vm = start(STOCK, arguments=("-global", f"scsi-hd.pr-dir={tmp_path}"))
    hot_plug(vm, disk.create(tmp_path / "disk.img"))
    assert re.search("warning: .*pr-dir", vm.qemu_log.read_text())


def snapshot(vm: VM, command: str) -> None:
    """snapshot-save or snapshot-load; the shared disk takes no part."""
    devices = {"vmstate": "state", "devices": ["state"]}
    vm.qmp.execute(command, {"job-id": "job", "tag": "one"} | devices)
    while (job := vm.qmp.execute("query-jobs")[0])["status"] != "concluded":
        time.sleep(0.05)
    assert "error" not in job, vm.report(str(job))


def test_snapshot(start: Callable[..., VM], stock: Path, overlay: Path, tmp_path: Path) -> None:
    """Made with the plugin, and gone back to with it and with the overlay."""
    image, state = disk.create(tmp_path / "disk.img"), tmp_path / "state.qcow2"
    make = ["create", "-q", "-f", "qcow2", str(state), "64M"]
    subprocess.run([overlay.parent / "qemu-img", *make], check=True)
    node = f"driver=qcow2,node-name=state,file.driver=file,file.filename={state}"
    shared = Disk(image, pr_store=f"file:{tmp_path}/quorum.pr")
    for binary, command in ((stock, "save"), (stock, "load"), (overlay, "load")):
        vm = start(binary, shared, arguments=("-blockdev", node))
        snapshot(vm, f"snapshot-{command}")
        assert vm.qmp.execute("query-scsi-pr")[0]["device"] == "disk0"
        vm.close()
