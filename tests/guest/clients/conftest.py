# SPDX-License-Identifier: GPL-2.0-or-later
"""One pair of nodes for the tests of all clients: most take less time than a boot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib.nodes import Node, clean, node, virtual_machine
from guest.lib.nodes import Path as Nexus
from guest.lib.vm import running
from hosts.stores import stores


@pytest.fixture(scope="session")
def booted(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    directory = tmp_path_factory.mktemp("nodes")
    with stores(directory) as store_on:
        vms = [virtual_machine(name, directory, qemu, store_on) for name in "AB"]
        with running(*vms):
            yield node(vms[0]), node(vms[1])


@pytest.fixture
def nodes(booted: tuple[Node, Node]) -> tuple[Node, Node]:
    """Nodes A and B, nothing registered, no unit attention waiting."""
    clean(booted)
    return booted


@pytest.fixture(params=["one VM", "two VMs"])
def two(nodes: tuple[Node, Node], request: pytest.FixtureRequest) -> tuple[Nexus, Nexus]:
    """Two I_T nexuses, of one VM or of one each."""
    a, b = nodes
    return (b.paths[1], b.paths[0]) if request.param == "one VM" else (a.paths[0], b.paths[0])
