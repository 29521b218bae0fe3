# SPDX-License-Identifier: GPL-2.0-or-later
"""Under management layers: the blocks of docs/management.md, used as they stand there.

libvirt's QEMU driver runs inside virsh (qemu:///embed) and needs no daemon. No guest boots.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .lib.vm import VM

OTHER_QEMUS_TAKE_LONG = True

GUIDE = Path(__file__).resolve().parents[2] / "docs/management.md"
NOBODY = 65534  # libvirt run by root wants users that only its daemon's package makes
UUID = "7e4d0000-0000-4000-8000-00000000000a"
BY_IDENTITY = "naa.5000c50015ea71ac.pr"
SECCOMP_MODE_FILTER = 2  # proc(5)
TIMEOUT = 120

CONFIGURATION = """
security_driver = "none"
cgroup_controllers = []
namespaces = []
seccomp_sandbox = 1
stdio_handler = "file"
"""


def block(name: str, page: Path = GUIDE) -> str:
    """The block of the guide whose second word after the fence is `name`, not indented."""
    found = re.search(rf"^( *)```\w+ {name}\n(.*?)^\1```$", page.read_text(), re.M | re.S)
    assert found, f"{page} has no block named {name}"
    return re.sub(f"^{found[1]}", "", found[2], flags=re.M)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A host in small. Not tmp_path: the clone may be where another user cannot go. On tmpfs, as it
    is the runtime directory, too."""
    with tempfile.TemporaryDirectory(prefix="host-", dir="/dev/shm") as name:
        place = Path(name)
        (place / "quorum.img").write_bytes(bytes(1 << 20))
        (place / "pr").mkdir()
        yield place


@pytest.fixture
def libvirt(directory: Path, qemu: Path) -> Path:
    if not Path("/sys/devices/system/cpu").exists():
        pytest.skip("libvirt does not start a domain without /sys, which is not mounted here")
    (directory / "etc").mkdir()
    (directory / "etc/qemu.conf").write_text(CONFIGURATION)
    shutil.copy(qemu, directory / "qemu-system-x86_64")
    return directory


def placed(text: str, directory: Path) -> str:
    """The guide's host is all in one directory here."""
    return (
        text.replace("/usr/local/bin", str(directory))
        .replace("/var/lib/scsi-pr", f"{directory}/pr")
        .replace("/srv", str(directory))
    )


