# SPDX-License-Identifier: GPL-2.0-or-later
"""SCSI commands as a guest's administrator types them, and what their results mean.

Exit codes are those of sg3_utils (sg3_utils(8)), which carry the SCSI status and sense key.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from .agent import Result
from .vm import VM

GOOD = "GOOD"
CONFLICT = "RESERVATION CONFLICT"
UNIT_ATTENTION = "UNIT ATTENTION"

_OUTCOMES = {
    0: GOOD,
    2: "NOT READY",
    3: "MEDIUM ERROR",
    5: "ILLEGAL REQUEST",
    6: UNIT_ATTENTION,
    7: "DATA PROTECT",
    9: "ILLEGAL REQUEST",  # INVALID COMMAND OPERATION CODE has an exit code of its own
    11: "ABORTED COMMAND",
    19: "ILLEGAL REQUEST",  # INVALID FIELD IN PARAMETER LIST, since sg3-utils 1.48
    24: CONFLICT,
    33: "TIMEOUT",
}

# Linux knows one reason for this errno of a block device: RESERVATION CONFLICT (BLK_STS_NEXUS).
_EBADE = "Invalid exchange"


def outcome(result: Result) -> str:
    """The SCSI status or sense key that a command of sg3_utils, or dd, reports."""
    if result.command.startswith(("dd ", "sg_dd ")) or "| dd " in result.command:
        if _EBADE in result.err:
            return CONFLICT
        return GOOD if result.code == 0 else f"exit code {result.code}: {result.err.strip()}"
    return _OUTCOMES.get(result.code, f"exit code {result.code}")


def sense(result: Result) -> str:
    """The outcome of sg_raw with the additional sense, in T10's words."""
    said = re.search(r"Additional sense: (.+)", result.out + result.err)
    return outcome(result) + (f", {said[1].strip().upper()}" if said else "")


@dataclass
class Reservation:
    """What READ RESERVATION says."""

    key: int
    type: int


@dataclass
class Registration:
    """A full status descriptor of READ FULL STATUS."""

    key: int
    port: int | None  # relative target port; None: all target ports (ALL_TG_PT)
    wwpn: str  # of an FCP TransportID
    type: int | None = None  # of the reservation that this nexus holds


@dataclass
class Initiator:
    """A guest's view of a logical unit. Every method returns the command's result, unchecked."""

    vm: VM
    device: str = "/dev/sda"

    @property
    def probe(self) -> str:
        """A command that reports a unit attention condition; allowed by reservations that let
        everybody read."""
        return f"sg_raw {self.device} 00 00 00 00 00 00"

    def persist(self, options: str) -> Result:
        """sg_persist without its INQUIRY (-n), as fence_scsi calls it."""
        return self.vm.run(f"sg_persist -n {options} {self.device}")

    def register(self, new: int, old: int = 0, options: str = "") -> Result:
        return self.persist(f"-o -G -K {old:#x} -S {new:#x} {options}".rstrip())

    def register_and_ignore(self, new: int, options: str = "") -> Result:
        return self.persist(f"-o -I -S {new:#x} {options}".rstrip())

    def reserve(self, key: int, type: int = 5) -> Result:
        return self.persist(f"-o -R -T {type} -K {key:#x}")

    def release(self, key: int, type: int = 5) -> Result:
        return self.persist(f"-o -L -T {type} -K {key:#x}")

    def clear(self, key: int) -> Result:
        return self.persist(f"-o -C -K {key:#x}")

    def preempt(self, key: int, victim: int, type: int = 5) -> Result:
        return self.persist(f"-o -P -T {type} -K {key:#x} -S {victim:#x}")

    def preempt_and_abort(self, key: int, victim: int, type: int = 5) -> Result:
        return self.persist(f"-o -A -T {type} -K {key:#x} -S {victim:#x}")

    def test_unit_ready(self) -> Result:
        """With the sense data in the output, so that a unit attention can be told from another."""
        return self.vm.run(f"sg_raw {self.device} 00 00 00 00 00 00")

    def write(self, text: str, block: int) -> Result:
        """Write a 512-byte block as an application does, past the guest's page cache."""
        return self.vm.run(
            f"printf %s {shlex.quote(text)} | "
            f"dd of={self.device} bs=512 seek={block} count=1 conv=sync oflag=direct"
        )

    def read(self, block: int) -> Result:
        return self.vm.run(f"dd if={self.device} bs=512 skip={block} count=1 iflag=direct")

    def raw(self, cdb: str, options: str = "") -> Result:
        """Any CDB, in hexadecimal."""
        return self.vm.run(f"sg_raw {options} {self.device} {cdb}")

    # What the logical unit says, parsed. Unit attentions that wait are taken and passed over;
    # anything else than GOOD fails.

    def keys(self) -> list[int]:
        """READ KEYS: one key for each registration, in the order told, duplicates kept."""
        return [int(k, 16) for k in re.findall(r"^ +0x([0-9a-f]+)$", self._in("-k"), re.M)]

    def generation(self) -> int:
        found = re.search(r"PR generation=0x([0-9a-f]+)", self._in("-k"))
        assert found, "READ KEYS without a PRgeneration"
        return int(found[1], 16)

    def reservation(self) -> Reservation | None:
        said = self._in("-r")
        if "there is NO reservation held" in said:
            return None
        key = re.search(r"Key=0x([0-9a-f]+)", said)
        kind = re.search(r"type: (.+)$", said, re.M)
        assert key and kind, said
        return Reservation(int(key[1], 16), TYPES[kind[1].strip()])

    def full_status(self) -> list[Registration]:
        return [_registration(text) for text in self._in("-s").split("    Key=")[1:]]

    def capabilities(self) -> dict[str, int]:
        """REPORT CAPABILITIES in sg_persist's words, each with its value."""
        told = re.findall(r"^ +(.+): (\d)$", self._in("-c"), re.M)
        return {name: int(value) for name, value in told}

    def _in(self, option: str) -> str:
        command = f"sg_persist -n -i {option} {self.device}"
        for _ in range(4):
            result = self.vm.run(command)
            if outcome(result) != UNIT_ATTENTION:
                break
        assert outcome(result) == GOOD, str(result)
        return result.out


def _registration(text: str) -> Registration:
    """One descriptor as sg_persist -s shows it, after `Key=`."""
    port = re.search(r"Relative port address: 0x([0-9a-f]+)", text)
    kind = re.search(r"<< Reservation holder >>\s+scope: LU_SCOPE,  type: (.+)$", text, re.M)
    wwpn = re.search(r"FCP-2 World Wide Name:\s+((?:[0-9a-f]{2} ){7}[0-9a-f]{2})", text)
    assert wwpn and bool(port) != ("All target ports bit set" in text), text
    assert kind or "not reservation holder" in text, text
    return Registration(
        key=int(text.split()[0], 16),
        port=int(port[1], 16) if port else None,
        wwpn=wwpn[1].replace(" ", ""),
        type=TYPES[kind[1].strip()] if kind else None,
    )


TYPES = {
    "Write Exclusive": 1,
    "Exclusive Access": 3,
    "Write Exclusive, registrants only": 5,
    "Exclusive Access, registrants only": 6,
    "Write Exclusive, all registrants": 7,
    "Exclusive Access, all registrants": 8,
}
