# SPDX-License-Identifier: GPL-2.0-or-later
"""ocf:scsi-pr:path under Pacemaker: a disk and what writes to it move together, when an administrator
wants it and when a node dies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.expect import conflict
from guest.lib.scsi import Initiator
from passthrough.bed import libraries
from tool.run import program

from .cluster import DEVICE, FENCE_TIMEOUT, FORM_TIMEOUT, Cluster

ONLY_NEWEST_QEMU = True

AGENT = host.ROOT / "hw/scsi/pr/path/resource-agent"
CIB = f"""\
<configuration>
  <crm_config>
    <cluster_property_set id="options">
      <nvpair id="stonith-enabled" name="stonith-enabled" value="false"/>
      <nvpair id="no-quorum-policy" name="no-quorum-policy" value="ignore"/>
    </cluster_property_set>
  </crm_config>
  <op_defaults>
    <meta_attributes id="op-defaults">
      <nvpair id="op-timeout" name="timeout" value="120s"/>
    </meta_attributes>
  </op_defaults>
  <resources>
    <primitive id="lun" class="ocf" provider="scsi-pr" type="path">
      <instance_attributes id="lun-parameters">
        <nvpair id="lun-devices" name="devices" value="{DEVICE}"/>
      </instance_attributes>
      <operations><op id="lun-monitor" name="monitor" interval="10s"/></operations>
    </primitive>
    <primitive id="writer" class="ocf" provider="example" type="heartbeat">
      <instance_attributes id="writer-parameters">
        <nvpair id="writer-disk" name="disk" value="{DEVICE}"/>
      </instance_attributes>
      <operations><op id="writer-monitor" name="monitor" interval="10s"/></operations>
    </primitive>
  </resources>
  <constraints>
    <rsc_location id="begin-on-node1" rsc="lun" node="node1" score="10"/>
    <rsc_order id="lun-first" first="lun" then="writer"/>
    <rsc_colocation id="together" rsc="writer" with-rsc="lun" score="INFINITY"/>
  </constraints>
</configuration>
"""


def package(directory: Path) -> Path:
    """A disk that is an archive of what a package installs, and of what the tool is linked with."""
    root = directory / "installed"
    for name in ("usr/bin", "usr/lib/ocf/resource.d/scsi-pr", "usr/lib/x86_64-linux-gnu", "etc"):
        (root / name).mkdir(parents=True)
    tool = Path(program())
    (root / "usr/bin/scsi-pr").write_bytes(tool.read_bytes())
    (root / "usr/lib/ocf/resource.d/scsi-pr/path").write_bytes(AGENT.read_bytes())
    for path in (root / "usr/bin/scsi-pr", root / "usr/lib/ocf/resource.d/scsi-pr/path"):
        path.chmod(0o755)
    (root / "etc/path.xml").write_text(CIB)
    for library in libraries([tool]):
        # What the node has is newer, or the same.
        (root / "usr/lib/x86_64-linux-gnu" / library.name).write_bytes(library.read_bytes())
    archive = directory / "installed.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "--blocking-factor=128", "."], check=True)
    return archive


@pytest.fixture
def cluster(qemu: Path, tmp_path: Path) -> Iterator[Cluster]:
    archive = package(tmp_path)
    blockdev = f"driver=raw,node-name=installed,read-only=on,file.driver=file,file.filename={archive}"
    cluster = Cluster(tmp_path, qemu, arguments=["-blockdev", blockdev, "-device", "virtio-blk-pci,drive=installed"])
    try:
        cluster.boot()
        for node in cluster.nodes.values():
            node.run("tar --skip-old-files -xf /dev/vdb -C / && mkdir -p /run/scsi-pr", check=True)
            # Else they would be one host to the disk: they have one root image.
            node.run("uname -n | md5sum | cut -c 1-32 >/etc/machine-id", check=True)
            assert node.run("scsi-pr path status").code == 0
        yield cluster
    finally:
        cluster.close()


def test_moves_the_disk(cluster: Cluster) -> None:
    names = list(cluster.nodes)
    node1, node2 = cluster.nodes.values()
    cluster.start()
    node1.await_("both online", lambda: cluster.online("node1") == names, FORM_TIMEOUT)
    node1.wait("cibadmin -M -c -o configuration -x /etc/path.xml")
    node1.await_("it writes", lambda: cluster.blocks()[:1] == ["node1"], FENCE_TIMEOUT)
    assert cluster.runs_on("lun", "node1") == ["node1"]
    (key,) = cluster.keys("node1")
    conflict(Initiator(node2, DEVICE).write("nobody", 8000))

    node1.run("crm_standby -N node1 -v on", check=True)
    node2.await_("node2 writes", lambda: cluster.blocks()[-1] == "node2", FENCE_TIMEOUT)
    (other,) = cluster.keys("node2")
    assert other != key
    conflict(Initiator(node1, DEVICE).write("left", 8000))

    node1.run("crm_standby -N node1 -D", check=True)
    node1.await_("both online", lambda: cluster.online("node1") == names, FORM_TIMEOUT)
    node2.kill()
    node1.await_("node1 writes", lambda: cluster.blocks()[-1] == "node1", FENCE_TIMEOUT)
    assert cluster.keys("node1") == [key]
