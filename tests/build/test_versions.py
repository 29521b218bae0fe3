# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between versions of QEMU, and between overlay and plugin, is in one file of the shim."""

from __future__ import annotations

import re
from pathlib import Path

SHIM = Path(__file__).resolve().parents[2] / "hw/scsi/pr/qemu"
CONDITION = re.compile(r"\b(QEMU_VERSION_\w+|SCSI_PR_PLUGIN|CONFIG_PLUGIN)\b")
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b(.*)$", re.M)


def test_versions_are_looked_at_in_one_file() -> None:
    files = [*SHIM.glob("*.[ch]"), *SHIM.glob("plugin/*.[ch]")]
    assert len(files) > 20
    found = {file.name for file in files if CONDITION.search(file.read_text())}
    assert found == {"pr-compat.h"}


def test_nothing_else_is_compiled_conditionally() -> None:
    """But include guards: what depends on the system, or on QEMU's headers, belongs there too."""
    for file in [*SHIM.glob("*.[ch]"), *SHIM.glob("plugin/*.[ch]")]:
        conditions = [rest.strip() for _, rest in CONDITIONAL.findall(file.read_text())]
        assert file.name == "pr-compat.h" or all(re.fullmatch(r"HW_\w+_H", c) for c in conditions), file
