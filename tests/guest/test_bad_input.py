# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user can get wrong: one clear error, exit code 1, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest.lib import store
from guest.lib.disk import Disk
from guest.lib.scsi import GOOD, Initiator, outcome
from guest.lib.startup import fill, in_mount_namespace, start, without_override
from guest.lib.vm import VM

OTHER_QEMUS_TAKE_LONG = True

INITIATOR = "iqn.2024-01.org.example:node-a"
KEPT: store.State = {
    "pr-generation": 7,
    "aptpl": True,
    "registrations": [
        {"initiator": INITIATOR, "target-port": 1, "key": "0x00000000deadbeef"},
    ],
    "reservation": {
        "type": "write-exclusive-registrants-only",
        "scope": "logical-unit",
        "holder": {"initiator": INITIATOR, "target-port": 1},
    },
}

POWERED_ON = KEPT | {"pr-generation": 0}  # SPC-3 6.11.3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that does not exist yet, in a directory of its own."""
    place = tmp_path / "stores"
    place.mkdir()
    return place / "quorum.pr"


@pytest.fixture
def running(qemu: Path, image: Path, path: Path) -> Iterator[VM]:
    """A QEMU with stopped CPUs that uses the store."""
    shared = Disk(image, pr_store=f"file:{path}", pr_initiator=INITIATOR)
    vm = VM("vm1", [shared], binary=qemu, arguments=["-S"])
    try:
        vm.start()
        vm.qmp.negotiate()
        yield vm
    finally:
        vm.close()


@pytest.fixture
def kept(running: VM, path: Path) -> Path:
    """A store that nobody uses, with a registration and a reservation that must not be lost."""
    assert running.stop() == 0
    assert store.state(path) == store.EMPTY
    store.write(path, KEPT)
    return path


def refused(qemu: Path, path: Path, image: Path, *patterns: str) -> None:
    """QEMU refuses the store and leaves it, to the byte, as it is."""
    before = store.files(path)
    start(qemu, [Disk(image, pr_store=f"file:{path}")]).refusal(str(path), *patterns)
    assert store.files(path) == before


# --- properties


def test_a_file_system_that_is_not_known(qemu: Path, image: Path) -> None:
    """Refused, and nothing is tried there, unless the administrator insists."""
    bad = Disk(image, pr_store="file:/sys/kernel/quorum.pr")
    start(qemu, [bad]).refusal("/sys/kernel.*0x62656572", "pr-accept-file-system=on")
    bad.properties["pr-accept-file-system"] = "on"
    start(qemu, [bad]).refusal("cannot create /sys/kernel/quorum.pr")


@pytest.mark.parametrize("uri", ["floppy:/a", "quorum.pr", "/quorum.pr", ":", "FILE:/x"])
def test_unknown_scheme(qemu: Path, image: Path, uri: str) -> None:
    start(qemu, [Disk(image, pr_store=uri)]).refusal(f'"{uri}"', "memory:.*file:/")


@pytest.mark.parametrize("path", ["", "quorum.pr", "/"])
def test_path_that_cannot_be_a_store(qemu: Path, image: Path, path: str) -> None:
    start(qemu, [Disk(image, pr_store=f"file:{path}")]).refusal(f"file:{path}")


@pytest.mark.parametrize("initiator", ["bogus", "naa.12", "srp.1", "x" * 300])
def test_malformed_initiator(qemu: Path, image: Path, initiator: str) -> None:
    bad = Disk(image, pr_store="memory:", pr_initiator=initiator)
    start(qemu, [bad]).refusal(initiator[:20])


@pytest.mark.parametrize("port", [0, 65536])
def test_target_port_out_of_range(qemu: Path, image: Path, port: int) -> None:
    start(qemu, [Disk(image, pr_store="memory:", pr_target_port=port)]).refusal("target.port")


def test_no_uuid_and_no_initiator(qemu: Path, image: Path) -> None:
    ended = start(qemu, [Disk(image, pr_store="memory:")], uuid=None)
    ended.refusal("-uuid", "pr-initiator")


def test_shared_disk_without_identity(qemu: Path, image: Path) -> None:
    start(qemu, [Disk(image, wwn=None, pr_store="memory:")]).refusal("wwn", "serial|device_id")


def test_two_devices_of_one_vm_with_one_nexus(qemu: Path, image: Path, path: Path) -> None:
    twice = [
        Disk(image, id=name, pr_store=f"file:{path}", pr_initiator=INITIATOR)
        for name in ("disk0", "disk1")
    ]
    start(qemu, twice).refusal(INITIATOR, "disk0")
    assert store.state(path) == store.EMPTY


def test_two_vms_with_one_nexus(qemu: Path, running: VM, image: Path, path: Path) -> None:
    """The error names the process that has the nexus."""
    same = Disk(image, pr_store=f"file:{path}", pr_initiator=INITIATOR)
    start(qemu, [same]).refusal(rf"\b{running.child.pid}\b", "vm1", INITIATOR)
    (device,) = running.qmp.execute("query-scsi-pr")
    assert len(device["attached"]) == 1, "the first VM goes on as if nothing had happened"


# --- places


def test_missing_directory(qemu: Path, image: Path, tmp_path: Path) -> None:
    ended = start(qemu, [Disk(image, pr_store=f"file:{tmp_path}/missing/quorum.pr")])
    ended.refusal(f"{tmp_path}/missing", "No such file or directory")
    assert not (tmp_path / "missing").exists()


