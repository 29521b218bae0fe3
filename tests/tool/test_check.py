# SPDX-License-Identifier: GPL-2.0-or-later
"""check: what it finds, what it leaves alone, and what a repair makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from guest.lib import disk, store
from guest.lib.disk import Disk
from guest.lib.startup import start
from guest.lib.vm import VM
from tool.run import (
    A, B, BOTH, DAMAGED, DONE, KEY_A, KEY_B, REFUSED, UNUSABLE, document, fails, good, registered,
    scsi_pr, state_in_qemu,
)  # fmt: skip

ONLY_NEWEST_QEMU = True


@pytest.fixture
def kept(uri: str, path: Path) -> Path:
    """With a state that must not be lost, and a record before it that is as large."""
    good("load", uri, "-", stdin=document(registered((A, KEY_A), (B, KEY_B), holder=B)))
    good("load", "--force", uri, "-", stdin=document(BOTH))
    return path


def newest(path: Path) -> None:
    store.damage(path, store.newest(path))


def older(path: Path) -> None:
    store.damage(path, 1 - store.newest(path))


def overwrite(path: Path, start: int, text: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(text)


# How it is damaged, what is found, and whether reservation information is lost.
Damage = Callable[[Path], None]
DAMAGES: dict[str, tuple[Damage, str, bool]] = {
    "newest": (newest, "newest-record-damaged", True),
    "document": (
        lambda p: store.rewrite(p, store.newest(p), lambda body: body.replace(b"000a", b"000b")),
        "newest-record-damaged",
        True,
    ),
    "older": (older, "older-record-damaged", False),
    "header": (lambda p: overwrite(p, 0, bytes(100)), "newest-record-damaged", True),
    "both": (lambda p: (older(p), newest(p)) and None, "nothing-left", True),
    "empty": (lambda p: p.write_bytes(b"") and None, "nothing-left", True),
    "half": (lambda p: p.write_bytes(p.read_bytes()[:4096]) and None, "newest-record-damaged", True),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_repaired(name: str, qemu: Path, uri: str, kept: Path, tmp_path: Path) -> None:
    damage, finding, lost = DAMAGES[name]
    before = store.state(kept)
    damage(kept)
    damaged = kept.read_bytes()
    ran = scsi_pr("check", "--output=json", uri)
    assert ran.code == DAMAGED and ran.json["sound"] is False
    found = [each for each in ran.json["findings"] if each["damage"]]
    assert finding in [each["finding"] for each in found]
    assert all(each["what"] and each["meaning"] and each["action"] for each in found)
    assert kept.read_bytes() == damaged, "nothing was changed"
    text = scsi_pr("check", uri)
    assert text.code == DAMAGED and "Damage: " in text.out and "To do: " in text.out
    if finding != "older-record-damaged":
        shared = Disk(disk.create(tmp_path / "d.img", size=1 << 20), pr_store=uri)
        start(qemu, [shared]).refusal(str(kept), "damaged", "scsi-pr check")
        fails(DAMAGED, "info", uri)
        fails(DAMAGED, "clear", uri)

    repaired = good("check", "--repair", "--output=json", uri).json["repaired"]
    assert repaired["information-lost"] is lost
    assert Path(repaired["damaged"]).read_bytes() == damaged
    assert good("check", "--output=json", uri).json["sound"]
    if lost:
        assert store.state(kept)["information-lost"] is True
    else:
        assert store.state(kept) == before


def test_repair_of_a_sound_store_does_nothing(uri: str, kept: Path) -> None:
    before = kept.read_bytes()
    said = good("check", "--repair", "--output=json", uri).json
    assert said["sound"] and "repaired" not in said
    assert kept.read_bytes() == before
    assert not list(kept.parent.glob("*.damaged-*"))


def test_check_beside_qemu(uri: str, kept: Path, vm: VM) -> None:
    said = good("check", uri).out
    assert said == f"{uri} is sound; 1 I_T nexuses are attached\n"
    assert state_in_qemu(vm)["registrations"] == BOTH["registrations"]


def test_repair_is_refused_while_in_use(uri: str, kept: Path, vm: VM) -> None:
    newest(kept)
    said = scsi_pr("check", "--repair", uri)
    assert said.code == REFUSED and f"{vm.child.pid} (" in said.err
    assert not list(kept.parent.glob("*.damaged-*"))


def test_what_is_no_store_is_left_alone(uri: str, path: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"precious" * 100000)
    huge = tmp_path / "huge.raw"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    for target in (image, huge, tmp_path, Path("/dev/null"), tmp_path / "missing"):
        fails(UNUSABLE, "check", f"file:{target}")
        fails(UNUSABLE, "check", "--repair", f"file:{target}")
    assert image.read_bytes() == b"precious" * 100000
    assert huge.stat().st_size == 1 << 40
    path.write_bytes(path.read_bytes().replace(b"scsi-pr/1 ", b"scsi-pr/9 "))
    assert "newer" in fails(UNUSABLE, "check", "--repair", uri)


def test_memory_that_cannot_be_seen(uri: str, kept: Path, vm: VM, tmp_path: Path) -> None:
    """As from the host, if a container does not share its runtime directory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        ran = scsi_pr("check", "--output=json", f"--runtime-dir={elsewhere}", uri)
    assert ran.code == DONE, "nothing is damaged"
    assert [each["finding"] for each in ran.json["findings"]] == ["memory-elsewhere"]
    good("check", uri)


def test_a_killed_qemu_leaves_a_sound_store(uri: str, kept: Path, vm: VM) -> None:
    good("preempt", uri, "0xb")
    vm.child.kill()
    said = good("check", "--output=json", uri).json
    assert said["findings"] == []
    assert len(good("info", "--output=json", uri).json["state"]["registrations"]) == 1


def test_an_old_copy_is_noticed(qemu: Path, uri: str, kept: Path, vm: VM, tmp_path: Path) -> None:
    """The state in force stays, nobody else joins, and the next changes mend it."""
    old = kept.read_bytes()
    good("preempt", uri, "0xb")
    kept.write_bytes(old)
    ran = scsi_pr("check", "--output=json", uri)
    assert ran.code == DAMAGED
    assert [each["finding"] for each in ran.json["findings"]] == ["commits-missing"]
    assert len(good("info", "--output=json", uri).json["state"]["registrations"]) == 1
    image = disk.create(tmp_path / "d.img", size=1 << 20)
    start(qemu, [Disk(image, pr_store=uri)]).refusal("was on the disk|has lost version")
    assert len(state_in_qemu(vm)["registrations"]) == 1


def test_load_and_clear_end_the_loss(uri: str, kept: Path) -> None:
    for command in (("load", uri, "-"), ("clear", uri)):
        newest(kept)
        good("check", "--repair", uri)
        assert "information lost" in good("info", uri).out
        assert "information-lost" in good("check", "--output=json", uri).out
        good(*command, stdin=document(BOTH))
        assert "information-lost" not in store.state(kept)
