# SPDX-License-Identifier: GPL-2.0-or-later
"""Third-party persistent reservations: a backup application lends its reservation to a copy manager.

The story of 5.6.8.tp in the proposal for third-party persistent reservations: register, reserve,
REGISTER AND MOVE, copy, take the reservation back with PREEMPT.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.agent import Result
from guest.lib.disk import Disk
from guest.lib.scsi import CONFLICT, GOOD, UNIT_ATTENTION, Initiator, Reservation, outcome, sense
from guest.lib.vm import VM, boot

OTHER_QEMUS_TAKE_LONG = True

EXCLUSIVE_ACCESS = 3
KEY = 0xBAC
COPY_MANAGER_KEY = 0xC0
ADDRESS = {"application": "5000c50000000001", "manager": "5000c50000000002", "other": "5000c50000000003"}


@pytest.fixture(scope="module")
def three(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Initiator]]:
    directory = tmp_path_factory.mktemp("backup")
    image = disk.create(directory / "tape.img")
    store = f"file:{directory}/tape.pr"
    vms = [
        VM(name, [Disk(image, pr_store=store, pr_initiator=f"naa.{address}")], binary=qemu)
        for name, address in ADDRESS.items()
    ]
    try:
        boot(vms)
        yield {vm.name: Initiator(vm) for vm in vms}
    finally:
        for vm in vms:
            vm.close()


def preempt_port(initiator: Initiator, key: int, victim: int, address: str) -> Result:
    """PREEMPT with SPEC_I_PT, which sg_persist cannot send: one SAS TransportID (SPC-3 7.5.4.7)."""
    transport_id = "06000000" + address + "00" * 12
    parameters = f"{key:016x}{victim:016x}" + "00000000" + "08000000" + "00000018" + transport_id
    escaped = "".join(f"\\\\x{parameters[i : i + 2]}" for i in range(0, len(parameters), 2))
    cdb = f"5f 04 0{EXCLUSIVE_ACCESS} 00 00 00 00 00 34 00"
    return initiator.vm.run(f"printf {escaped} | sg_raw -s 52 {initiator.device} {cdb}")


# Clause: 5.6.8.tp; 5.6.rm: 1 to 3
@pytest.mark.parametrize("by", ["key", "initiator port"])
def test_backup_story(three: dict[str, Initiator], by: str) -> None:
    application, manager, other = (three[name] for name in ADDRESS)
    # By initiator port one key serves both, so that it alone would not tell them apart.
    manager_key = COPY_MANAGER_KEY if by == "key" else KEY
    for initiator in three.values():
        initiator.keys()  # takes the unit attentions that wait
    assert outcome(application.register(KEY)) == GOOD
    assert outcome(application.reserve(KEY, EXCLUSIVE_ACCESS)) == GOOD
    assert outcome(application.write("prepared", 0)) == GOOD

    move = f"-o -M -K {KEY:#x} -S {manager_key:#x} -Q 1 -X sas,{ADDRESS['manager']}"
    assert outcome(application.persist(move)) == GOOD
    assert other.reservation() == Reservation(manager_key, EXCLUSIVE_ACCESS)
    assert sorted(other.keys()) == sorted([KEY, manager_key])

    assert outcome(manager.write("copied", 1)) == GOOD
    for initiator in (application, other):
        assert outcome(initiator.write("not now", 2)) == CONFLICT
        assert outcome(initiator.read(1)) == CONFLICT

    if by == "key":
        back = application.preempt(KEY, manager_key, EXCLUSIVE_ACCESS)
    else:
        back = preempt_port(application, KEY, manager_key, ADDRESS["manager"])
    assert outcome(back) == GOOD, str(back)
    assert application.reservation() == Reservation(KEY, EXCLUSIVE_ACCESS)
    assert application.keys() == [KEY]
    assert sense(manager.test_unit_ready()) == f"{UNIT_ATTENTION}, REGISTRATIONS PREEMPTED"
    assert outcome(manager.write("too late", 3)) == CONFLICT
    assert outcome(application.write("mine again", 4)) == GOOD
    assert outcome(application.clear(KEY)) == GOOD
