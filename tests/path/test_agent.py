# SPDX-License-Identifier: GPL-2.0-or-later
"""What hosts start of us: the resource agent's meta-data (what it does is in test_lio.py), and the unit."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from guest.lib import host
from tool.run import program

from .bed import AGENT

# Of Debian's resource-agents, where it is installed.
SCHEMAS = {
    "--dtdvalid": Path("/usr/share/resource-agents/ra-api-1.dtd"),
    "--relaxng": Path("/usr/share/resource-agents/metadata.rng"),
}


def meta_data() -> str:
    done = subprocess.run([AGENT, "meta-data"], check=True, capture_output=True, text=True)
    return done.stdout


def test_what_it_says_of_itself() -> None:
    """OCF 1.0: these actions have to be there; each parameter says what it is."""
    agent = ElementTree.fromstring(meta_data())
    assert agent.get("name") == "path"
    actions = {action.get("name"): action.get("timeout") for action in agent.iter("action")}
    assert {"start", "stop", "monitor", "validate-all", "meta-data"} <= set(actions)
    assert all(actions.values())
    for parameter in agent.iter("parameter"):
        assert parameter.findtext("longdesc") and parameter.findtext("shortdesc")
        content = parameter.find("content")
        assert content is not None and content.get("type") == "string"
    required = [p.get("name") for p in agent.iter("parameter") if p.get("required") == "1"]
    assert required == ["devices"]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_it_is_valid(tmp_path: Path, kind: str) -> None:
    """Against the resource agent API where this machine has it; else well-formed."""
    file = tmp_path / "meta-data.xml"
    file.write_text(meta_data())
    schema = [kind, str(SCHEMAS[kind])] if SCHEMAS[kind].exists() else []
    subprocess.run(["xmllint", "--nonet", "--noout", *schema, file], check=True)


def test_what_it_does_not_do() -> None:
    done = subprocess.run([AGENT, "promote"], capture_output=True, text=True)
    assert done.returncode == 3, "OCF_ERR_UNIMPLEMENTED"


def test_the_unit(tmp_path: Path) -> None:
    """systemd understands it: what it knows, and that there is what it starts."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed on this machine")
    text = (host.ROOT / "debian/scsi-pr-path@.service").read_text()
    unit = tmp_path / "scsi-pr-path@db.service"
    unit.write_text(text.replace("/usr/bin/scsi-pr", program()).replace("man:scsi-pr(1)", "man:sh(1)"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "scsi-pr-path" in line and "man " not in line] == []
