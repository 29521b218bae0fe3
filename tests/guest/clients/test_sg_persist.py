# SPDX-License-Identifier: GPL-2.0-or-later
"""sg_persist: every service action, and what it decodes, from one VM and from two."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from guest.lib.agent import Result
from guest.lib.expect import conflict, drain, good, told
from guest.lib.nodes import Node, Path
from guest.lib.scsi import Registration, Reservation, sense

OTHER_QEMUS_TAKE_LONG = True

KEY_X, KEY_Y, KEY_Z = 0xABC0001, 0xABC0002, 0xABC0003
TYPES = [1, 3, 5, 6, 7, 8]
INVALID_RELEASE = "ILLEGAL REQUEST, INVALID RELEASE OF PERSISTENT RESERVATION"
INVALID_FIELD_IN_LIST = "ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST"

Two = tuple[Path, Path]


def registered(path: Path, key: int, type: int | None = None) -> Registration:
    """What READ FULL STATUS says of a registration for one target port."""
    return Registration(key, path.port, path.wwpn, type)


# --- PERSISTENT RESERVE IN


def test_read_keys(two: Two) -> None:
    x, y = two
    assert re.search("there are NO registered reservation keys", x.persist("-i -k").out)
    good(x.register(KEY_X), y.register(KEY_Y))
    said = y.persist("--in --read-keys").out
    listed = r"2 registered reservation keys follow:\s+0xabc0001\s+0xabc0002$"
    assert re.search(rf"PR generation=0x[0-9a-f]+, {listed}", said, re.M), said


def test_read_reservation(two: Two) -> None:
    x, y = two
    good(x.register(KEY_X))
    assert "there is NO reservation held" in y.persist("--in --read-reservation").out
    good(x.reserve(KEY_X, 3))
    said = y.persist("-i -r").out
    assert re.search(r"Key=0xabc0001\s+scope: LU_SCOPE,  type: Exclusive Access$", said, re.M), said


def test_report_capabilities(nodes: tuple[Node, Node]) -> None:
    told = nodes[0].paths[0].capabilities()
    told = {re.sub(r".*\((.+)\)", r"\1", name): value for name, value in told.items()}
    del told["RLR_C"]  # REPLACE LOST RESERVATION: test_replace_lost
    every_type = {
        "Write Exclusive", "Exclusive Access", "Write Exclusive, registrants only",
        "Exclusive Access, registrants only", "Write Exclusive, all registrants",
        "Exclusive Access, all registrants",
    }  # fmt: skip
    bits = {"CRH": 1, "SIP_C": 1, "ATP_C": 1, "PTPL_C": 1, "TMV": 1, "PTPL_A": 0}
    assert told == bits | {"Allow Commands": 3} | dict.fromkeys(every_type, 1)


def test_read_full_status(two: Two) -> None:
    x, y = two
    assert x.full_status() == []
    good(x.register(KEY_X), y.register(KEY_Y), y.reserve(KEY_Y, 6))
    assert x.full_status() == [registered(x, KEY_X), registered(y, KEY_Y, 6)]
    good(y.release(KEY_Y, 6), y.reserve(KEY_Y, 8))
    assert x.full_status() == [registered(x, KEY_X, 8), registered(y, KEY_Y, 8)]


def test_lengths_are_not_those_of_the_allocation(nodes: tuple[Node, Node]) -> None:
    """ADDITIONAL LENGTH tells what there is, however little is asked for (SPC-3 4.3.4.6, 6.11)."""
    x, y = nodes[0].paths[0], nodes[1].paths[0]
    good(x.register(KEY_X), y.register(KEY_Y), y.reserve(KEY_Y))
    for action, length in ((0, 2 * 8), (1, 16), (3, 2 * (24 + 24))):
        for allocation in (8, 15):
            cdb = f"5e {action:02x} 00 00 00 00 00 00 {allocation:02x} 00"
            data = x.raw(cdb, f"-b -r {allocation}").stdout
            assert len(data) == min(allocation, 8 + length)
            assert int.from_bytes(data[4:8], "big") == length, f"READ {action}, {allocation} bytes"


# --- PERSISTENT RESERVE OUT


def test_register(two: Two) -> None:
    x, y = two
    conflict(x.register(KEY_X, old=KEY_Z))
    good(x.register(KEY_X), y.register(KEY_X))
    assert y.full_status() == [registered(x, KEY_X), registered(y, KEY_X)], "one key, two nexuses"
    conflict(y.register(KEY_Y), y.register(KEY_Y, old=KEY_Y))
    good(y.register(KEY_Y, old=KEY_X), x.register(0, old=KEY_X))
    assert x.full_status() == [registered(y, KEY_Y)]


def test_register_and_ignore(two: Two) -> None:
    x, y = two
    good(x.register_and_ignore(KEY_X), y.register_and_ignore(KEY_Y), y.register_and_ignore(KEY_Z))
    assert x.keys() == [KEY_X, KEY_Z]
    good(x.register_and_ignore(0), x.register_and_ignore(0))
    assert x.keys() == [KEY_Z]


@pytest.mark.parametrize("type", TYPES)
def test_reserve_and_release(nodes: tuple[Node, Node], type: int) -> None:
    """SPC-3 5.6.9, 5.6.10.2: only types 5 to 8 have others to tell of the release."""
    x, y = nodes[0].paths[0], nodes[1].paths[0]
    good(x.register(KEY_X), y.register(KEY_Y))
    good(x.reserve(KEY_X, type), x.reserve(KEY_X, type))
    (good if type >= 7 else conflict)(y.reserve(KEY_Y, type))
    conflict(y.reserve(KEY_Y, 1 if type == 3 else 3))
    if type < 7:
        good(y.release(KEY_Y, type))
        assert y.reservation() == Reservation(KEY_X, type), "not the holder: nothing is released"
    good(x.release(KEY_X, type), x.release(KEY_X, type))
    if type >= 5:
        told(y, "RESERVATIONS RELEASED")
    else:
        good(y.test_unit_ready())
    assert y.reservation() is None


def test_clear(two: Two) -> None:
    x, y = two
    good(x.register(KEY_X), y.register(KEY_Y), x.reserve(KEY_X))
    conflict(y.clear(KEY_X))
    good(y.clear(KEY_Y))
    told(x, "RESERVATIONS PREEMPTED")
    assert x.full_status() == [] and y.reservation() is None


def test_preempt(two: Two) -> None:
    x, y = two
    good(x.register(KEY_X), y.register(KEY_Y), x.reserve(KEY_X, 5))
    conflict(y.preempt(KEY_Y, KEY_Z))
    good(y.preempt(KEY_Y, KEY_X, type=6))
    told(x, "REGISTRATIONS PREEMPTED")
    assert x.full_status() == [registered(y, KEY_Y, 6)]
    conflict(x.reserve(KEY_X), x.preempt(KEY_X, KEY_Y))


def test_preempt_without_reservation(two: Two) -> None:
    x, y = two
    good(x.register(KEY_X), y.register(KEY_Y), y.preempt(KEY_Y, KEY_X))
    assert y.full_status() == [registered(y, KEY_Y)]


def test_preempt_and_abort(two: Two) -> None:
    x, y = two
    good(x.register(KEY_X), y.register(KEY_Y), x.reserve(KEY_X, 5))
    conflict(y.persist(f"-o --preempt-abort -T 5 -K {KEY_Y:#x} -S {KEY_Z:#x}"))
    good(y.persist(f"-o --preempt-abort -T 5 -K {KEY_Y:#x} -S {KEY_X:#x}"))
    told(x, "REGISTRATIONS PREEMPTED")
    assert x.full_status() == [registered(y, KEY_Y, 5)]
    conflict(x.write("fenced", 0))


def test_replace_lost(two: Two) -> None:
    """SPC-4 5.13.11.3: nothing was lost, so there is nothing to replace."""
    x, y = two
    good(x.register(KEY_X), x.reserve(KEY_X))
    before = x.generation()
    refused = y.persist(f"-v -o --replace-lost -T 5 -S {KEY_Y:#x}")
    assert sense(refused) == INVALID_RELEASE, str(refused)
    assert y.full_status() == [registered(x, KEY_X, 5)] and y.generation() == before


def move(path: Path, to: Path, key: int, new: int, options: str = "") -> Result:
    keys, target = f"-K {key:#x} -S {new:#x}", f"-Q {to.port} -X {to.transport_id}"
    return path.persist(f"-v -o --register-move {keys} {target} {options}".rstrip())


@pytest.mark.parametrize("type", [1, 6])
def test_register_and_move(two: Two, type: int) -> None:
    """The reservation keeps scope and type, whatever the CDB has in their place (SPC-3 5.6.8)."""
    x, y = two
    good(x.register(KEY_X), x.reserve(KEY_X, type))
    conflict(move(y, x, KEY_X, KEY_Z))
    good(move(x, y, KEY_X, KEY_Y, "-T 3"))
    assert y.full_status() == [registered(x, KEY_X), registered(y, KEY_Y, type)]
    good(y.write("the new holder", 0), move(y, x, KEY_Y, KEY_Z, "--unreg"))
    assert y.full_status() == [registered(x, KEY_Z, type)]


def test_register_and_move_to_oneself(nodes: tuple[Node, Node]) -> None:
    """5.6.8 c): not to the sender's own initiator port, through whichever target port."""
    one, other = nodes[0].paths
    good(one.register(KEY_X), one.reserve(KEY_X))
    refused = move(one, other, KEY_X, KEY_Y)
    assert sense(refused) == INVALID_FIELD_IN_LIST, str(refused)
    assert other.full_status() == [registered(one, KEY_X, 5)]


