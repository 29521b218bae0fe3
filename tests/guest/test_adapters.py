# SPDX-License-Identifier: GPL-2.0-or-later
"""A scsi-hd behind every adapter, with the drivers of Linux: one VM has them all.

Each adapter's disk is a nexus of its own at one logical unit; `peer`, on virtio-scsi, is another.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest.lib import disk
from guest.lib.adapters import ADAPTERS, MMIO, Adapter, device_names
from guest.lib.disk import Disk
from guest.lib.agent import Result
from guest.lib.expect import TRY, conflict, drain, good, told
from guest.lib.matrix import Record
from guest.lib.scsi import GOOD, Initiator, Reservation, outcome
from guest.lib.vm import UP_TIMEOUT, VM

KEY_X, KEY_P = 0xABC0001, 0xABC0002
STORE = f"naa.{disk.WWN[2:]}.pr"  # as pr-dir calls it
XHCI = ["-device", "qemu-xhci,id=xhci,addr=0x0f"]

# What drivers say when they take an answer for a fault of the adapter.
TROUBLE = re.compile(r"reset|abort|timed? ?out|I/O error|DID_(?!OK)", re.I)


class Reader(Initiator):
    """Its commands are such as every adapter can do, and what busybox's dd does not hide: that
    writes through the page cache where a buffer is not aligned."""

    @property
    def probe(self) -> str:
        """READ(10): QEMU's megasas refuses commands without data."""
        return f"sg_raw -r 512 {self.device} 28 00 00 00 00 00 00 00 01 00"

    def write(self, text: str, block: int) -> Result:
        file = f"if=/tmp/block bs=512 count=1 seek={block} oflag=direct"
        self.vm.run(f"printf %-512s {shlex.quote(text)} >/tmp/block", check=True)
        return self.vm.run(f"sg_dd {file} of={self.device}")

    def read(self, block: int) -> Result:
        return self.vm.run(f"sg_dd if={self.device} bs=512 skip={block} count=1 iflag=direct")


def shared_disks(directory: Path, adapters: list[Adapter]) -> list[Disk]:
    image = disk.create(directory / "shared.img")
    store = f"file:{directory}/{STORE}"
    peer = Disk(image, "peer", pr_store=store)
    return [peer, *(adapter.disk(image, store) for adapter in adapters)]


def up(vm: VM) -> Iterator[VM]:
    """So many adapters, and such a large kernel, take their time."""
    try:
        vm.start()
        vm.wait_up(4 * UP_TIMEOUT)
        yield vm
    finally:
        vm.close()


