# SPDX-License-Identifier: GPL-2.0-or-later
"""The package, libvirt's daemon and Debian's own QEMU, with all that confines a domain: AppArmor's
profile, seccomp, a user of its own, a /dev of its own."""

from __future__ import annotations

import pytest

from guest.lib import host as machine
from guest.lib.qmp import QmpError
from guest.test_management import BY_IDENTITY, SECCOMP_MODE_FILTER, block

from .domain import EMULATOR_OF_OURS, NO_OVERRIDE, PLUGIN, Domain
from .host import EMULATOR, Host

WRAPPER = "/usr/bin/qemu-system-x86_64-scsi-pr"
STORES = "/var/lib/scsi-pr"
RULES = "/etc/apparmor.d/abstractions/libvirt-qemu.d/scsi-pr"
PLUGINS = "/usr/lib/x86_64-linux-gnu/qemu"
THE_END = "That was it."

Domains = dict[str, Domain]


def is_confined(*domains: Domain) -> None:
    """And nothing that it wants to do is refused."""
    for domain in domains:
        assert domain.profile() == f"libvirt-{domain.uuid} (enforce)"
        assert domain.status("Seccomp") == str(SECCOMP_MODE_FILTER)
        assert domain.status("Uid") == domain.host.out("id -u libvirt-qemu").strip()
    assert domains[0].host.denials() == []


def test_libvirt_enforces(host: Host) -> None:
    """As Debian configures it."""
    assert "<model>apparmor</model>" in host.out("virsh capabilities")
    assert "libvirtd (enforce)" in host.out("cat /sys/kernel/security/apparmor/profiles")
    assert host.run("grep -vE '^ *(#|$)' /etc/libvirt/qemu.conf").out == ""


@pytest.mark.parametrize("emulator", [str(EMULATOR), WRAPPER])
def test_capabilities(host: Host, emulator: str) -> None:
    """libvirt probes an emulator before it starts it, without a domain's options."""
    said = host.out(f"virsh domcapabilities --virttype qemu --emulatorbin {emulator}")
    assert f"<path>{emulator}</path>" in said and "<value>scsi</value>" in said


def test_fencing(domains: Domains) -> None:
    """Two domains with profiles of their own, one disk; the page's override and the plugin's option."""
    a, b = domains["a"], domains["b"]
    a.start("register=a reserve=a write write-on")
    a.await_line("write: GOOD")
    assert a.stores() == [f"file:{STORES}/quorum.pr"]
    b.start("register=b write preempt=b,a write")
    b.await_line(THE_END)
    assert b.statuses() == ["register=b: GOOD", "write: GOOD", "preempt=b,a: GOOD", "write: GOOD"]
    a.await_line("write-on: RESERVATION CONFLICT")
    assert a.keys() == b.keys() == [0xB]
    is_confined(a, b)


def test_registration_survives(domains: Domains) -> None:
    """APTPL: it is there when the domain starts again."""
    a = domains["a"]
    a.start("register=a reserve=a")
    a.await_line(THE_END)
    a.destroy()
    a.start("write")
    a.await_line("write: GOOD")
    assert a.keys() == [0xA]
    is_confined(a)


def test_administrator(host: Host, domains: Domains) -> None:
    """By QMP; and by the tool, which no profile confines."""
    a = domains["a"]
    a.start("register=a reserve=a write-on")
    a.await_line("reserve=a: GOOD")
    said = host.out(f"scsi-pr info file:{STORES}/quorum.pr")
    assert "0x000000000000000a" in said and "VM node-a, device ua-quorum" in said
    a.execute("scsi-pr-preempt", device="ua-quorum", key="0xa")
    host.await_("the administrator's preemption", lambda: a.keys() == [])
    is_confined(a)


