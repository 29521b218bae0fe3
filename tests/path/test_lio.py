# SPDX-License-Identifier: GPL-2.0-or-later
"""Path groups at the kernel's own target, LIO: two hosts with two paths each, in one guest.

By tcm_loop, and by iSCSI: two portals, an initiator for each host. And at scsi_debug, a storage
without persistent reservations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib.vm import VM
from hosts.etcd import why_no_etcd

from . import bed, daemons
from .bed import CLOSED, DOES_NOT_FIT, DONE, REFUSED, Host

ONLY_NEWEST_QEMU = True  # it is the guest's kernel that is looked at


@pytest.fixture(scope="module", params=["tcm_loop", pytest.param("iscsi", marks=pytest.mark.long)])
def guest(request: pytest.FixtureRequest, qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    more = daemons.programs() if request.param == "iscsi" else []
    with bed.lio(qemu, tmp_path_factory.mktemp("lio"), request.param, more) as vm:
        yield vm


# What is ours, whatever brings the commands to the disk.
only_once = pytest.mark.transport("tcm_loop")
# PREEMPT AND ABORT behind tcm_loop hangs.
only_iscsi = pytest.mark.transport("iscsi")


@pytest.fixture
def a(guest: VM) -> Iterator[Host]:
    yield from a_host(guest, "a", 1)


@pytest.fixture
def b(guest: VM) -> Iterator[Host]:
    yield from a_host(guest, "b", 3)


def a_host(guest: VM, name: str, first: int) -> Iterator[Host]:
    host = Host(guest, name, (f"/dev/path{first}", f"/dev/path{first + 1}"), 0xA0 + first)
    assert host.add().code == DONE
    yield host
    guest.run(f"scsi-pr path close {host.options} g; scsi-pr path remove {host.options} g")
    assert host.status().code == DOES_NOT_FIT, "the group is forgotten"


def test_one_host_has_it_by_all_its_paths(a: Host, b: Host) -> None:
    """Figures 4, 5 and 11."""
    assert a.open().code == DONE
    assert a.writes() == [True, True]
    refused = b.open()
    assert refused.code == REFUSED
    assert "0x00000000000000a1" in refused.err, "the holder's key"
    assert b.status().code == CLOSED
    said = bed.persist(a.vm, "/dev/path1", "-r")
    assert "Key=0xa1" in said and "Exclusive Access, registrants only" in said
    assert bed.persist(a.vm, "/dev/path1", "-k").count("0xa1") == 2
    told = a.told()
    assert (told["state"], told["reserved"], told["logical-unit"]["ours"]) == ("open", 0, True)


def test_who_is_not_registered_is_kept_out(a: Host, b: Host) -> None:
    """Registrants Only: the storage lets every registered host in, also one that has not opened."""
    assert a.open().code == DONE
    assert b.writes() == [True, True]
    assert b.path("remove g").code == DONE
    assert b.writes() == [False, False]
    assert b.add().code == DONE


def test_a_retained_reservation(a: Host, b: Host) -> None:
    """Figures 9, 10 and 6."""
    assert a.open("--retain").code == DONE
    assert a.close().code == DONE
    assert b.open().code == REFUSED
    assert a.open("--no-reserve").code == DONE
    assert b.open().code == DONE
    assert a.open("--no-reserve").code == REFUSED


def test_the_holder_is_gone(guest: VM, a: Host, b: Host) -> None:
    """Figure 12, by another path."""
    device = f"/sys/block/$(readlink {a.paths[0]})/device"
    assert a.open().code == DONE
    guest.run(f"echo offline >{device}/state", check=True)
    try:
        assert a.status().code == DONE, "by the other path"
        assert a.close().code == DONE
        assert b.open().code == DONE
    finally:
        b.close()  # or the kernel does not get the size of the disk again
        guest.run(f"echo running >{device}/state; echo 1 >{device}/rescan", check=True)


def test_a_path_that_comes_later(guest: VM, a: Host) -> None:
    """Figure 5 for one path, while the others are in use."""
    assert a.path(f"remove g {a.paths[1]}").code == DONE
    assert a.open().code == DONE
    assert a.writes() == [True, False]
    assert a.add(a.paths[1]).code == DONE
    assert a.writes() == [True, True]
    assert a.path(f"remove g {a.paths[0]}").code == DOES_NOT_FIT, "it has made the reservation"


@only_once
def test_refusals(guest: VM, a: Host) -> None:
    other = a.add("/dev/debug1")
    assert other.code == DOES_NOT_FIT and "leads to" in other.err
    assert a.add("/dev/nothing").code == bed.UNUSABLE
    node = guest.run(f"echo /dev/$(ls /sys/block/$(readlink {a.paths[0]})/device/scsi_generic)").out.strip()
    same = a.add(node)
    assert same.code == DOES_NOT_FIT and "is the same path as" in same.err
    assert a.open("--single").code == DONE
    assert a.open().code == DOES_NOT_FIT
    assert a.open("--forced --retain").code > 100


@only_once
def test_steps_are_told(a: Host) -> None:
    said = a.path("open --verbose g").err
    for step in ("REGISTER AND IGNORE EXISTING KEY", "READ RESERVATION", "RESERVE, key"):
        assert f"{a.paths[0]}: {step}" in said


def test_sg_nodes_are_paths(guest: VM, a: Host, b: Host) -> None:
    node = "/dev/$(ls /sys/block/$(readlink {})/device/scsi_generic)"
    nodes = guest.run("echo " + " ".join(node.format(path) for path in a.paths)).out.split()
    assert a.path("remove g").code == DONE
    assert a.add(*nodes).code == DONE
    assert a.open().code == DONE
    assert a.writes() == [True, True]
    assert b.open().code == REFUSED
    assert a.close().code == a.path("remove g").code == DONE
    assert a.add().code == DONE


# A map of dm-multipath over two paths, without multipathd: /dev/mapper/mpatha.
MAP = """
modprobe -a dm-multipath dm-round-robin
paths=
for path in /dev/path1 /dev/path2; do paths="$paths $(cat /sys/block/$(readlink $path)/dev) 1000"; done
echo "0 $(blockdev --getsz /dev/path1) multipath 0 0 1 1 round-robin 0 2 1$paths" |
    dmsetup --noudevsync --noudevrules create mpatha --uuid mpath-test
