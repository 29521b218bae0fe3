# SPDX-License-Identifier: GPL-2.0-or-later
"""Persistent reservations between two Linux guests."""

from __future__ import annotations

import pytest

from guest.lib.expect import conflict, drain, good, told
from guest.lib.scsi import Initiator, Reservation, outcome, sense
from guest.lib.vm import VM

OTHER_QEMUS_TAKE_LONG = True

KEY_A, KEY_B = 0xABC0001, 0xABC0002
ILLEGAL_REQUEST = "ILLEGAL REQUEST"


@pytest.fixture
def both(pair: tuple[VM, VM]) -> tuple[Initiator, Initiator]:
    """Guests A and B with nothing registered and no unit attention waiting."""
    a, b = (Initiator(vm) for vm in pair)
    drain(a, b)
    good(a.register_and_ignore(1), a.clear(1))
    drain(a, b)
    assert a.keys() == [] and b.reservation() is None
    return a, b


# --- who may do what


# Clause: 5.6.1: holder; 5.6.1: registrants; table 33: WRITE(10)
@pytest.mark.parametrize("type", [1, 3, 5, 6, 7, 8])
def test_access_of_other_nexuses(both: tuple[Initiator, Initiator], type: int) -> None:
    a, b = both
    good(a.register(KEY_A), a.reserve(KEY_A, type))
    assert b.reservation() == Reservation(0 if type >= 7 else KEY_A, type)
    good(a.write("holder", 0), a.read(0), b.test_unit_ready())
    conflict(b.write("not registered", 1))
    (conflict if type in (3, 6, 8) else good)(b.read(0))
    good(b.register(KEY_B))
    if type in (1, 3):
        conflict(b.write("registered, not holder", 1))
        (conflict if type == 3 else good)(b.read(0))
    else:
        good(b.write("registrant", 1), b.read(0))
    good(a.release(KEY_A, type))
    drain(a, b)
    good(a.register(0, KEY_A), b.register(0, KEY_B), b.write("free again", 1))