# --- parameters


def test_aptpl(two: Two) -> None:
    """The APTPL bit of the last REGISTER counts; test_power_loss cuts the power."""
    x, y = two
    active = "Persist Through Power Loss Active(PTPL_A)"
    good(x.register(KEY_X, options="--param-aptpl"))
    assert y.capabilities()[active] == 1
    good(x.reserve(KEY_X), x.release(KEY_X))
    assert y.capabilities()[active] == 1
    good(y.register(KEY_Y))
    assert x.capabilities()[active] == 0


def test_all_target_ports(nodes: tuple[Node, Node]) -> None:
    """--param-alltgpt: one registration, in force through every target port."""
    (one, other), stranger = nodes[0].paths, nodes[1].paths[0]
    good(one.register(KEY_X, options="--param-alltgpt"), stranger.register(KEY_Y))
    everywhere = Registration(KEY_X, None, one.wwpn)
    assert stranger.full_status() == [everywhere, registered(stranger, KEY_Y)]
    good(stranger.reserve(KEY_Y, 6), one.write("port 1", 0), other.write("port 2", 1))
    conflict(nodes[1].paths[1].write("not registered", 2))
    good(stranger.preempt(KEY_Y, KEY_X))
    told(one, "REGISTRATIONS PREEMPTED")
    told(other, "REGISTRATIONS PREEMPTED")
    conflict(one.write("port 1", 0), other.write("port 2", 1))


