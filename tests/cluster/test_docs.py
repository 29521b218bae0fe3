# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/cluster.md shows the files that the nodes have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guest.lib import host

FILES = Path(__file__).parent / "image"


@pytest.mark.parametrize("name", ["corosync.conf", "cib.xml", "multipath.conf"])
def test_shown_as_tested(name: str) -> None:
    page = (host.ROOT / "docs/cluster.md").read_text()
    found = re.search(rf"\[{name}\]\([^)]*\)[^`]*```\w*\n(.*?)```", page, re.S)
    assert found, f"docs/cluster.md does not show {name}"
    assert found[1] == (FILES / name).read_text()
