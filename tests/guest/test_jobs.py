# SPDX-License-Identifier: GPL-2.0-or-later
"""Block jobs of the host against a disk with pr-store: what would write past the reservations of
those who share the medium, or take it from under the device, is refused. No CPU runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.lib import disk
from guest.lib.disk import WWN, option
from guest.lib.qmp import QmpError
from guest.lib.startup import in_mount_namespace
from guest.lib.vm import VM

OTHER_QEMUS_TAKE_LONG = True

SIZE = 1 << 20


def node(name: str, **options: object) -> list[str]:
    return ["-blockdev", option({"node-name": name} | options)]


class Bench:
    """A VM with device disk0 on node `format`, which is raw, above node `file`."""

    def __init__(
        self,
        qemu: Path,
        directory: Path,
        adapter: str = "virtio-scsi-pci",
        wrapper: Sequence[str] = (),
        **properties: object,
    ) -> None:
        self.directory = directory
        self.iothread = "t" if "iothread" in adapter else None
        self.image = disk.create(directory / "disk.img", size=SIZE)
        other = disk.create(directory / "other.img", size=SIZE)
        device: dict[str, object] = {"id": "disk0", "drive": "format", "wwn": WWN, "bus": "s.0"}
        device |= {"share-rw": "on", "pr-store": f"file:{directory}/q.pr"} | properties
        device = {key: value for key, value in device.items() if value is not None}
        arguments = [
            *node("file", driver="file", filename=self.image),
            *node("format", driver="raw", file="file"),
            *node("other", driver="file", filename=other),
            *node("scratch", **{"driver": "null-co", "size": SIZE, "read-zeroes": "on"}),
            *("-object", "iothread,id=t", "-device", f"{adapter},id=s", "-S"),
            *("-device", f"scsi-hd,{option(device)}"),
        ]
        self.vm = VM("a", binary=qemu, arguments=arguments, wrapper=wrapper)
        self.vm.start()
        self.vm.qmp.negotiate()

    def do(self, command: str, **arguments: object) -> Any:
        return self.vm.qmp.execute(command, {k.replace("_", "-"): v for k, v in arguments.items()})

    def refuses(self, command: str, *patterns: str, **arguments: object) -> None:
        with pytest.raises(QmpError) as refused:
            self.do(command, **arguments)
        for pattern in patterns:
            assert pattern in refused.value.description, refused.value.description

    def snapshot(self, name: str = "format") -> dict[str, object]:
        overlay = self.directory / f"{name}.qcow2"
        return {"node_name": name, "snapshot_file": str(overlay), "snapshot_node_name": f"over-{name}"}

    def add(self, name: str, **options: object) -> None:
        self.vm.qmp.execute("blockdev-add", {"node-name": name} | options)

    def come_along(self, name: str) -> None:
        """A node gets the device's iothread, which a job between the two wants."""
        self.do("x-blockdev-set-iothread", node_name=name, iothread=self.iothread)

    def finish(self, job: str) -> None:
        while self.vm.qmp.wait_event("JOB_STATUS_CHANGE")["data"] != {"id": job, "status": "null"}:
            pass

    def plug(self, drive: str, store: str, **properties: object) -> None:
        device = {"driver": "scsi-hd", "id": "disk1", "bus": "s.0", "drive": drive}
        device |= {"wwn": int(WWN, 0) + 1, "share-rw": True, "pr-store": store}
        device |= {"pr-initiator": "iqn.2026-01.org.example:b"}
        self.vm.qmp.execute("device_add", device | properties)


