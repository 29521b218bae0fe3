# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes with Corosync and Pacemaker, fence_scsi, and a resource that writes to the shared disk."""

from __future__ import annotations

import contextlib
import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guest.lib import disk
from guest.lib.disk import Disk
from guest.lib.vm import boot
from hosts.stores import stores

from .node import BOOT_TIMEOUT, Node
from .switch import Switch

DEVICE = f"/dev/disk/by-id/wwn-{disk.WWN}"
CLUSTER_NAME = "quorum"  # in corosync.conf
BLOCK = 512

# Under TCG on two cores a node's Pacemaker needs half a minute to become one of the cluster's, and a
# fencing takes the time-out of Corosync's token and then some seconds.
FORM_TIMEOUT = 300.0
FENCE_TIMEOUT = 240.0


def key_of(number: int) -> int:
    """The key that fence_scsi makes for a node with key_value=id, the default: its "node ID" is the
    place in Corosync's list, from 0."""
    return int(hashlib.md5(CLUSTER_NAME.encode()).hexdigest()[:4] + f"{number - 1:04d}", 16)


class Cluster:
    """The nodes of corosync.conf, with one disk, one store and the network between them."""

    def __init__(self, directory: Path, binary: Path, store: str | None = None, arguments: Sequence[str] = ()) -> None:
        """`store`: another one than there would be. `arguments`: more of each node's QEMU."""
        self.image = disk.create(directory / "shared.img", size=4 << 20)
        self.switch = Switch(2)
        self._closing = contextlib.ExitStack()
        store_on = self._closing.enter_context(stores(directory))
        of_store = [{"pr_store": store} if store else store_on(host) for host in (0, 1)]
        self.nodes = {
            f"node{n}": Node(
                n,
                [Disk(self.image, **of_store[n - 1])],
                binary=binary,
                directory=directory,
                port=self.switch.port(n - 1),
                arguments=arguments,
            )
            for n in (1, 2)
        }

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self.switch.close()
        self._closing.close()

    def boot(self) -> None:
        boot(list(self.nodes.values()), BOOT_TIMEOUT)

    def start(self, what: str = "") -> None:
        """Corosync and Pacemaker on all nodes; `what` is corosync for that one only."""
        tasks = [(node, node.begin(f"start-cluster {what}")) for node in self.nodes.values()]
        for node, task in tasks:
            node.finish(task, FORM_TIMEOUT, check=True)

    def configure(self) -> None:
        self.nodes["node1"].wait("cibadmin -M -c -o configuration -x /etc/pacemaker/cib.xml")

    # --- what Pacemaker says

    def status(self, witness: str) -> ET.Element:
        said = self.nodes[witness].run("crm_mon -1 --fence-history=2 --output-as=xml")
        return ET.fromstring(said.out) if said.code == 0 else ET.Element("nothing")

    def online(self, witness: str) -> list[str]:
        """The nodes that are online and clean."""
        found = self.status(witness).findall("./nodes/node[@online='true'][@unclean='false']")
        return sorted(node.get("name", "") for node in found if node.get("pending") == "false")

    def offline(self, witness: str) -> list[str]:
        """The nodes that have left, and whose fencing is over."""
        found = self.status(witness).findall("./nodes/node[@online='false'][@unclean='false']")
        return [node.get("name", "") for node in found]

    def runs_on(self, resource: str, witness: str) -> list[str]:
        """Where a resource is started, in the view of a node."""
        path = f"./resources/resource[@id='{resource}'][@role='Started']/node"
        return [node.get("name", "") for node in self.status(witness).findall(path)]

    def failed(self, node: str, witness: str) -> list[str]:
        """Resources of which a start or monitor has failed on a node."""
        failures = self.status(witness).findall(f"./failures/failure[@node='{node}']")
        return sorted({each.get("op_key", "").split("_")[0] for each in failures})

    def fencings(self, witness: str) -> list[tuple[str, str, str, str]]:
        """Target, action, the node that did it, and how it ended; newest first."""
        events = self.status(witness).findall("./fence_history/fence_event")
        names = ("target", "action", "delegate", "status")
        found = [tuple(event.get(name, "") for name in names) for event in events]
        return found  # type: ignore[return-value]

    # --- what the disk says

    def query(self, witness: str) -> dict[str, Any]:
        """query-scsi-pr of a node's QEMU: also while the node is busy with other things."""
        (answer,) = self.nodes[witness].qmp.execute("query-scsi-pr")
        found: dict[str, Any] = answer
        return found

    def keys(self, witness: str) -> list[int]:
        state = self.query(witness)["state"]
        return sorted(int(each["key"], 0) for each in state["registrations"])

    def holder(self, witness: str) -> int | None:
        """The key of the reservation's holder."""
        state = self.query(witness)["state"]
        held = state.get("reservation", {}).get("holder")
        return next(
            (int(r["key"], 0) for r in state["registrations"] if r["initiator"] == held["initiator"]),
            None,
        ) if held else None

    def blocks(self) -> list[str]:
        """Who has written each block, in the order of the blocks; fails unless they are numbered
        as the resource agent numbers them."""
        records: list[str] = []
        with self.image.open("rb") as image:
            while text := image.read(BLOCK).rstrip(b"\0\n").decode():
                found = re.fullmatch(r"(\w+) (\d+)", text)
                assert found and int(found[2]) == len(records), f"block {len(records)} is {text!r}"
                records.append(found[1])
        return records
