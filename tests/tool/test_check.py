# SPDX-License-Identifier: GPL-2.0-or-later
"""check: what it finds, what it leaves alone, and what a repair makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guest.lib import disk, store
from guest.lib.disk import Disk
from guest.lib.startup import start
from guest.lib.vm import VM
from tool.run import (
    A, BOTH, DAMAGED, REFUSED, UNUSABLE, document, fails, good, paused, scsi_pr, state_in_qemu,
)  # fmt: skip

ONLY_NEWEST_QEMU = True


@pytest.fixture
def kept(uri: str, path: Path) -> Path:
    """With a state that must not be lost."""
    good("load", uri, "-", stdin=document(BOTH))
    return path


def newest(path: Path, change: str) -> None:
    store.execute(path, f"UPDATE {store.newest(path)} SET {change}")


def older(path: Path, change: str) -> None:
    table = "record_even" if store.newest(path) == "record_odd" else "record_odd"
    store.execute(path, f"UPDATE {table} SET {change}")


def overwrite(path: Path, start: int, text: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(text)


# How it is damaged, what is found, and whether reservation information is lost.
Damage = Callable[[Path], None]
DAMAGES: dict[str, tuple[Damage, str, bool]] = {
    "newest": (lambda p: newest(p, "document = 'x'"), "newest-record-damaged", True),
    "checksum": (
        lambda p: newest(p, "document = replace(document, '000a', '000b')"),
        "newest-record-damaged",
        True,
    ),
    "older": (lambda p: older(p, "document = 'x'"), "older-record-damaged", False),
    "identity": (lambda p: store.execute(p, "DELETE FROM identity"), "identity-missing", False),
    "gate name": (lambda p: store.execute(p, "DELETE FROM gate"), "gate-name-missing", False),
    "table": (lambda p: store.execute(p, f"DROP TABLE {store.newest(p)}"), "newest-record-damaged", True),
    "header": (lambda p: overwrite(p, 0, bytes(100)), "file-damaged", True),
    "empty": (lambda p: p.write_bytes(b"") and None, "file-damaged", True),
    "half": (lambda p: p.write_bytes(p.read_bytes()[:4096]) and None, "file-damaged", True),
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
    newest(kept, "document = 'x'")
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
    store.execute(path, "PRAGMA user_version = 99")
    assert "newer" in fails(UNUSABLE, "check", "--repair", uri)


def test_gates(uri: str, kept: Path, vm: VM) -> None:
    gate = Path(f"{kept}-gate")
    whole = gate.read_bytes()
    aside = gate.with_name("aside")
    gate.rename(aside)
    ran = scsi_pr("check", "--output=json", uri)
    assert ran.code == DAMAGED, "a QEMU uses it that nobody else can join"
    assert [each["finding"] for each in ran.json["findings"]] == ["gate-removed"]
    aside.rename(gate)
    good("check", uri)
    vm.close()
    gate.unlink()
    assert "no gate" in good("check", uri).out
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().encode()
    gate.write_bytes(whole.replace(boot, b"0" * len(boot)))
    assert "before the host's start" in good("check", uri).out
    gate.write_bytes(b"?")
    assert "Nothing is damaged" in good("check", uri).out


def test_a_killed_qemu_leaves_a_sound_store(uri: str, kept: Path, vm: VM) -> None:
    good("preempt", uri, "0xb")
    vm.child.kill()
    said = good("check", "--output=json", uri).json
    assert [each["finding"] for each in said["findings"]] == ["log-left"]
    assert len(good("info", "--output=json", uri).json["state"]["registrations"]) == 1


def test_a_lost_log_is_noticed(qemu: Path, uri: str, kept: Path, vm: VM, tmp_path: Path) -> None:
    """What it held was in force: the older state must not come back."""
    good("preempt", uri, "0xb")
    vm.child.kill()
    Path(f"{kept}-wal").unlink()
    ran = scsi_pr("check", "--output=json", uri)
    assert ran.code == DAMAGED
    assert ran.json["findings"][0]["finding"] == "commits-missing"
    image = disk.create(tmp_path / "d.img", size=1 << 20)
    start(qemu, [Disk(image, pr_store=uri)]).refusal("damaged", "scsi-pr check")
    good("check", "--repair", uri)
    again = paused(qemu, image, kept, A)
    try:
        assert state_in_qemu(again)["information-lost"] is True
    finally:
        again.close()


def test_load_and_clear_end_the_loss(uri: str, kept: Path) -> None:
    for command in (("load", uri, "-"), ("clear", uri)):
        newest(kept, "document = 'x'")
        good("check", "--repair", uri)
        assert "information lost" in good("info", uri).out
        assert "information-lost" in good("check", "--output=json", uri).out
        good(*command, stdin=document(BOTH))
        assert "information-lost" not in store.state(kept)
