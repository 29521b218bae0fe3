# SPDX-License-Identifier: GPL-2.0-or-later
"""Where VMs that share a disk are: on one host with a `file:` store, or on two with `cluster:`.

SCSI_PR_HOSTS=2 has the tests of clients and of Pacemaker run on two (`make check-long`).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .etcd import why_no_etcd

HOSTS = int(os.environ.get("SCSI_PR_HOSTS", "1"))
# Of a disk of which the store is on host 0 or 1: keyword arguments of Disk.
StoreOn = Callable[[int], dict[str, Any]]


@contextlib.contextmanager
def stores(directory: Path) -> Iterator[StoreOn]:
    if HOSTS == 1:
        yield lambda host: {"pr_store": f"file:{directory}/shared.pr"}
        return
    if why := why_no_etcd():
        import pytest  # which the demo, with one host, does not need

        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="scsi-pr-hosts-", dir="/dev/shm") as memory:
        cluster = Cluster(Path(memory), HOSTS, members=3, duration=8)
        try:
            yield lambda host: {
                "pr_store": "cluster:quorum",
                "properties": {"pr-runtime-dir": str(cluster.hosts[f"h{host % HOSTS + 1}"].runtime)},
            }
        finally:
            cluster.close()