mkdir -p /dev/mapper
ln -sf ../dm-0 /dev/mapper/mpatha # what udev would do
"""


def test_a_path_of_a_map_fails(guest: VM, b: Host) -> None:
    """What it is all for (figure 2): I/O goes on by another path, for it is registered, too; and who
    has lost the disk writes by none of them."""
    if guest.run("command -v dmsetup").code:
        pytest.skip("dmsetup is not installed on this machine")
    state = "/sys/block/$(readlink /dev/path1)/device/state"
    guest.run(MAP, check=True)
    host = Host(guest, "map", ["/dev/mapper/mpatha"], 0xC)
    try:
        assert host.add().code == DONE
        disks = guest.run("for n in 1 2; do readlink -f /dev/path$n; done").out.split()
        assert sorted(path["device"] for path in host.told()["paths"]) == sorted(disks)
        assert host.open().code == DONE
        assert host.writes() == [True]
        guest.run(f"echo offline >{state}", check=True)
        assert [host.writes() for _ in range(3)] == [[True]] * 3, "by the other path"
        assert host.close().code == DONE
        assert host.path("remove g").code == DONE
        assert b.open().code == DONE
        assert host.writes() == [False]
    finally:
        b.close()
        guest.run(f"echo running >{state}; dmsetup --noudevsync --noudevrules remove -f mpatha", check=True)
        guest.run("echo 1 >/sys/block/$(readlink /dev/path1)/device/rescan", check=True)


@only_once
def test_killed_at_any_time(guest: VM, a: Host, b: Host) -> None:
    """kill -9 of open and of close, after each of their SCSI commands but the last one; what comes next
    finds out what is so."""
    lines = [len(a.path(f"{verb} --verbose g").err.splitlines()) for verb in ("open", "close")]
    assert min(lines) > 1
    killed = 0
    for n in range(1, max(lines)):
        for verb, count in zip(("open", "close"), lines):
            killed += kill_after(guest, f"scsi-pr path {verb} {a.options} --verbose g", min(n, count - 1))
        opened = n % 2 == 1
        assert (a.open() if opened else a.close()).code == DONE
        assert b.open().code == (REFUSED if opened else DONE)
        assert b.close().code == DONE
        assert a.told()["state"] == ("open" if opened else "closed")
    assert killed, "none was killed in the middle"


def kill_after(guest: VM, command: str, lines: int) -> bool:
    """When it has said so many. False: it has ended by then."""
    said = "/tmp/said"
    done = guest.run(
        f"mkfifo {said}; exec 3<>{said}; {command} 2>&3 & p=$!; timeout 20 head -n {lines} <&3 >/dev/null;"
        f" kill -9 $p && echo killed; wait $p; exec 3>&-; rm {said}"
    )
    return "killed" in done.out


@only_once
def test_without_persistent_reservations(guest: VM) -> None:
    """The single path function."""
    host = Host(guest, "debug", ("/dev/debug1", "/dev/debug2"), 0xD)
    added = host.add()
    assert added.code == DONE and "no persistent reservations" in added.err
    opened = host.path("open --verbose g")
    assert opened.code == DONE and "RESERVE(6)" in opened.err
    assert host.told()["persistent"] is False
    assert "RELEASE(6)" in host.path("close --verbose g").err
    assert host.path("remove g").code == DONE


def test_resource_agent(guest: VM, a: Host, b: Host) -> None:
    """Pacemaker's way: start on the one host, then on the other."""
    for host in (a, b):
        assert host.path("remove g").code == DONE
    assert a.agent("monitor", "default") == 7
    assert a.agent("start", "default") == 0
    assert a.agent("start", "default") == 0, "once more"
    assert a.agent("monitor", "default") == 0
    assert b.agent("start", "default") == 1, "another host has it"
    assert b.writes() == [False, False]
    assert b.agent("stop", "default") == 0
    assert a.agent("stop", "default") == 0
    assert a.agent("stop", "default") == 0, "once more"
    assert b.agent("start", "default") == 0
    assert a.writes() == [False, False], "stopped is not registered"
    assert b.agent("stop", "default") == 0
    assert b.agent("monitor", "default") == 7
    assert "0x" not in bed.persist(guest, "/dev/path1", "-k").replace("generation=0x", "")
    assert a.agent("start", "every") == 6, "OCF_ERR_CONFIGURED"
    for host in (a, b):
        assert host.add().code == DONE