class Virsh:
    """One session of virsh, and what the domains of it do."""

    def __init__(self, directory: Path) -> None:
        become: dict[str, Any] = {}
        if os.getuid() == 0:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            become = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.errors = (directory / "virsh.log").open("w+")
        self.process = subprocess.Popen(
            ["virsh", "--quiet", "--connect", f"qemu:///embed?root={directory}"],
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            **become,
        )
        # Whoever reads what virsh says does not wait longer.
        self.deadline = threading.Timer(TIMEOUT, self.process.kill)
        self.deadline.start()

    def __enter__(self) -> Virsh:
        return self

    def __exit__(self, *_: object) -> None:
        self.deadline.cancel()
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def run(self, *commands: str) -> list[str]:
        """Runs them, and ends the session: the lines that they print."""
        out, _ = self.process.communicate("\n".join(commands) + "\nquit\n")
        assert self.process.returncode == 0, self.trouble()
        return out.splitlines()

    def trouble(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def query(self, name: str) -> dict[str, Any]:
        """Of the one disk with persistent reservations. The session goes on."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"""qemu-monitor-command {name} '{{"execute": "query-scsi-pr"}}'\n""")
        self.process.stdin.write("echo That was it.\n")
        self.process.stdin.flush()
        said = ""
        while not said.endswith("That was it.\n"):
            line = self.process.stdout.readline()
            assert line, f"virsh has ended: {self.trouble()}"
            said += line
        found = re.search(r'\{"return":.*', said)
        assert found, self.trouble()
        (info,) = json.loads(found[0])["return"]
        assert isinstance(info, dict)
        return info

    def create(self, domain: str, directory: Path) -> None:
        path = directory / "domain.xml"
        path.write_text(placed(domain, directory).replace("type='kvm'", "type='qemu'"))
        assert self.process.stdin
        self.process.stdin.write(f"create {path}\n")


def without_override(domain: str) -> str:
    return re.sub(r"  <qemu:override>.*</qemu:override>\n", "", domain, flags=re.S)


def store_of(libvirt: Path, domain: str) -> str:
    """The store of the disk, once libvirt has started the domain."""
    with Virsh(libvirt) as virsh:
        virsh.create(domain, libvirt)
        info = virsh.query("node-a")
        (nexus,) = info["attached"]
        status = Path(f"/proc/{nexus['process-id']}/status").read_text()
        virsh.run("destroy node-a")
    assert f"Seccomp:\t{SECCOMP_MODE_FILTER}" in status
    assert info["initiator"].startswith(f"iqn.2008-11.org.linux-kvm:{UUID},i,0x80")
    assert nexus["owner"] == "VM node-a, device ua-quorum"
    assert info["device"] == "ua-quorum"
    return str(info["store"])


def test_libvirt_override(libvirt: Path) -> None:
    assert store_of(libvirt, block("domain")) == f"file:{libvirt}/pr/quorum.pr"


def test_libvirt_commandline(libvirt: Path) -> None:
    domain = without_override(block("domain")).replace("</domain>", block("commandline") + "</domain>")
    assert store_of(libvirt, domain) == f"file:{libvirt}/pr/{BY_IDENTITY}"


def test_wrapper_for_a_whole_host(libvirt: Path) -> None:
    wrapper = libvirt / "wrapper"
    wrapper.write_text(placed(block("wrapper"), libvirt))
    wrapper.chmod(0o755)
    domain = without_override(block("domain")).replace("/usr/local/bin/qemu-system-x86_64", str(wrapper))
    assert store_of(libvirt, domain) == f"file:{libvirt}/pr/{BY_IDENTITY}"


@pytest.mark.parametrize("before", ["", "namespace", "commandline"])
def test_kubevirt_hook(libvirt: Path, before: str) -> None:
    """Whatever the domain has already that the hook adds."""
    hook = libvirt / "onDefineDomain"
    hook.write_text(block("onDefineDomain"))
    domain = without_override(block("domain"))
    if before == "":
        domain = re.sub(r" xmlns:qemu='[^']*'", "", domain)
    if before == "commandline":
        one = "<qemu:commandline><qemu:arg value='-no-user-config'/></qemu:commandline>"
        domain = domain.replace("</domain>", one + "</domain>")
    command = ["sh", str(hook), "--vmi", "{}", "--domain", domain]
    defined = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert store_of(libvirt, defined) == f"file:{libvirt}/pr/{BY_IDENTITY}"


def test_libvirt_native_command_line(libvirt: Path) -> None:
    """What libvirt would run, for a block device that is passed through."""
    domain = (
        block("domain")
        .replace("<disk type='file' device='disk'>", "<disk type='block' device='lun'>")
        .replace("<source file='/srv/quorum.img'/>", "<source dev='/dev/sdz'/>")
        .replace("      <wwn>5000c50015ea71ac</wwn>\n", "")
    )
    path = libvirt / "lun.xml"
    path.write_text(placed(domain, libvirt).replace("type='kvm'", "type='qemu'"))
    with Virsh(libvirt) as virsh:
        line = "\n".join(virsh.run(f"domxml-to-native qemu-argv --xml {path}"))
    assert "-sandbox on" in line
    (device,) = re.findall(r"-device '?(\{\"driver\":\"scsi-block\".*?\})", line)
    assert json.loads(device)["pr-store"] == f"file:{libvirt}/pr/quorum.pr"
    assert json.loads(device)["share-rw"] is True


def test_proxmox_arguments(directory: Path, qemu: Path) -> None:
    line = placed(block("args"), directory)
    assert line.startswith("args: ")
    controller = ["-device", "virtio-scsi-pci,id=scsihw0", "-smbios", f"type=1,uuid={UUID}", "-S"]
    vm = VM("a", binary=qemu, uuid_=None, arguments=[*controller, *shlex.split(line)[1:]])
    try:
        vm.start()
        vm.qmp.negotiate()
        (info,) = vm.qmp.execute("query-scsi-pr")
    finally:
        vm.close()
    assert info["store"] == f"file:{directory}/pr/quorum.pr"
    assert info["initiator"].startswith(f"iqn.2008-11.org.linux-kvm:{UUID},i,0x80")


@pytest.mark.parametrize("name", ["abstraction", "libvirtd"])
def test_apparmor(name: str, tmp_path: Path) -> None:
    """The lines are rules; that they suffice: test_apparmor.py."""
    profile = tmp_path / "profile"
    profile.write_text(f"#include <tunables/global>\nprofile x {{\n{block(name)}}}\n")
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    assert parser, "the package apparmor is missing: scripts/deps check"
    result = subprocess.run(
        [parser, "--skip-kernel-load", "--skip-cache", "--quiet", str(profile)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