def test_whole_host(host: Host, domains: Domains) -> None:
    """The page's one line; also for a disk that is plugged later."""
    a = domains["a"]
    both = (block("commandline") + PLUGIN).replace("</qemu:commandline>\n  <qemu:commandline>\n", "")
    assert both.count("<qemu:commandline>") == 1
    a.start("register=a", NO_OVERRIDE, both)
    a.await_line("register=a: GOOD")
    disk = "<disk type='file'><driver name='qemu' type='raw'/><source file='/srv/late.img'/>"
    disk += "<target dev='sdb' bus='scsi'/><shareable/><wwn>5000c50015ea71ad</wwn></disk>"
    host.write("/srv/late.xml", disk)
    host.run("truncate -s 1M /srv/late.img && virsh attach-device node-a /srv/late.xml", check=True)
    late = BY_IDENTITY.replace("71ac", "71ad")
    assert sorted(a.stores()) == [f"file:{STORES}/{name}" for name in (BY_IDENTITY, late)]
    is_confined(a)


def test_wrapper_of_the_package(domains: Domains) -> None:
    assert WRAPPER in block("emulator", machine.ROOT / "docs/plugin.md")
    a = domains["a"]
    a.start("register=a", NO_OVERRIDE, "", WRAPPER)
    a.await_line("register=a: GOOD")
    assert a.stores() == [f"file:{STORES}/{BY_IDENTITY}"]
    is_confined(a)


def test_a_file_that_was_replaced(host: Host, domains: Domains) -> None:
    """What counts is the file that QEMU has open, and the profile lets it look."""
    a = domains["a"]
    a.start("")
    image = {"driver": "file", "filename": "/srv/quorum.img"}
    a.execute("blockdev-add", **{"driver": "raw", "node-name": "late", "file": image})
    host.run("cd /srv && cp -p quorum.img other.img && mv other.img quorum.img", check=True)
    device = {"driver": "scsi-hd", "bus": "scsi0.0", "drive": "late", "share-rw": True, "wwn": 1}
    device |= {"pr-store": f"file:{STORES}/late.pr", "pr-initiator": "naa.5000000000000001"}
    with pytest.raises(QmpError, match="is not the file, or not any more"):
        a.execute("device_add", **device)
    assert host.denials() == []


def test_without_the_rules(host: Host, domains: Domains) -> None:
    host.run(f"mv {RULES} /root/", check=True)
    try:
        result = domains["a"].create("")
    finally:
        host.run(f"mv /root/scsi-pr {RULES}", check=True)
    assert result.code and "/run/scsi-pr cannot be used: Permission denied" in result.err, result
    assert any('name="/run/scsi-pr/"' in line for line in host.denials())


def test_without_the_plugin(host: Host, domains: Domains) -> None:
    """The loader may not list its directory; what to do it says."""
    host.run(f"mkdir /root/plugins && mv {PLUGINS}/scsi-pr-*.so /root/plugins/", check=True)
    try:
        result = domains["a"].create("")
    finally:
        host.run(f"mv /root/plugins/* {PLUGINS}/", check=True)
    assert result.code and "no plugin for this QEMU" in result.err, result
    assert "scsi-pr-plugin-build" in result.err


def test_emulator_elsewhere(host: Host, domains: Domains) -> None:
    """The page's emulator is not where Debian's is. Both blocks of rules are needed, and suffice."""
    a = domains["a"]
    # Debian's stands for one of ours; it looks for modules and firmware beside itself.
    host.run(f"cp {EMULATOR} {EMULATOR_OF_OURS}; mkdir -p /usr/local/lib/x86_64-linux-gnu", check=True)
    host.run(f"ln -s {PLUGINS} /usr/local/lib/x86_64-linux-gnu/; ln -s /usr/share/qemu /usr/local/share/", check=True)
    for name, file in (("libvirtd", "usr.sbin.libvirtd"), ("abstraction", "abstractions/libvirt-qemu")):
        result = a.create("", emulator=EMULATOR_OF_OURS)
        assert result.code and f"cannot execute binary {EMULATOR_OF_OURS}" in result.err, result
        host.write(f"/etc/apparmor.d/local/{file}", block(name), ">>")
        host.run("systemctl reload apparmor", check=True)
    host.run(f"mv {RULES} /root/; dmesg --clear", check=True)  # the page's own are enough
    try:
        a.start("register=a", emulator=EMULATOR_OF_OURS)
    finally:
        host.run(f"mv /root/scsi-pr {RULES}", check=True)
    a.await_line("register=a: GOOD")
    is_confined(a)
