# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains of the host: those of the pages, with a guest that needs no operating system."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from guest.lib import host as machine
from guest.lib.agent import Result
from guest.lib.qmp import QmpError
from guest.test_management import UUID, block, without_override

from .host import EMULATOR, HOME, Host

OVERRIDE = block("domain")
NO_OVERRIDE = without_override(OVERRIDE)
PLUGIN = block("plugin", machine.ROOT / "docs/plugin.md")
EMULATOR_OF_OURS = "/usr/local/bin/qemu-system-x86_64"


@dataclass
class Domain:
    """node-a, node-b, …"""

    host: Host
    letter: str

    @property
    def name(self) -> str:
        return f"node-{self.letter}"

    @property
    def uuid(self) -> str:
        return UUID[:-1] + self.letter

    def create(
        self, words: str, page: str = OVERRIDE, more: str = PLUGIN, emulator: object = EMULATOR
    ) -> Result:
        """`words` are what the guest does (guest.c), `page` is the domain, `more` its end."""
        guest = f"<kernel>{HOME}/guest</kernel><cmdline>{words}</cmdline></os>"
        serial = f"<serial type='file'><source path='/srv/{self.name}.console'/></serial></devices>"
        text = page.replace("node-a", self.name).replace(UUID, self.uuid).replace("type='kvm'", "type='qemu'")
        text = text.replace(EMULATOR_OF_OURS, str(emulator)).replace("</domain>", f"{more}</domain>")
        text = text.replace("</os>", guest).replace("</devices>", serial)
        self.host.write(f"/srv/{self.name}.xml", text)
        return self.host.run(f"rm -f /srv/{self.name}.console; virsh create /srv/{self.name}.xml")

    def start(
        self, words: str, page: str = OVERRIDE, more: str = PLUGIN, emulator: object = EMULATOR
    ) -> None:
        result = self.create(words, page, more, emulator)
        assert result.code == 0, result

    def destroy(self) -> None:
        self.host.run(f"virsh destroy {self.name}", check=True)

    # --- what it does

    def said(self) -> list[str]:
        """By its guest."""
        return self.host.run(f"cat /srv/{self.name}.console").out.splitlines()

    def await_line(self, line: str) -> None:
        self.host.await_(f"'{line}' of {self.name}", lambda: line in self.said())

    def statuses(self) -> list[str]:
        return [line for line in self.said() if ": " in line]

    def execute(self, command: str, **arguments: object) -> Any:
        """A QMP command, as the page sends it."""
        text = json.dumps({"execute": command, "arguments": arguments})
        answer = json.loads(self.host.out(f"virsh qemu-monitor-command {self.name} '{text}'"))
        if "error" in answer:
            raise QmpError(command, answer["error"]["class"], answer["error"]["desc"])
        return answer["return"]

    def stores(self) -> list[str]:
        return [device["store"] for device in self.execute("query-scsi-pr")]

    def keys(self) -> list[int]:
        (device,) = self.execute("query-scsi-pr")
        return sorted(int(each["key"], 0) for each in device["state"]["registrations"])

    # --- what confines it

    def status(self, field: str) -> str:
        process = self.host.out(f"cat /run/libvirt/qemu/{self.name}.pid").strip()
        found = re.search(rf"^{field}:\t(\S+)", self.host.out(f"cat /proc/{process}/status"), re.M)
        assert found
        return found[1]

    def profile(self) -> str:
        process = self.host.out(f"cat /run/libvirt/qemu/{self.name}.pid").strip()
        return self.host.out(f"cat /proc/{process}/attr/current").strip()
