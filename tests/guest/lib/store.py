# SPDX-License-Identifier: GPL-2.0-or-later
"""file: stores, read and written without the code under test (SQLite and the canonical document)."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

State = dict[str, Any]

EMPTY: State = {"pr-generation": 0, "aptpl": False, "registrations": []}


def checksum(state: State) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def document(path: Path) -> dict[str, Any]:
    """The store's document, read from a copy: looking must not change the original."""
    with tempfile.TemporaryDirectory() as directory:
        for name in (path.name, path.name + "-wal"):
            if (path.parent / name).exists():
                shutil.copy(path.parent / name, directory)
        with closing(sqlite3.connect(Path(directory) / path.name)) as database:
            (text,) = database.execute("SELECT document FROM logical_unit").fetchone()
    found: dict[str, Any] = json.loads(text)
    return found


def state(path: Path) -> State:
    """The reservation state, its checksum verified."""
    found = document(path)
    assert found["checksum"] == checksum(found["state"]), f"{path}: wrong checksum in {found}"
    result: State = found["state"]
    return result


def write(path: Path, state: State, schema: int = 1) -> None:
    """Replace the state in a store that nobody uses."""
    text = {"format": "scsi-pr", "schema": schema, "checksum": checksum(state), "state": state}
    execute(path, f"UPDATE {newest(path)} SET document = ?", json.dumps(text, sort_keys=True))


def newest(path: Path) -> str:
    """The table of the newest record; the other one has its predecessor."""
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("SELECT version FROM logical_unit").fetchone()
    return "record_odd" if version % 2 else "record_even"


def execute(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(sql, values)


def files(path: Path) -> dict[str, bytes]:
    """What must not change when a store is refused: the database and its write-ahead log."""
    return {p.name: p.read_bytes() for p in (path, Path(f"{path}-wal")) if p.exists()}
