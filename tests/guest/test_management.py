# SPDX-License-Identifier: GPL-2.0-or-later
"""Under libvirt: a domain whose disk has pr-store, asked by `virsh qemu-monitor-command`.

libvirt's QEMU driver runs inside virsh (qemu:///embed) and needs no daemon.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534  # libvirt run by root wants users that only its daemon's package makes
UUID = "7e4d0000-0000-4000-8000-00000000000a"

DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>a</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>{directory}/qemu-system-x86_64</emulator>
    <controller type='scsi' model='virtio-scsi'/>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{directory}/quorum.img'/>
      <target dev='sda' bus='scsi'/>
      <shareable/>
      <wwn>5000c50015ea71ac</wwn>
      <alias name='ua-quorum'/>
    </disk>
  </devices>
  <qemu:override>
    <qemu:device alias='ua-quorum'>
      <qemu:frontend>
        <qemu:property name='pr-store' type='string' value='file:{directory}/quorum.pr'/>
      </qemu:frontend>
    </qemu:device>
  </qemu:override>
</domain>
"""

CONFIGURATION = """
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""


@pytest.fixture
def directory(qemu: Path) -> Iterator[Path]:
    """With the emulator in it: the clone may be where another user cannot go."""
    if not Path("/sys/devices/system/cpu").exists():
        pytest.skip("libvirt does not start a domain without /sys, which is not mounted here")
    with tempfile.TemporaryDirectory(prefix="libvirt-") as name:
        place = Path(name)
        (place / "etc").mkdir()
        (place / "etc/qemu.conf").write_text(CONFIGURATION)
        (place / "domain.xml").write_text(DOMAIN.format(uuid=UUID, directory=place))
        (place / "quorum.img").write_bytes(bytes(1 << 20))
        shutil.copy(qemu, place / "qemu-system-x86_64")
        if os.getuid() == 0:
            for path in (place, *place.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield place


def virsh(directory: Path, *commands: str) -> list[dict[str, Any]]:
    """Runs them in one session, and returns the JSON among what they print."""
    become = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    result = subprocess.run(
        ["virsh", "--quiet", "--connect", f"qemu:///embed?root={directory}", "; ".join(commands)],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **become,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]



def test_query_scsi_pr(directory: Path) -> None:
    (answer,) = virsh(
        directory,
        f"create {directory}/domain.xml",
        """qemu-monitor-command a '{"execute": "query-scsi-pr"}'""",
        "destroy a",
    )
    (info,) = answer["return"]
    assert info["device"] == "ua-quorum"
    assert info["store"] == f"file:{directory}/quorum.pr"
    assert info["initiator"].startswith(f"iqn.2008-11.org.linux-kvm:{UUID},i,0x80")
    assert [nexus["owner"] for nexus in info["attached"]] == ["VM a, device ua-quorum"]
