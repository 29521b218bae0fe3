# SPDX-License-Identifier: GPL-2.0-or-later
"""The drop-ins of docs/many-hosts-setup.md, which let the service open devices, as systemd understands them.

That what they give is what it takes: tests/path/test_daemon_fence.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guest.lib import host

from .setup_guide import DAEMON, blocks

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze: systemd is not installed"
)


class Units:
    """The unit as it is installed, and the drop-ins of the guide, as an administrator makes them by its commands."""

    def __init__(self, root: Path, *drop_ins: str) -> None:
        packaged, own = root / "lib/systemd/system", root / "etc/systemd/system"
        for each in (packaged, own, root / "etc/udev/rules.d"):
            each.mkdir(parents=True)
        unit = (host.ROOT / "debian/scsi-prd.service").read_text()
        (packaged / "scsi-prd.service").write_text(unit.replace("/usr/sbin/scsi-prd", str(DAEMON)))
        for name in drop_ins:
            script = re.sub(r"^systemctl .*\n", "", blocks()[name].replace(">/etc/", f">{root}/etc/"), flags=re.M)
            script = script.replace(" /etc/", f" {root}/etc/")
            subprocess.run(["sh", "-e"], input=script, text=True, check=True)
            assert (own / f"scsi-prd.service.d/{name}.conf").read_text().startswith("[Service]\n")
        # Empty at the end: and where this machine has its units.
        self._environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{own}:{packaged}:", "LC_ALL": "C"}

    def analyze(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", *words, "scsi-prd.service"]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)

    def exposure(self) -> dict[str, tuple[bool, str]]:
        """Of each of what systemd can take from a service, whether it is taken, and how it says so."""
        done = self.analyze("security", "--offline=yes", "--json=short")
        assert done.stdout, done.stderr
        return {each["json_field"]: (each["set"], each["description"]) for each in json.loads(done.stdout)}


@pytest.mark.parametrize("drop_ins", [(), ("storage",), ("watchdog",), ("watchdog", "storage")], ids="+".join)
def test_systemd_understands_the_drop_ins(tmp_path: Path, drop_ins: tuple[str, ...]) -> None:
    done = Units(tmp_path, *drop_ins).analyze("verify", "--man=no")
    assert [line for line in done.stderr.splitlines() if "scsi-prd" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_drop_in_opens_the_disks_and_nothing_else(tmp_path: Path) -> None:
    """What it takes to send commands to a disk: the node, its group, and a capability for SG_IO."""
    before, after = Units(tmp_path / "before").exposure(), Units(tmp_path / "after", "storage").exposure()
    changed = {name for name, (is_taken, _) in after.items() if is_taken != before[name][0]}
    opened = {"PrivateDevices", "CapabilityBoundingSet_CAP_SYS_RAWIO", "AmbientCapabilities"}
    assert changed - {"DeviceAllow"} == opened
    assert not any(after[name][0] for name in opened)
    # Beside what every service may have; the clock is of ProtectClock=.
    devices = after["DeviceAllow"][1].split(": ")[1].split()
    assert sorted(devices) == ["block-sd:rw", "char-rtc:r"]
    assert after["NoNewPrivileges"][0] and after["ProtectSystem"][0]