@pytest.fixture(scope="module")
def pci(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    directory = tmp_path_factory.mktemp("adapters")
    disks = shared_disks(directory, ADAPTERS)
    # Properties for the disk that one of them makes itself.
    everywhere = ["-global", f"scsi-hd.pr-dir={directory}", "-global", f"scsi-hd.wwn={disk.WWN}"]
    modules = ["xhci_pci", *dict.fromkeys(adapter.module for adapter in ADAPTERS)]
    # QEMU wants an adapter before its disks.
    before = [*XHCI, *(word for adapter in ADAPTERS for word in adapter.arguments())]
    vm = VM(
        "adapters",
        disks,
        binary=qemu,
        kernel="standard",
        modules=modules,
        adapters=before,
        arguments=[*everywhere, "-bios", "qboot.rom"],  # SeaBIOS would try to boot from every disk
    )
    yield from up(vm)


@pytest.fixture(scope="module")
def mmio(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    """A machine without PCI."""
    disks = shared_disks(tmp_path_factory.mktemp("mmio"), [MMIO])
    vm = VM(
        "mmio",
        disks,
        binary=qemu,
        machine="microvm,pic=on,pit=on,rtc=on",
        kernel="standard",
        modules=["virtio_mmio"],
        append="lpj=4000000 tsc_early_khz=1000000",  # TCG has nothing to measure them by
        adapters=MMIO.arguments(),
    )
    yield from up(vm)


@pytest.fixture(params=[*ADAPTERS, MMIO], ids=[each.device for each in [*ADAPTERS, MMIO]])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    return found


@pytest.fixture
def nexuses(request: pytest.FixtureRequest, adapter: Adapter) -> tuple[Initiator, Initiator]:
    """The adapter's disk and the peer, with nothing registered and no unit attention waiting."""
    vm: VM = request.getfixturevalue("mmio" if adapter is MMIO else "pci")
    names = device_names(vm, adapter)
    x, peer = Reader(vm, names.disk), Reader(vm, names.peer)
    drained = [f"({TRY.format(each.probe)})" for each in (x, peer)]
    clear = f"sg_persist -n -o -I -S 1 {peer.device} && sg_persist -n -o -C -K 1 {peer.device}"
    # One command: each costs some processes in the guest.
    vm.run(f"{drained[1]} && {clear} && {' && '.join(drained)} && dmesg -c >/dev/null", check=True)
    return x, peer


def no_trouble(vm: VM) -> None:
    """The driver has taken everything for what it is: no reset, no time-out, no retry."""
    said = [line for line in vm.run("dmesg").out.splitlines() if TROUBLE.search(line)]
    assert [line for line in said if "reservation conflict" not in line] == []


def test_register_and_reserve(nexuses: tuple[Initiator, Initiator], cell: Record) -> None:
    x, peer = nexuses
    good(x.register(KEY_X), x.reserve(KEY_X, 6))
    assert x.keys() == peer.keys() == [KEY_X]
    assert x.reservation() == peer.reservation() == Reservation(KEY_X, 6)
    good(x.write("holder", 0), x.read(0))
    conflict(peer.write("not registered", 1))
    good(x.release(KEY_X, 6), x.register(0, KEY_X))
    assert x.keys() == []
    no_trouble(x.vm)
    cell("register, reserve")


def refused_commands(x: Initiator, adapter: Adapter) -> list[Callable[[], Result]]:
    """With data-out, with data-in, without data; raw, and by way of the kernel's block layer."""
    x.vm.run("head -c 1024 /dev/zero | tr '\\0' 'x' >/tmp/two", check=True)
    no_data = ["35 00 00 00 00 00 00 00 00 00", "1b 00 00 00 00 00"]  # SYNCHRONIZE CACHE, stop
    return [
        lambda: x.raw("2a 00 00 00 00 10 00 00 02 00", "-s 1024 -i /tmp/two"),
        lambda: x.raw("28 00 00 00 00 10 00 00 02 00", "-r 1024"),
        *[lambda cdb=cdb: x.raw(cdb) for cdb in no_data if adapter.has_no_data],
        lambda: x.reserve(KEY_X),
        lambda: x.write("conflicts", 16),
        lambda: x.read(16),
        lambda: x.vm.run(f"sg_dd if={x.device} bs=128k count=1 iflag=direct of=/dev/null"),
    ]


def refused_by_sense(result: Result) -> None:
    """As good as it gets by bulk-only transport."""
    if result.command.startswith("sg_dd"):
        assert result.code != 0, str(result)
    else:
        said = result.out + result.err
        assert outcome(result) == "DATA PROTECT", str(result)
        assert "revious reservation conflict" in said or "-n -o" in result.command, str(result)


def test_conflict(
    nexuses: tuple[Initiator, Initiator], adapter: Adapter, cell: Record
) -> None:
    """RESERVATION CONFLICT arrives as that status, with data-in, data-out and without data; the
    driver neither resets nor retries anything."""
    x, peer = nexuses
    good(peer.write("the holder's", 16))
    good(peer.register(KEY_P), peer.reserve(KEY_P, 6))
    for command in refused_commands(x, adapter):
        result = command()
        if adapter.has_status:
            conflict(result)
        else:
            refused_by_sense(result)
    if adapter.has_status:
        no_trouble(x.vm)
    assert peer.read(16).out.startswith("the holder's")
    good(peer.release(KEY_P, 6))
    drain(x)
    good(x.write("free again", 16), x.read(16))
    cell("conflict" if adapter.has_status else "conflict (sense data)")


def test_unit_attention(nexuses: tuple[Initiator, Initiator], cell: Record) -> None:
    """Conditions arrive once, with their sense data; PREEMPT, CLEAR, RELEASE."""
    x, peer = nexuses
    good(x.register(KEY_X), peer.register(KEY_P), peer.reserve(KEY_P), peer.release(KEY_P))
    told(x, "RESERVATIONS RELEASED")
    good(peer.preempt(KEY_P, KEY_X))
    told(x, "REGISTRATIONS PREEMPTED")
    good(x.register(KEY_X), peer.clear(KEY_P))
    told(x, "RESERVATIONS PREEMPTED")
    # REQUEST SENSE takes a condition; a READ is answered with it.
    good(x.register(KEY_X), peer.register(KEY_P), peer.preempt(KEY_P, KEY_X))
    asked = x.vm.run(f"sg_requests --maxlen=18 {x.device}")
    assert asked.code in (0, 6) and "Registrations preempted" in asked.out + asked.err, str(asked)
    good(x.read(0))
    good(x.register(KEY_X), peer.preempt(KEY_P, KEY_X))
    read = x.raw("28 00 00 00 00 00 00 00 08 00", "-r 4096")
    assert outcome(read) == "UNIT ATTENTION" and "Registrations preempted" in read.err, str(read)
    good(x.raw("28 00 00 00 00 00 00 00 08 00", "-r 4096"))
    cell("unit attention")


def test_preempt_and_abort(nexuses: tuple[Initiator, Initiator], cell: Record) -> None:
    """While X writes; after GOOD nothing of X's reaches the medium."""
    x, peer = nexuses
    good(x.register(KEY_X), x.reserve(KEY_X), peer.register(KEY_P))
    x.vm.run("rm -f /tmp/stop /tmp/wrote; head -c 65536 /dev/zero | tr '\\0' 'x' >/tmp/many", check=True)
    loop = (
        f"until [ -e /tmp/stop ]; do sg_dd if=/tmp/many of={x.device} bs=512 count=128 seek=512 "
        "oflag=direct 2>/dev/null && touch /tmp/wrote; done; true"
    )
    writer = x.vm.begin(loop)
    x.vm.run("until [ -e /tmp/wrote ]; do usleep 50000; done", check=True)
    good(peer.preempt_and_abort(KEY_P, KEY_X))
    wipe = f"sg_dd if=/dev/zero of={peer.device} bs=512 count=128 seek=512 oflag=direct"
    good(peer.vm.run(wipe))
    x.vm.run("usleep 300000; touch /tmp/stop", check=True)
    x.vm.finish(writer)
    read = f"sg_dd if={peer.device} bs=512 count=128 skip=512 iflag=direct"
    left = peer.vm.run(f"{read} | tr -d '\\0' | wc -c")
    assert left.out.strip() == "0", "X has written after its fencing"
    drain(x)
    good(x.read(512))
    fenced = x.write("fenced", 512)
    assert outcome(fenced) != GOOD and peer.keys() == [KEY_P], str(fenced)
    cell("PREEMPT AND ABORT")


def register_raw(x: Initiator, key: int, size: int) -> Result:
    """REGISTER AND IGNORE EXISTING KEY with a list of 24 bytes in a buffer of another size."""
    listed = f"{0:016x}{key:016x}{0:016x}"
    ones = "ff" * 512
    octal = "".join(f"\\{int(byte, 16):03o}" for byte in re.findall("..", (listed + ones)[: 2 * size]))
    x.vm.run(f"printf '{octal}' >/tmp/list", check=True)
    return x.raw("5f 06 00 00 00 00 00 00 18 00", f"-s {size} -i /tmp/list")


@pytest.mark.usefixtures("qemu")
def test_longer_buffer(nexuses: tuple[Initiator, Initiator]) -> None:
    """The PARAMETER LIST LENGTH counts, not how much more the initiator has sent; a driver takes
    what was not transferred for no error."""
    x, peer = nexuses
    for size in (24, 32, 512):
        good(register_raw(x, KEY_X + size, size))
        assert peer.keys() == [KEY_X + size]
    no_trouble(x.vm)


# Those that hand on what has come of a list that they were asked for.
# The others refuse the command themselves, or wait for the rest.
TAKE_LESS = [
    each for each in ADAPTERS if each.device in ("pvscsi", "megasas", "megasas-gen2", "usb-bot")
]


@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize("adapter", TAKE_LESS, ids=[each.device for each in TAKE_LESS], indirect=True)
def test_shorter_buffer(nexuses: tuple[Initiator, Initiator]) -> None:
    """What does not come whole changes nothing: 16 bytes of the list would be a REGISTER with a key."""
    x, peer = nexuses
    good(x.register(KEY_X))
    result = register_raw(x, KEY_X + 1, 16)
    assert outcome(result) != GOOD, str(result)
    assert peer.keys() == [KEY_X]
