# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough of ELF (64-bit, little-endian) to make a file be another one's."""

from __future__ import annotations

import struct
from pathlib import Path

GNU_BUILD_ID = (b"GNU\0", 3)
MADE_FOR = (b"scsi-pr\0", 1)
_PT_NOTE = 4
_MACHINE = 18  # where e_machine is
AARCH64 = 183


def notes(data: bytes) -> list[tuple[bytes, int, int, int]]:
    """Name, type, and where the descriptor is and how long, of every note."""
    found = []
    table, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    for at in range(table, table + size * count, size):
        kind, _, offset, _, _, length, _, align = struct.unpack_from("<IIQQQQQQ", data, at)
        end, align = offset + length, 8 if align == 8 else 4
        while kind == _PT_NOTE and offset < end:
            name, descriptor, type_ = struct.unpack_from("<III", data, offset)
            begin = offset + -(-(12 + name) // align) * align
            found.append((data[offset + 12 : offset + 12 + name], type_, begin, descriptor))
            offset = begin + -(-descriptor // align) * align
    return found


def note(data: bytes, wanted: tuple[bytes, int]) -> tuple[int, int]:
    """Where the descriptor of the one note of that name and type is, and how long."""
    ((_, _, begin, length),) = [each for each in notes(data) if each[:2] == wanted]
    return begin, length


def build_id(path: Path) -> str:
    data = path.read_bytes()
    begin, length = note(data, GNU_BUILD_ID)
    return data[begin : begin + length].hex()


def of_another_build(path: Path, copy: Path) -> str:
    """Copies a program, with another build ID, and returns that."""
    data = bytearray(path.read_bytes())
    begin, _ = note(bytes(data), GNU_BUILD_ID)
    data[begin] ^= 0xFF
    copy.write_bytes(data)
    copy.chmod(0o755)
    return build_id(copy)


def of_another_architecture(path: Path, copy: Path) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, _MACHINE, AARCH64)
    copy.write_bytes(data)
