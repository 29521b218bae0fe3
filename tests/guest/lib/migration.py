# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that goes to another QEMU process, of this host or as if it were on another one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .disk import Disk
from .qmp import Qmp
from .vm import VM, GuestTimeout

TIMEOUT = 120.0  # under TCG, with a guest that writes


class Migration:
    """From the process of `source` to one of its own, which has the same devices.

        migration = Migration(a)
        migration.begin()
        a = migration.finish()

    Commands that run in the guest go on, and end in the VM that finish() returns. While a migration
    is under way no new ones may be sent.
    """

    def __init__(
        self, source: VM, binary: Path | None = None, disks: Iterable[Disk] | None = None
    ) -> None:
        self.source = source
        self.destination = source.twin(binary, disks)
        self.destination.start()
        self.destination.qmp.negotiate()
        self._directory = tempfile.TemporaryDirectory(prefix="migration-")
        self._uri = f"unix:{self._directory.name}/socket"

    def begin(self) -> None:
        self.destination.qmp.execute("migrate-incoming", {"uri": self._uri})
        self.source.qmp.execute("migrate", {"uri": self._uri})

    def arrived(self) -> None:
        """Wait until the guest runs in the destination; the source is stopped."""
        status = await_outcome(self.source.qmp)
        if status["status"] != "completed":
            raise AssertionError(self.destination.report(f"did not take the guest: {status}"))
        await_outcome(self.destination.qmp)

    def finish(self) -> VM:
        """Wait for its end, then end the source's process."""
        self.arrived()
        self.destination.take_guest(self.source)
        self._directory.cleanup()
        return self.destination

    def fail(self) -> str:
        """Wait until it has failed; what the destination has said of it."""
        status = await_outcome(self.source.qmp)
        assert status["status"] == "failed", status
        self.destination.child.wait(10)
        said = self.destination.qemu_log.read_text()
        self.destination.close()
        self._directory.cleanup()
        return said

    def close(self) -> None:
        self.destination.close()


def migrate(source: VM, binary: Path | None = None, disks: Iterable[Disk] | None = None) -> VM:
    migration = Migration(source, binary, disks)
    migration.begin()
    return migration.finish()


def await_outcome(qmp: Qmp, timeout: float = TIMEOUT) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        status: dict[str, Any] = qmp.execute("query-migrate")
        if status.get("status") in ("completed", "failed", "cancelled"):
            return status
        time.sleep(0.01)
    raise GuestTimeout(f"a migration has not ended within {timeout:g} s: {status}")