@pytest.fixture(params=["virtio-scsi-pci", "virtio-scsi-pci,iothread=t"])
def bench(qemu: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(qemu, tmp_path, request.param)
    yield bench
    # In order: QEMU finds out then whether anybody still keeps a node.
    code = bench.vm.stop()
    bench.vm.close()
    assert code == 0


@pytest.fixture
def private(qemu: Path, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(qemu, tmp_path, **{"share-rw": "off"})
    yield bench
    code = bench.vm.stop()
    bench.vm.close()
    assert code == 0


OTHER_MEDIUM = ("'disk0' shares this medium", "another one", "blockdev-backup")
PAST = ("'disk0' shares this medium", "past its persistent reservations", "unplug")


def test_snapshot(bench: Bench) -> None:
    for name in ("format", "file"):
        bench.refuses("blockdev-snapshot-sync", *OTHER_MEDIUM, **bench.snapshot(name))
    action = {
        "type": "blockdev-snapshot-sync",
        "data": {k.replace("_", "-"): v for k, v in bench.snapshot().items()},
    }
    bench.refuses("transaction", *OTHER_MEDIUM, actions=[action])


def test_mirror_from(bench: Bench) -> None:
    arguments = {"device": "format", "target": "other", "sync": "full", "job_id": "j"}
    bench.refuses("blockdev-mirror", *OTHER_MEDIUM, **arguments)
    target = str(bench.directory / "mirror.img")
    bench.refuses("drive-mirror", *OTHER_MEDIUM, device="format", target=target, sync="full")


def test_mirror_back(bench: Bench) -> None:
    bench.come_along("other")
    for name in ("format", "file"):
        arguments = {"device": "other", "target": name, "sync": "full", "job_id": "j"}
        bench.refuses("blockdev-mirror", *PAST, **arguments)


def test_commit_and_stream(bench: Bench) -> None:
    bench.refuses("block-commit", *OTHER_MEDIUM, device="format")
    bench.refuses("block-stream", *PAST, device="format", job_id="j")


def test_commit_of_an_overlay_of_somebody_elses(bench: Bench) -> None:
    """Seen: a snapshot, made elsewhere, is committed into the medium that others write to."""
    create = {"driver": "qcow2", "file": "other", "size": SIZE}
    bench.do("blockdev-create", job_id="create", options=create)
    while bench.do("query-jobs")[0]["status"] != "concluded":
        pass
    bench.do("job-dismiss", id="create")
    bench.add("over", driver="qcow2", file="other", backing="format")
    bench.refuses("block-commit", *PAST, device="over", base_node="format", job_id="j")


def test_backup_into(bench: Bench) -> None:
    bench.come_along("other")
    bench.refuses("blockdev-backup", *PAST, device="other", target="format", sync="full", job_id="j")


def test_backup_from(bench: Bench) -> None:
    """Works; the filter that it puts above the medium, while it is there, is guarded as well."""
    backup = {"device": "format", "target": "scratch", "sync": "none", "filter_node_name": "filter"}
    bench.do("blockdev-backup", job_id="j", **backup)
    for name in ("filter", "format", "file"):
        bench.refuses("blockdev-snapshot-sync", **bench.snapshot(name))
    bench.do("block-job-cancel", device="j")
    bench.finish("j")
    bench.refuses("blockdev-snapshot-sync", *OTHER_MEDIUM, **bench.snapshot())


def test_what_else_works(bench: Bench) -> None:
    """A filter between the device and the same medium, another size."""
    bench.do("block_resize", node_name="format", size=2 * SIZE)
    bench.add("filter", driver="copy-on-read", file="format")
    bench.do("qom-set", path="/machine/peripheral/disk0", property="drive", value="filter")
    for name in ("filter", "format", "file"):
        bench.refuses("blockdev-snapshot-sync", *OTHER_MEDIUM, **bench.snapshot(name))
    bench.do("qom-set", path="/machine/peripheral/disk0", property="drive", value="format")
    bench.do("blockdev-del", node_name="filter")


def test_another_drive(bench: Bench) -> None:
    arguments = {"path": "/machine/peripheral/disk0", "property": "drive", "value": "other"}
    bench.refuses("qom-set", "other.img", "another medium", **arguments)


def test_unplugged(bench: Bench) -> None:
    bench.do("device_del", id="disk0")
    bench.do("blockdev-snapshot-sync", **bench.snapshot())


def test_drive_del(qemu: Path, tmp_path: Path) -> None:
    """The node goes, and the device stays: nothing of ours keeps it."""
    image = disk.create(tmp_path / "disk.img", size=SIZE)
    drive = option({"if": "none", "id": "d", "format": "raw", "file": image})
    device = f"scsi-hd,id=disk0,drive=d,share-rw=on,wwn={WWN},pr-store=memory:"
    with VM("a", binary=qemu, arguments=("-drive", drive, "-device", device)) as vm:
        vm.qmp.execute("human-monitor-command", {"command-line": "drive_del d"})
        assert not any(each["file"] == str(image) for each in vm.qmp.execute("query-named-block-nodes"))
        assert vm.stop() == 0


@pytest.mark.parametrize("properties", [{"share-rw": "off"}, {"pr-store": None}], ids=["alone", "none"])
def test_not_shared(qemu: Path, tmp_path: Path, properties: dict[str, object]) -> None:
    """Jobs are upstream's."""
    bench = Bench(qemu, tmp_path, **properties)
    bench.do("blockdev-snapshot-sync", **bench.snapshot())
    bench.do("block-commit", device="over-format", job_id="j")
    bench.vm.qmp.wait_event("BLOCK_JOB_READY")
    bench.do("job-complete", id="j")
    bench.finish("j")
    assert bench.vm.stop() == 0
    bench.vm.close()


def test_medium_follows(private: Bench) -> None:
    """After a snapshot the device has the overlay; after a commit what it had before."""
    store = f"file:{private.directory}/q.pr"
    same = {"driver": "file", "filename": str(private.image), "locking": "off"}
    private.add("same", **same)
    private.do("blockdev-snapshot-sync", **private.snapshot())
    with pytest.raises(QmpError, match=r"disk1 shows .*disk\.img.*disk0"):
        private.plug("same", store)
    private.do("block-commit", device="over-format", job_id="j")
    private.vm.qmp.wait_event("BLOCK_JOB_READY")
    private.do("job-complete", id="j")
    private.finish("j")
    private.plug("same", store)


# --- which medium


def test_one_medium(bench: Bench) -> None:
    """Under another name, format and filter, as a passed descriptor; but not at another offset."""
    store = f"file:{bench.directory}/q.pr"
    link = bench.directory / "link.img"
    link.symlink_to(bench.image)
    bench.add("linked", driver="file", filename=str(link))
    bench.add("raw", driver="raw", file="linked", size=512 * 1024)
    bench.add("filter", driver="copy-on-read", file="raw")
    bench.plug("filter", store)
    bench.do("device_del", id="disk1")
    bench.add("part", driver="raw", file="linked", offset=4096)
    with pytest.raises(QmpError, match=r"link\.img \(offset 4096\)"):
        bench.plug("part", store)
    with pytest.raises(QmpError, match=r"other\.img"):
        bench.plug("other", store)
    bench.plug("other", store, **{"pr-accept-medium": True})


def test_a_file_that_was_replaced(bench: Bench) -> None:
    """What counts is the file that QEMU has open, whatever lies under the name by now."""
    store = f"file:{bench.directory}/q.pr"
    bench.image.unlink()
    bench.add("same", driver="raw", file="file")
    bench.plug("same", store)
    bench.do("device_del", id="disk1")
    disk.create(bench.image, size=SIZE)
    bench.plug("same", store)
    bench.do("device_del", id="disk1")
    bench.add("new", driver="file", filename=str(bench.image))
    with pytest.raises(QmpError, match="another medium"):
        bench.plug("new", store)


def test_a_file_that_was_moved(bench: Bench) -> None:
    """The name that QEMU knows leads nowhere, or to a file that QEMU does not have open."""
    store = f"file:{bench.directory}/q.pr"
    bench.image.rename(bench.directory / "elsewhere.img")
    bench.add("same", driver="raw", file="file")
    with pytest.raises(QmpError, match=r"disk\.img is not the file, .* that node 'file' has open"):
        bench.plug("same", store)
    disk.create(bench.image, size=SIZE)
    with pytest.raises(QmpError, match="not any more"):
        bench.plug("same", store)
    bench.plug("same", store, **{"pr-accept-medium": True})


def test_a_file_that_was_replaced_and_proc_tells_nothing(qemu: Path, tmp_path: Path) -> None:
    """As under libvirt's AppArmor profile, which refuses to list /proc/self/fd. Seen: a device showed
    one file, and its store was that of another, which had its name by then."""
    bench = Bench(qemu, tmp_path, wrapper=in_mount_namespace("mount -t tmpfs none /proc"))
    try:
        bench.add("same", driver="raw", file="file")
        bench.plug("same", f"file:{tmp_path}/q.pr")
        bench.do("device_del", id="disk1")
        bench.image.unlink()
        disk.create(bench.image, size=SIZE)
        with pytest.raises(QmpError, match="is not the file, or not any more"):
            bench.plug("same", f"file:{tmp_path}/late.pr")
        bench.plug("same", f"file:{tmp_path}/q.pr", **{"pr-accept-medium": True})
    finally:
        bench.vm.close()
