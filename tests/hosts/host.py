# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of the cluster: its runtime directory and its daemon; VMs there are told where it is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guest.lib import host as machine
from guest.lib.disk import Disk
from guest.lib.process import Child, tail

JOINS_WITHIN = 30.0
BINARY = machine.BUILD / "core/hw/scsi/pr/scsi-prd"
TOOL = machine.BUILD / "core/hw/scsi/pr/scsi-pr"


class Host:
    """`directory` is on tmpfs, as /run is. `wrapper` is a command that leads to where it runs."""

    def __init__(
        self,
        name: str,
        directory: Path,
        endpoints: Sequence[str],
        *,
        duration: int = 8,
        wrapper: Sequence[str] = (),
        more: str = "",
        cluster: str = "",
        environment: Mapping[str, str] | None = None,
        log_level: str = "debug",
    ) -> None:
        self.name = name
        self.runtime = directory / "run"
        self.state = directory / "state"
        self.log = directory / "scsi-prd.log"
        self.metrics = directory / "metrics.prom"
        self._config = directory / "scsi-prd.conf"
        self._wrapper = list(wrapper)
        self.more, self.cluster = more, cluster  # lines of [host] and [cluster]
        self.environment = dict(environment or {})
        self._log_level = log_level
        self.duration = duration
        for each in (self.runtime, self.state):
            each.mkdir(parents=True)
        self.daemon: Child | None = None
        self._endpoints = list(endpoints)
        self.configure()

    def configure(self, endpoints: Sequence[str] | None = None) -> None:
        """For the next start, or reload."""
        endpoints = self._endpoints = list(endpoints or self._endpoints)
        self._config.write_text(
            f"[etcd]\nendpoints={';'.join(endpoints)}\n"
            f"[cluster]\nduration={self.duration}\n{self.cluster}"
            f"[host]\nname={self.name}\nruntime-directory={self.runtime}\n"
            f"state-directory={self.state}\ngroup=\nmetrics-file={self.metrics}\nlog-level={self._log_level}\n" + self.more
        )
        self._config.chmod(0o600)

    # --- the daemon

    def start(self) -> None:
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        command = [*self._wrapper, "env", *environment, str(BINARY), "--config", str(self._config)]
        self.daemon = Child(command, self.log)

    def wait_joined(self, timeout: float = JOINS_WITHIN) -> None:
        """Until it is a member that admits."""
        deadline = time.monotonic() + timeout
        while not self.is_member():
            if time.monotonic() > deadline or self._daemon.code is not None:
                raise TimeoutError(f"host {self.name} does not join:\n{tail(self.log)}")
            time.sleep(0.05)

    def is_member(self) -> bool:
        """It admits: one that was cut off may take itself for a member still."""
        told = self.ask_tool("hosts")
        return told.returncode == 0 and " alive" in told.stdout and (self.metric("scsi_prd_admitted_seconds") or 0) > 0

    def metric(self, name: str) -> float | None:
        asked = self.ask_tool("metrics")
        for line in asked.stdout.splitlines():
            if line.split("{")[0].split(" ")[0] == name:
                return float(line.split()[-1])
        return None

    def ask_tool(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """scsi-pr of this host."""
        command = [*self._wrapper, str(TOOL), words[0], "--runtime-dir", str(self.runtime), *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    @property
    def _daemon(self) -> Child:
        assert self.daemon is not None
        return self.daemon

    def stop(self) -> int:
        """In order (SIGTERM): its exit code."""
        os.kill(self._daemon.pid, signal.SIGTERM)
        return self._daemon.wait(20)

    def restart(self) -> None:
        """In order, with what it is configured to be by now."""
        self.configure()
        assert self.stop() == 0
        self.start()
        self.wait_joined()

    def kill(self) -> None:
        if self.daemon is not None and self.daemon.code is None:
            self.daemon.kill()

    def freeze(self) -> None:
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    def close(self) -> None:
        self.kill()

    def describe(self) -> str:
        """What to know of it when something has gone wrong."""
        return f"host {self.name}: exit code {self._daemon.code}\n{tail(self.log, 12)}"

    # --- its VMs

    def disk(self, image: Path, name: str = "quorum", **more: Any) -> Disk:
        properties = {"pr-runtime-dir": str(self.runtime)} | more.pop("properties", {})
        return Disk(image, pr_store=f"cluster:{name}", properties=properties, **more)
