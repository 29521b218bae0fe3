# SPDX-License-Identifier: GPL-2.0-or-later
"""libiscsi's iscsi-test-cu: what it has on reservations, at a device and with two initiators.

Most of it needs two iSCSI initiators at one logical unit. They get it inside the guest: an iSCSI
target (image/iscsi-target) hands every CDB of an initiator to one of the node's two paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from guest.lib.agent import Result
from guest.lib.nodes import Node, clean

OTHER_QEMUS_TAKE_LONG = True

INITIATORS = ["iqn.2008-11.org.linux-kvm:one", "iqn.2008-11.org.linux-kvm:two"]
TARGET = "iqn.2008-11.org.linux-kvm:shared"
OPTIONS = f"--dataloss --initiator-name={INITIATORS[0]} --initiator-name-2={INITIATORS[1]}"

# Families that need no second initiator.
AT_A_DEVICE = [
    "PrinReadKeys",
    "PrinServiceactionRange",
    "PrinReportCapabilities",
    "ProutRegister",
    "ProutReserve.Simple",
    "ProutClear",
    "Reserve6.Simple",
]
WITH_TWO_INITIATORS = [
    "PrinReadKeys",
    "PrinServiceactionRange",
    "PrinReportCapabilities",
    "ProutRegister",
    "ProutReserve",
    "ProutClear",
    "ProutPreempt",
    "Reserve6.Simple",
    "Reserve6.2Initiators",
    "Reserve6.LUNReset",
]
# Not here, because they cannot pass or say nothing behind a target that hands CDBs on:
# Reserve6.Logout, Reserve6.ITNexusLoss: LIO does not tell a pscsi disk that a session has ended;
# Reserve6.TargetColdReset, Reserve6.TargetWarmReset: LIO rejects these functions, and they skip.
# ReportSupportedOpcodes.OneCommand: takes the refusal of a bad request for "not implemented".
# Sanitize.Reservations and the like: scsi-hd has no SANITIZE, and they skip.


@pytest.fixture(scope="session")
def target(booted: tuple[Node, Node]) -> Iterator[Node]:
    """Node A with an iSCSI target in front of its paths."""
    node = booted[0]
    mappings = [f"{name}={path.device}" for name, path in zip(INITIATORS, node.paths)]
    node.vm.run(f"iscsi-target {TARGET} {' '.join(mappings)}", check=True)
    yield node


def passed(result: Result) -> None:
    """Every test of the family has run, has skipped nothing, and has passed."""
    total = re.search(r"tests +(\d+) +(\d+) +(\d+) +(\d+)", result.out)
    assert total and int(total[2]) > 0 and total[1] == total[2] == total[3], str(result)
    tests = result.out.partition("Suite: ")[2]  # before them it tries what it may skip later
    assert "[SKIPPED]" not in tests, str(result)


@pytest.mark.parametrize("family", AT_A_DEVICE)
def test_at_a_device(nodes: tuple[Node, Node], family: str) -> None:
    path = nodes[0].paths[0]
    passed(path.vm.run(f"iscsi-test-cu --dataloss --test=SCSI.{family} {path.device}"))


@pytest.mark.parametrize("family", WITH_TWO_INITIATORS)
def test_with_two_initiators(target: Node, nodes: tuple[Node, Node], family: str) -> None:
    url = f"iscsi://127.0.0.1/{TARGET}/0"
    passed(target.vm.run(f"iscsi-test-cu {OPTIONS} --test=SCSI.{family} {url}", timeout=60))
    clean(nodes)
    assert nodes[1].paths[0].keys() == []
