# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt with Debian's own emulator, whose capabilities it probes without the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import host
from guest.test_management import CONFIGURATION, UUID, Virsh, block, directory, without_override

from .conftest import STOCK, Plugins

GUIDE = host.ROOT / "docs/plugin.md"
INSTALLED = "/usr/lib/x86_64-linux-gnu/qemu"
EMULATOR = "/usr/local/bin/qemu-system-x86_64"  # in docs/management.md

__all__ = ["directory"]  # a fixture


@pytest.fixture
def libvirt(directory: Path) -> Iterator[Path]:
    if not Path("/sys/devices/system/cpu").exists():
        pytest.skip("libvirt does not start a domain without /sys, which is not mounted here")
    (directory / "etc").mkdir()
    (directory / "etc/qemu.conf").write_text(CONFIGURATION)
    Plugins(directory).install()
    yield directory


def domain_of(libvirt: Path, option: str | None = None) -> str:
    option = block("plugin", GUIDE) if option is None else option
    domain = block("domain").replace("</domain>", f"{option}</domain>")
    return domain.replace(EMULATOR, str(STOCK)).replace(INSTALLED, str(libvirt))


def test_domain(libvirt: Path) -> None:
    with Virsh(libvirt) as virsh:
        virsh.create(domain_of(libvirt), libvirt)
        info = virsh.query("node-a")
        virsh.run("destroy node-a")
    assert info["store"] == f"file:{libvirt}/pr/quorum.pr"
    assert info["initiator"].startswith(f"iqn.2008-11.org.linux-kvm:{UUID},i,0x80")


@pytest.mark.parametrize("missing", ["plugin", "option"])
def test_domain_without(libvirt: Path, missing: str) -> None:
    """QEMU's message is in the domain's log. libvirt passes it on, unless it finds QEMU's monitor
    closed before the process has ended."""
    domain = domain_of(libvirt, "" if missing == "option" else None)
    if missing == "plugin":
        Plugins(libvirt).made.unlink()
    with Virsh(libvirt) as virsh:
        virsh.create(domain, libvirt)
        virsh.run("list --all")
        assert "error: Failed to create domain" in virsh.trouble()
    said = (libvirt / "log/qemu/node-a.log").read_text()
    assert ("no plugin for this QEMU" if missing == "plugin" else "pr-store") in said


def whole_host(libvirt: Path, text: str, domain: str) -> None:
    """Every shared disk has a store, by a wrapper."""
    wrapper = libvirt / "wrapper"
    wrapper.write_text(text.replace("/var/lib/scsi-pr", f"{libvirt}/pr"))
    wrapper.chmod(0o755)
    domain = domain.replace(EMULATOR, str(wrapper))
    with Virsh(libvirt) as virsh:
        virsh.create(domain, libvirt)
        info = virsh.query("node-a")
        virsh.run("destroy node-a")
    assert info["store"].startswith(f"file:{libvirt}/pr/")


def test_whole_host(libvirt: Path) -> None:
    """The wrapper of docs/management.md, with the stock QEMU behind it."""
    plugin = f"-plugin file={libvirt}/scsi-pr.so"
    text = block("wrapper").replace(EMULATOR, f"{STOCK} {plugin}")
    whole_host(libvirt, text, without_override(block("domain")))


def test_wrapper_of_the_package(libvirt: Path) -> None:
    wrapper = "qemu-system-x86_64-scsi-pr"
    domain = without_override(block("domain"))
    assert f"<emulator>{EMULATOR}</emulator>" in domain
    assert block("emulator", GUIDE).strip() == f"<emulator>/usr/bin/{wrapper}</emulator>"
    text = (host.ROOT / "debian/bin" / wrapper).read_text()
    whole_host(libvirt, text.replace(INSTALLED, str(libvirt)), domain)