def test_directory_without_permission(qemu: Path, image: Path, tmp_path: Path) -> None:
    place = tmp_path / "locked"
    place.mkdir(mode=0o555)
    shared = Disk(image, pr_store=f"file:{place}/quorum.pr")
    ended = start(qemu, [shared], wrapper=without_override())
    ended.refusal(f"{place}/quorum.pr", "Permission denied")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_store_without_permission(qemu: Path, image: Path, kept: Path, mode: int) -> None:
    before = store.files(kept)
    kept.chmod(mode)
    ended = start(qemu, [Disk(image, pr_store=f"file:{kept}")], wrapper=without_override())
    ended.refusal(str(kept))
    kept.chmod(0o600)
    assert store.files(kept) == before


def test_read_only_file_system(qemu: Path, image: Path, kept: Path) -> None:
    """An existing store, and a new one."""
    before = store.files(kept)
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'
    wrapper = in_mount_namespace(script, str(kept.parent))
    for path in (kept, kept.with_name("new.pr")):
        ended = start(qemu, [Disk(image, pr_store=f"file:{path}")], wrapper=wrapper)
        ended.refusal(str(path), "[Rr]ead-only")
    assert store.files(kept) == before


def test_new_store_on_a_full_disk(qemu: Path, image: Path, tmp_path: Path) -> None:
    place = tmp_path / "full"
    place.mkdir()
    script = 'mount -t tmpfs -o size=64k tmpfs "$1"; head -c 128k /dev/zero >"$1/fill" 2>/dev/null || true'
    wrapper = in_mount_namespace(script, str(place))
    ended = start(qemu, [Disk(image, pr_store=f"file:{place}/quorum.pr")], wrapper=wrapper)
    ended.refusal(f"{place}/quorum.pr", "full|No space left")


def test_disk_that_fills_while_in_use(qemu: Path, image: Path, tmp_path: Path) -> None:
    """What has its place already needs no more; without APTPL nothing is written at all."""
    place = tmp_path / "small"
    place.mkdir()
    wrapper = in_mount_namespace('mount -t tmpfs -o size=1m tmpfs "$1"', str(place))
    shared = Disk(image, pr_store=f"file:{place}/quorum.pr")
    with VM("full", [shared], binary=qemu, wrapper=wrapper) as vm:
        inside = Path(f"/proc/{vm.child.pid}/root{place}")
        a = Initiator(vm)
        assert outcome(a.register(0x1)) == outcome(a.reserve(0x1)) == GOOD
        fill(inside / "fill")
        assert outcome(a.register(0x2, 0x1)) == GOOD
        assert outcome(a.register(0x3, 0x2, options="--param-aptpl")) == GOOD
        assert a.keys() == [0x3] and a.reservation()
        assert outcome(a.write("still the holder", 0)) == GOOD


# --- stores


def test_our_view_of_the_store_is_right(qemu: Path, image: Path, kept: Path) -> None:
    """What these tests write QEMU takes, and keeps: else the refusals below would prove nothing."""
    with_store = Disk(image, pr_store=f"file:{kept}", pr_initiator=INITIATOR)
    vm = VM("reader", [with_store], binary=qemu, uuid_=None, arguments=["-S"])
    try:
        vm.start()
        vm.qmp.negotiate()
        (device,) = vm.qmp.execute("query-scsi-pr")
        assert device["state"] == POWERED_ON
        assert vm.stop() == 0
    finally:
        vm.close()
    assert store.state(kept) == KEPT, "whoever powers it on makes the same of it"


def test_newer_format(qemu: Path, image: Path, kept: Path) -> None:
    kept.write_bytes(kept.read_bytes().replace(b"scsi-pr/1 ", b"scsi-pr/9 "))
    refused(qemu, kept, image, "newer")


def test_newer_document(qemu: Path, image: Path, kept: Path) -> None:
    store.write(kept, KEPT, schema=999)
    refused(qemu, kept, image, "newer", "999")


def member(name: str, value: object) -> Callable[[bytes], bytes]:
    """Another value for a member of a record's body."""

    def change(body: bytes) -> bytes:
        return body[:36] + json.dumps(json.loads(body[36:]) | {name: value}).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b"deadbeef", b"deadbeee"),
        lambda body: body.replace(b'"scsi-pr"', b'"other"'),
        lambda body: body[:36] + b" {",
        lambda body: b"{}",
        member("document", ""),
        member("unit-attentions", "none"),
        member("unit-attentions", [{"initiator": INITIATOR, "target-port": 1, "asc": 99, "ascq": 99}]),
        member("previous", 4711),
    ],
)
def test_damaged_record(qemu: Path, image: Path, kept: Path, change: Callable[[bytes], bytes]) -> None:
    """Its checksums say that it is sound."""
    store.rewrite(kept, store.newest(kept), change)
    refused(qemu, kept, image, "damaged", "scsi-pr check")


@pytest.mark.parametrize("damage", ["a byte", "empty", "half", "zeroed sector", "garbage", "zeroed block"])
def test_damaged_file(qemu: Path, image: Path, kept: Path, damage: str) -> None:
    whole = kept.read_bytes()
    if damage == "a byte":
        store.damage(kept, store.newest(kept))
        return refused(qemu, kept, image, "damaged", "scsi-pr check")
    kept.write_bytes(
        {
            "empty": b"",
            "half": whole[: len(whole) // 2],
            "zeroed sector": bytes(512) + whole[512:],
            "garbage": b"no store\n" * 1000,
            "zeroed block": whole[:4096] + bytes(4096) + whole[8192:],
        }[damage]
    )
    refused(qemu, kept, image)


def test_a_file_of_something_else(qemu: Path, image: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("valuable")
    refused(qemu, path, image, "no scsi-pr store")