def test_wrong_keys_and_types_conflict(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    conflict(a.register(KEY_A, old=0x99), a.reserve(KEY_A))
    good(a.register(KEY_A))
    conflict(a.register(KEY_A, old=0x99), a.reserve(0x99), a.clear(0x99), b.clear(KEY_A))
    good(a.reserve(KEY_A, 5), b.register(KEY_B))
    conflict(b.reserve(KEY_B, 5), a.reserve(KEY_A, 6), b.preempt(0x99, KEY_A), b.preempt(KEY_B, 0x99))
    wrong_type = a.release(KEY_A, 6)
    assert outcome(wrong_type) == ILLEGAL_REQUEST, str(wrong_type)
    good(a.reserve(KEY_A, 5), b.release(KEY_B, 5))
    assert a.reservation() == Reservation(KEY_A, 5)


# Clause: 6.11.3: PRGENERATION
def test_generation_counts_changes(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    start = b.generation()
    good(a.register(KEY_A), a.reserve(KEY_A), a.release(KEY_A))
    assert b.generation() == start + 1
    good(b.register(KEY_B), b.preempt(KEY_B, KEY_A))
    assert a.generation() == b.generation() == start + 3


# --- what the other nexuses are told


# Clause: 5.6.8.4.3: e
def test_preempted_guest_is_told_and_kept_out(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    good(a.register(KEY_A), a.reserve(KEY_A), b.register(KEY_B), b.preempt(KEY_B, KEY_A))
    told(a, "REGISTRATIONS PREEMPTED")
    conflict(a.write("preempted", 0), a.reserve(KEY_A))
    good(b.test_unit_ready(), b.write("holder", 0))
    assert b.keys() == [KEY_B] and a.reservation() == Reservation(KEY_B, 5)


def test_linux_retries_unit_attentions_by_itself(both: tuple[Initiator, Initiator]) -> None:
    """An application sees the conflict, not the unit attention before it."""
    a, b = both
    good(a.register(KEY_A), a.reserve(KEY_A), b.register(KEY_B), b.preempt(KEY_B, KEY_A))
    conflict(a.write("preempted", 0))


# Clause: 5.6.8.2: unit attentions
def test_release_tells_the_other_registrants(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    good(a.register(KEY_A), b.register(KEY_B), a.reserve(KEY_A), a.release(KEY_A))
    told(b, "RESERVATIONS RELEASED")
    good(a.test_unit_ready())


# Clause: 5.6.8.6: e
def test_clear_tells_the_other_registrants(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    good(a.register(KEY_A), b.register(KEY_B), a.reserve(KEY_A), b.clear(KEY_B))
    told(a, "RESERVATIONS PREEMPTED")
    good(b.test_unit_ready())
    assert a.keys() == [] and a.reservation() is None


# Clause: 5.6.8.3: holder; 5.6.8.3: unit attentions
def test_unregistering_holder_releases(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    good(a.register(KEY_A), b.register(KEY_B), a.reserve(KEY_A), a.register(0, KEY_A))
    told(b, "RESERVATIONS RELEASED")
    assert b.keys() == [KEY_B] and b.reservation() is None


# --- what outlives what


def attempt_after(both: tuple[Initiator, Initiator]) -> None:
    """A, out and in again, is what it was: registered, and the holder."""
    a, b = both
    drain(a)
    assert b.keys() == [KEY_A] and a.reservation() == Reservation(KEY_A, 5)
    good(a.write("the same nexus", 0))
    conflict(b.write("not registered", 1))


# Clause: 5.6.3: nexus loss and resets
@pytest.mark.parametrize("how", ["reboot", "restart", "kill"])
def test_registration_outlives(both: tuple[Initiator, Initiator], how: str) -> None:
    """Guest resets, and the QEMU process as long as another nexus is attached (no power off)."""
    a, b = both
    good(a.register(KEY_A), a.reserve(KEY_A))
    if how == "kill":
        a.vm.kill()
        conflict(b.write("the holder is dead, its reservation is not", 1))
        a.vm.start()
        a.vm.wait_up()
    else:
        getattr(a.vm, how)()
    attempt_after(both)


# Clause: 5.6.3: power cycle with APTPL; 5.6.3: power cycle without APTPL
@pytest.mark.parametrize("aptpl", [True, False])
def test_power_loss(both: tuple[Initiator, Initiator], aptpl: bool) -> None:
    """When the last QEMU has ended the logical unit is off: only APTPL (-Z) keeps its state."""
    a, b = both
    good(a.register(KEY_A, options="-Z" if aptpl else ""), a.reserve(KEY_A))
    for each in (a, b):
        each.vm.stop()
    for each in (a, b):
        each.vm.start()
    for each in (a, b):
        each.vm.wait_up()
    if aptpl:
        attempt_after(both)
    else:
        assert b.keys() == [] and b.reservation() is None
        good(b.write("nobody holds it", 1))


# --- the host's view


def test_query_scsi_pr(both: tuple[Initiator, Initiator]) -> None:
    a, b = both
    good(a.register(KEY_A), b.register(KEY_B), a.reserve(KEY_A, 6))
    ((own,), (other,)) = (each.vm.qmp.execute("query-scsi-pr") for each in both)
    assert own["device"] == other["device"] == "disk0" and own["store"] == other["store"]
    assert own["initiator"] != other["initiator"], "each VM is an initiator of its own"
    nexuses = [{"initiator": each["initiator"], "target-port": 1} for each in (own, other)]
    keys = [f"0x{key:016x}" for key in (KEY_A, KEY_B)]
    registrations = [nexus | {"key": key} for nexus, key in zip(nexuses, keys)]
    assert own["state"] == other["state"] == {
        "pr-generation": a.generation(),
        "aptpl": False,
        "registrations": registrations,
        "reservation": {
            "type": "exclusive-access-registrants-only",
            "scope": "logical-unit",
            "holder": nexuses[0],
        },
    }


# --- hostile


@pytest.mark.parametrize(
    ("cdb", "length", "additional_sense"),
    [
        ("d0 00 00 00 00 00 00 00 00 00", 0, "INVALID COMMAND OPERATION CODE"),
        ("5f 00 00 00 00 00 00 00 17 00", 23, "PARAMETER LIST LENGTH ERROR"),
        ("5f 00 00 00 00 00 00 00 00 00", 0, "PARAMETER LIST LENGTH ERROR"),
        ("5f 1f 00 00 00 00 00 00 18 00", 24, "INVALID FIELD IN CDB"),
        ("5f 01 02 00 00 00 00 00 18 00", 24, "INVALID FIELD IN CDB"),
        ("5f 01 15 00 00 00 00 00 18 00", 24, "INVALID FIELD IN CDB"),
        ("5e 1f 00 00 00 00 00 00 08 00", 0, "INVALID FIELD IN CDB"),
    ],
    ids=["opcode", "list of 23", "no list", "service action", "type 2", "scope 1", "read 1fh"],
)
def test_malformed_command(
    both: tuple[Initiator, Initiator], cdb: str, length: int, additional_sense: str
) -> None:
    """The standard's sense data, and nothing changes; A is registered with the key sent (0xa)."""
    a, b = both
    good(a.register(0xA), a.reserve(0xA))
    before = a.generation()
    a.vm.run(f"printf '%016x%032x' 10 0 | xxd -r -p | head -c {length} >/tmp/list", check=True)
    wrong = a.raw(cdb, f"-s {length} -i /tmp/list" if length else "-r 8")
    assert sense(wrong) == f"{ILLEGAL_REQUEST}, {additional_sense}", str(wrong)
    assert a.generation() == before and b.reservation() == Reservation(0xA, 5)