def specify(path: Path, options: str, ports: Iterable[str]) -> Result:
    """sg_persist takes a list of TransportIDs on stdin, and sets SPEC_I_PT."""
    lines = "".join(f"{port}\\n" for port in ports)
    command = f"sg_persist -n -v -o {options} --transport-id=- {path.device}"
    return path.vm.run(f"printf '{lines}' | {command}")


def test_transport_ids(nodes: tuple[Node, Node]) -> None:
    """The sender and the listed ports are registered, or none of them is."""
    (sender, elsewhere), (first, second) = nodes[0].paths, nodes[1].paths
    listed = [first.transport_id, second.transport_id]
    good(second.register(KEY_Y))
    refused = specify(sender, f"--register -S {KEY_X:#x}", listed)
    assert sense(refused) == INVALID_FIELD_IN_LIST, str(refused)
    assert sender.full_status() == [registered(second, KEY_Y)]
    good(second.register(0, old=KEY_Y), specify(sender, f"--register -S {KEY_X:#x}", listed))
    assert first.full_status() == [registered(each, KEY_X) for each in (sender, first, second)]
    good(sender.reserve(KEY_X, 6), first.write("registered", 0), second.write("registered", 1))
    conflict(elsewhere.write("another target port", 2))


def test_transport_ids_with_register_and_ignore(nodes: tuple[Node, Node]) -> None:
    sender, (first, second) = nodes[0].paths[0], nodes[1].paths
    good(second.register(KEY_Y))
    listed = [first.transport_id, second.transport_id]
    good(specify(sender, f"--register-ignore -S {KEY_X:#x}", listed))
    status = {(each.wwpn, each.key) for each in first.full_status()}
    assert status == {(path.wwpn, KEY_X) for path in (sender, first, second)}


def test_many_registrants(nodes: tuple[Node, Node]) -> None:
    """Not sixteen, nor what fits into one small buffer."""
    sender, other = nodes[0].paths[0], nodes[1].paths[0]
    ports = [f"21000000000c{n:04x}" for n in range(30)]
    good(specify(sender, f"--register -S {KEY_X:#x}", [f"fcp,{port}" for port in ports]))
    assert {each.wwpn for each in other.full_status()} == {sender.wwpn, *ports}
    good(other.register(KEY_Y), other.preempt(KEY_Y, KEY_X))
    assert sender.full_status() == [registered(other, KEY_Y)]


# --- who is told


def test_who_never_registered_is_told_nothing(nodes: tuple[Node, Node]) -> None:
    (x, other), (y, stranger) = nodes[0].paths, nodes[1].paths
    good(x.register(KEY_X), y.register(KEY_Y), x.reserve(KEY_X), x.release(KEY_X), x.reserve(KEY_X))
    good(stranger.test_unit_ready(), other.test_unit_ready())
    drain(y)
    good(y.preempt(KEY_Y, KEY_X), y.clear(KEY_Y))
    good(stranger.test_unit_ready(), other.test_unit_ready())
