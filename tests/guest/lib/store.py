# SPDX-License-Identifier: GPL-2.0-or-later
"""file: stores, read and written without the code under test: hw/scsi/pr/store/record_format.h says how."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

State = dict[str, Any]

EMPTY: State = {"pr-generation": 0, "aptpl": False, "registrations": []}

SECTOR, BLOCK = 512, 4096
_HEAD = re.compile(rb"scsi-pr/1 ([0-9a-f]{16}) ([0-9a-f]{6}) ([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD_BYTES = 52
_PAYLOAD = SECTOR - _HEAD_BYTES - 1
_UUID = 36


def checksum(state: State) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _sector(version: int, index: int, length: int, payload: bytes) -> bytes:
    front, end = f"scsi-pr/1 {version:016x} {index:06x} {length:08x} ".encode(), payload.ljust(_PAYLOAD) + b"\n"
    return front + f"{zlib.crc32(front + b' ' + end):08x} ".encode() + end


def _encode(version: int, body: bytes) -> bytes:
    parts = [body[at : at + _PAYLOAD] for at in range(0, len(body), _PAYLOAD)]
    blocks = b"".join(_sector(version, index, len(body), part) for index, part in enumerate(parts))
    return blocks + _sector(0, 0, 0, b"") * (-len(blocks) % BLOCK // SECTOR)


def _blocks(contents: bytes, place: int) -> bytes:
    return b"".join(contents[at : at + BLOCK] for at in range(place * BLOCK, len(contents), 2 * BLOCK))


def _record(blocks: bytes) -> tuple[int, bytes]:
    """The version and the body; 0 if there is none."""
    body, heads = b"", set()
    first = _HEAD.match(blocks)
    count = max(1, -(-int(first[3], 16) // _PAYLOAD)) if first else 0
    for at in range(0, count * SECTOR, SECTOR):
        line = blocks[at : at + SECTOR]
        head = _HEAD.match(line)
        if not head or _sector(int(head[1], 16), int(head[2], 16), int(head[3], 16), line[_HEAD_BYTES:-1]) != line:
            return 0, b""
        heads.add((head[1], head[3]))
        body += line[_HEAD_BYTES:-1]
    if len(heads) != 1:
        return 0, b""
    return int(first[1], 16), body[: int(first[3], 16)]  # type: ignore[index]


def newest(path: Path) -> int:
    """The place of the newest record; the other one, 1 - that, has its predecessor."""
    contents = path.read_bytes()
    return max((0, 1), key=lambda place: _record(_blocks(contents, place))[0])


def identity(path: Path) -> str:
    return _record(_blocks(path.read_bytes(), newest(path)))[1][:_UUID].decode()


def memory(path: Path) -> Path:
    """What is in force, while the store is in use."""
    return Path(os.environ["XDG_RUNTIME_DIR"]) / f"scsi-pr-{identity(path)}"


def document(path: Path) -> dict[str, Any]:
    """The document on the disk: what has APTPL on, or just had."""
    _, body = _record(_blocks(path.read_bytes(), newest(path)))
    found: dict[str, Any] = json.loads(body[_UUID:])["document"]
    return found


def state(path: Path) -> State:
    """The reservation state on the disk, its checksum verified."""
    found = document(path)
    assert found["checksum"] == checksum(found["state"]), f"{path}: wrong checksum in {found}"
    result: State = found["state"]
    return result


def write(path: Path, state: State, schema: int = 1) -> None:
    """Replace the state in a store that nobody uses."""
    text = {"format": "scsi-pr", "schema": schema, "checksum": checksum(state), "state": state}

    def change(body: bytes) -> bytes:
        found = json.loads(body[_UUID:]) | {"document": text}
        return body[:_UUID] + b" " + json.dumps(found, sort_keys=True).encode()

    rewrite(path, newest(path), change)


def rewrite(path: Path, place: int, change: Callable[[bytes], bytes]) -> None:
    """Another body for a record, with checksums that fit."""
    contents = bytearray(path.read_bytes())
    version, body = _record(_blocks(contents, place))
    blocks = _encode(version, change(body))
    for at in range(0, len(blocks), BLOCK):
        to = 2 * at + place * BLOCK
        contents[to : to + BLOCK] = blocks[at : at + BLOCK]
    path.write_bytes(contents)


def damage(path: Path, place: int) -> None:
    """A byte of a record's last sector is another one; what its first sector says stays."""
    contents = bytearray(path.read_bytes())
    length = len(_record(_blocks(contents, place))[1])
    last = (length - 1) // _PAYLOAD
    at = (2 * (last * SECTOR // BLOCK) + place) * BLOCK + last * SECTOR % BLOCK
    contents[at + _HEAD_BYTES] ^= 1
    path.write_bytes(contents)


def files(path: Path) -> dict[str, bytes]:
    """What must not change when a store is refused."""
    return {path.name: path.read_bytes()} if path.exists() else {}