@only_iscsi
def test_the_disk_is_taken_over(a: Host, b: Host) -> None:
    """Figure 8, at a target that is not ours."""
    assert a.open().code == DONE
    assert b.open("--forced").code == DONE
    assert (a.writes(), b.writes()) == ([False, False], [True, True])
    assert a.status().code == REFUSED
    assert bed.persist(b.vm, b.paths[0], "-k").count("0xa3") == 2
    assert a.open("--forced").code == DONE
    assert (a.writes(), b.writes()) == ([True, True], [False, False])


@only_iscsi
def test_a_host_is_fenced_by_hand(a: Host, b: Host) -> None:
    """As in test_hosts.py, at a target that is not ours."""
    of_all = "--type write-exclusive-all-registrants"
    for host in (a, b):
        assert host.path("remove g").code == DONE
        assert host.path(f"add --key {host.key:#x} {of_all} g {' '.join(host.paths)}").code == DONE
        assert host.open().code == DONE
    assert a.path(f"fence g --key {b.key:#x}").code == DONE
    assert (a.writes(), b.writes()) == ([True, True], [False, False])
    assert b.path(f"fence g --key {a.key:#x}").code == REFUSED


@only_iscsi
def test_a_frozen_host_is_fenced_by_scsi_prd(guest: VM) -> None:
    """As in test_daemon_fence.py, at a target that is not ours."""
    if why := why_no_etcd():
        pytest.skip(why)
    paths = guest.run("for n in 1 2 3 4; do readlink -f /dev/path$n; done").out.split()
    hosts = daemons.two_hosts(guest, paths)
    daemons.joined(*hosts)
    fencing = daemons.Fencing(*hosts)
    fencing.freeze()
    fencing.fences()
    fencing.has_fenced()
    fencing.close()
    for host in hosts:
        host.wait_joined()
        host.stop()
        host.retire()


@only_iscsi
def test_a_portal_is_lost(guest: VM, a: Host, b: Host) -> None:
    """That of the path that has made the reservation: figure 12, by another one. The kernel holds the
    commands of such a path for two minutes: nobody waits for that. The guest's last test, for nobody
    logs in again."""
    assert a.open().code == DONE
    assert a.told()["reserved"] == 0
    states = "cat /sys/block/$(basename $(readlink -f /dev/path%d))/device/state"
    guest.run(
        f"echo 0 >/sys/kernel/config/target/iscsi/{bed.TARGET}/tpgt_1/enable;"
        f"until [ \"$({states % 1}) $({states % 3})\" = 'blocked blocked' ]; do usleep 100000; done",
        timeout=60,
        check=True,
    )
    began = time.monotonic()
    assert a.status().code == DONE
    assert b.open().code == REFUSED
    assert a.close().code == DONE
    assert b.open().code == DONE
    assert "Key=0xa3" in bed.persist(guest, "/dev/path4", "-r")
    assert a.open("--forced").code == DONE
    assert "Key=0xa1" in bed.persist(guest, "/dev/path2", "-r")
    assert time.monotonic() - began < 60
