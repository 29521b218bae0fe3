# SPDX-License-Identifier: GPL-2.0-or-later
"""Assertions about the results of SCSI commands, with the whole result in the message."""

from __future__ import annotations

from .agent import Result
from .scsi import CONFLICT, GOOD, UNIT_ATTENTION, Initiator, outcome, sense


def good(*results: Result) -> None:
    for result in results:
        assert outcome(result) == GOOD, str(result)


def conflict(*results: Result) -> None:
    for result in results:
        assert outcome(result) == CONFLICT, str(result)


def drain(*initiators: Initiator) -> None:
    """Take the unit attentions that wait; there are never more than a few."""
    for initiator in initiators:
        drained = initiator.vm.run(TRY.format(initiator.probe))
        assert drained.code == 0, f"it does not become GOOD: {drained}"


# Ends with exit code 0 once the command is GOOD; and that for TEST UNIT READY at a device.
TRY = "for i in 1 2 3 4 5 6 7 8; do {} && exit; done; exit 1"
DRAIN = TRY.format("sg_raw {} 00 00 00 00 00 00")


def told(initiator: Initiator, what: str) -> None:
    """Exactly one unit attention waits, and that is its additional sense."""
    probe = initiator.probe
    both = initiator.vm.run(f"{probe}; first=$?; {probe} >&2 && exit $first")
    assert sense(both) == f"{UNIT_ATTENTION}, {what}", str(both)
