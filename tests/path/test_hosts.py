# SPDX-License-Identifier: GPL-2.0-or-later
"""Path groups at a disk of ours: two guests that share a scsi-hd, each by two adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import bed
from .bed import CLOSED, DOES_NOT_FIT, DONE, REFUSED, WORLD_WIDE_NAME, Host


@pytest.fixture(scope="module")
def guests(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    with bed.hosts(qemu, tmp_path_factory.mktemp("hosts")) as both:
        yield both


@pytest.fixture
def pair(guests: tuple[Host, Host]) -> Iterator[tuple[Host, Host]]:
    """Nobody is registered when a test begins."""
    yield guests
    for host in guests:
        host.close()
        host.path("remove g")
        assert host.status().code == DOES_NOT_FIT, "the group is forgotten"


def test_the_disk_moves_from_host_to_host(pair: tuple[Host, Host]) -> None:
    """Figures 4, 5, 8, 11 and 12."""
    a, b = pair
    for host in pair:
        assert host.add().code == DONE
        assert host.told()["unit"] == WORLD_WIDE_NAME
    assert a.open().code == DONE
    assert a.writes() == [True, True]
    assert b.open().code == REFUSED
    assert a.close().code == DONE
    assert b.open().code == DONE
    assert b.writes() == [True, True]
    assert a.open("--forced").code == DONE
    assert (a.writes(), b.writes()) == ([True, True], [False, False])
    assert b.status().code == REFUSED
    assert b.close().code == DONE
    assert b.status().code == CLOSED
    assert a.close().code == DONE


def test_a_host_dies(pair: tuple[Host, Host]) -> None:
    """Its reservation stays, and the other one takes it; when it is back it has nothing."""
    a, b = pair
    assert a.add().code == b.add().code == DONE
    assert a.open().code == DONE
    a.vm.reset()
    assert b.open().code == REFUSED, "a reset releases nothing"
    assert b.open("--forced").code == DONE
    assert (a.writes(), b.writes()) == ([False, False], [True, True])
    assert a.add().code == DONE, "its groups are forgotten"
    assert a.open().code == REFUSED
    assert b.close().code == DONE


def test_a_host_is_fenced_by_hand(pair: tuple[Host, Host]) -> None:
    """Hosts that use the disk at once, as those of scsi-prd do."""
    a, b = pair
    of_all = "--type write-exclusive-all-registrants"
    for host in pair:
        assert host.path(f"add --key {host.key:#x} {of_all} g {' '.join(host.paths)}").code == DONE
        assert host.open().code == DONE
    assert (a.writes(), b.writes()) == ([True, True], [True, True])
    fence = f"fence g --key {b.key:#x}"
    assert a.path(fence).code == DONE
    assert (a.writes(), b.writes()) == ([True, True], [False, False])
    again = a.path(fence)
    assert again.code == DONE and "nobody is registered with" in again.err
    assert b.path(f"fence g --key {a.key:#x}").code == REFUSED
    assert a.path("fence g --machine-id typo").code == DOES_NOT_FIT
    assert a.close().code == DONE


def test_pacemaker_moves_it(pair: tuple[Host, Host]) -> None:
    """The resource agent on the one host, then on the other while the first one still has it."""
    a, b = pair
    assert a.agent("monitor", "forced") == 7
    assert a.agent("start", "forced") == 0
    assert (a.writes(), b.writes()) == ([True, True], [False, False])
    assert b.agent("start", "default") == 1
    assert b.writes() == [False, False]
    assert b.agent("start", "forced") == 0
    assert (a.writes(), b.writes()) == ([False, False], [True, True])
    assert a.agent("monitor", "forced") == 1, "lost"
    assert a.agent("stop", "forced") == 0
    assert b.agent("monitor", "forced") == 0
    assert b.agent("stop", "forced") == 0
    assert (a.writes(), b.writes()) == ([True, True], [True, True]), "nobody has it"


def test_the_key_is_the_machines(pair: tuple[Host, Host]) -> None:
    """Without --key, from /etc/machine-id: the same one each time, another one on another host."""
    keys = []
    for number, host in enumerate(pair):
        host.vm.run(f"mkdir -p /etc; printf '%032d\\n' {number} >/etc/machine-id", check=True)
        for _ in range(2):
            assert host.path(f"add own {' '.join(host.paths)}").code == DONE
            assert host.path("open --no-reserve own").code == DONE
            keys.append(bed.persist(host.vm, "/dev/sda", "-k"))
            assert host.path("close own").code == host.path("remove own").code == DONE
    own = [[line for line in said.splitlines() if line.startswith("    0x")][0] for said in keys]
    assert own[0] == own[1] and own[2] == own[3] and own[0] != own[2]
