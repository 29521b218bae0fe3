# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that migrate while they write, and are fenced meanwhile.

SCSI_PR_MIGRATIONS is how many fencings in a row are tried (4; docs/testing.md), SCSI_PR_SEED fixes
when they come.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import disk, host
from guest.lib.agent import Task
from guest.lib.disk import Disk
from guest.lib.matrix import Record
from guest.lib.migration import Migration, migrate
from guest.lib.scsi import CONFLICT, GOOD, UNIT_ATTENTION, Initiator, outcome, sense
from guest.lib.vm import VM, boot

FENCER, VICTIM = 0xF, 0x100
WRITERS, FIRST_BLOCK, BLOCKS = 4, 100, 64
PREEMPTED = f"{UNIT_ATTENTION}, REGISTRATIONS PREEMPTED"


class Pair:
    """The fencer stays in its process; the victim does not."""

    def __init__(self, directory: Path, binary: Path, victim: Path | None = None, **options: str) -> None:
        self.image = disk.create(directory / "quorum.img")
        self.store = f"file:{directory}/quorum.pr"
        self.fencer = self._vm("fencer", binary, **options)
        self.victim = self._vm("victim", victim or binary, **options)

    def _vm(self, name: str, binary: Path, **options: str) -> VM:
        return VM(name, [Disk(self.image, pr_store=self.store)], binary=binary, **options)  # type: ignore[arg-type]

    def boot(self) -> Pair:
        boot([self.fencer, self.victim])
        fencer = Initiator(self.fencer)
        assert outcome(fencer.register_and_ignore(FENCER)) == GOOD
        assert outcome(fencer.reserve(FENCER)) == GOOD
        return self

    def close(self) -> None:
        self.fencer.close()
        self.victim.close()

    def register(self, key: int) -> None:
        victim = Initiator(self.victim)
        victim.keys()  # takes what waits of the last fencing
        assert outcome(victim.register_and_ignore(key)) == GOOD

    def fence(self, key: int) -> None:
        assert outcome(Initiator(self.fencer).preempt_and_abort(FENCER, key)) == GOOD

    def blocks(self) -> bytes:
        """What the victim writes to, as it is on the medium."""
        with self.image.open("rb") as image:
            image.seek(FIRST_BLOCK * 512)
            return image.read(BLOCKS * 512)

    def wipe(self) -> None:
        self.fencer.run(
            f"dd if=/dev/zero of=/dev/sda bs=512 seek={FIRST_BLOCK} count={BLOCKS} oflag=direct",
            check=True,
        )

    def start_writing(self, tag: str) -> list[Task]:
        """Writers that end with their first error, or once /run/enough is there."""
        self.wipe()
        self.victim.run("rm -f /run/enough", check=True)
        write = (
            f"echo {tag} | dd of=/dev/sda bs=512 seek=$(({FIRST_BLOCK} + n % {BLOCKS})) count=1"
            " conv=sync oflag=direct 2>&1"
        )
        tasks = [
            self.victim.begin(
                f"n={at * BLOCKS // WRITERS}; until [ -e /run/enough ]; do"
                f" said=$({write}) || {{ echo $said; exit 1; }}; n=$((n + 1)); done"
            )
            for at in range(WRITERS)
        ]
        while tag.encode() not in self.blocks():
            time.sleep(0.01)
        return tasks

    def stop_writing(self, tasks: list[Task]) -> None:
        self.victim.run("touch /run/enough", check=True)
        for task in tasks:
            self.victim.finish(task, check=True)


@pytest.fixture
def pair(qemu: Path, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, qemu)
    try:
        yield pair.boot()
    finally:
        pair.close()


def test_io_and_registration_go_on(pair: Pair, cell: Record) -> None:
    pair.register(VICTIM)
    tasks = pair.start_writing("here")
    for _ in range(2):
        pair.victim = migrate(pair.victim)
    pair.stop_writing(tasks)
    pair.wipe()
    tasks = pair.start_writing("there")
    pair.stop_writing(tasks)
    assert sorted(Initiator(pair.victim).keys()) == [FENCER, VICTIM]
    cell("migration")


def test_fenced_in_the_middle(pair: Pair) -> None:
    """After GOOD nothing of the fenced VM reaches the medium, wherever it was at that time."""
    seed = int(os.environ.get("SCSI_PR_SEED", random.randrange(1 << 32)))
    print(f"SCSI_PR_SEED={seed}")
    moments = random.Random(seed)
    length = 1.0
    for n in range(int(os.environ.get("SCSI_PR_MIGRATIONS", 4))):
        key = VICTIM + n
        pair.register(key)
        tasks = pair.start_writing(f"round {n}")
        migration = Migration(pair.victim)
        migration.begin()
        start = time.monotonic()
        time.sleep(moments.uniform(0, 1.2 * length))
        pair.fence(key)
        pair.wipe()
        pair.victim = migration.finish()
        length = time.monotonic() - start
        said = [pair.victim.finish(task, timeout=60).out for task in tasks]
        assert any("Invalid exchange" in words for words in said), said
        assert pair.blocks() == bytes(BLOCKS * 512), f"round {n}: a write came after GOOD"
        assert Initiator(pair.victim).keys() == [FENCER]
        assert outcome(Initiator(pair.victim).write("late", FIRST_BLOCK)) == CONFLICT


def test_killed_destination_gives_it_back(pair: Pair) -> None:
    pair.register(VICTIM)
    tasks = pair.start_writing("here")
    migration = Migration(pair.victim)
    pair.victim.qmp.execute("migrate-set-parameters", {"max-bandwidth": 1 << 20})
    migration.begin()
    migration.destination.kill()
    migration.fail()
    pair.stop_writing(tasks)
    assert sorted(Initiator(pair.victim).keys()) == [FENCER, VICTIM]


def test_source_that_goes_on(pair: Pair) -> None:
    """A second run of a guest that has left: refused, and its log says why."""
    pair.register(VICTIM)
    migration = Migration(pair.victim)
    migration.begin()
    migration.arrived()
    pair.victim.qmp.execute("cont")
    deadline = time.monotonic() + 30
    while "I_T nexus is still another process's" not in pair.victim.qemu_log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pair.victim.qmp.execute("stop")
    pair.victim = migration.finish()
    assert outcome(Initiator(pair.victim).write("there", FIRST_BLOCK)) == GOOD
    assert sorted(Initiator(pair.victim).keys()) == [FENCER, VICTIM]


def test_store_of_another_host(pair: Pair, tmp_path: Path) -> None:
    """Another host has another store behind the same URI: refused, and the guest runs on."""
    other = tmp_path / "other"
    other.mkdir()
    # A host that does not know what guards the medium here.
    apart: dict[str, object] = {"pr-accept-medium": "on"}
    elsewhere = Disk(pair.image, pr_store=f"file:{other}/quorum.pr", properties=apart)
    with VM("other", [elsewhere], binary=pair.victim.binary):
        pass
    pair.register(VICTIM)
    tasks = pair.start_writing("here")
    pair.victim.disks[0].pr_store = f"file:{other}/quorum.pr"
    pair.victim.disks[0].properties = apart
    migration = Migration(pair.victim)
    migration.begin()
    assert "quorum.pr" in migration.fail()
    assert not any(event["event"] == "STOP" for event in pair.victim.qmp.events)
    pair.stop_writing(tasks)


def test_older_series_to_newer(tmp_path: Path) -> None:
    """QEMU 7.2 to 10.0, with a machine that both have."""
    binaries = host.binaries()
    if not {"7.2", "10.0"} <= binaries.keys():
        pytest.skip("needs QEMU 7.2 and 10.0")
    pair = Pair(tmp_path, binaries["7.2"], machine="pc-q35-7.2")
    try:
        pair.boot()
        pair.register(VICTIM)
        tasks = pair.start_writing("old")
        pair.victim = migrate(pair.victim, binaries["10.0"])
        pair.stop_writing(tasks)
        pair.fencer = migrate(pair.fencer, binaries["10.0"])
        assert sorted(Initiator(pair.victim).keys()) == [FENCER, VICTIM]
        pair.fence(VICTIM)
        assert sense(Initiator(pair.victim).test_unit_ready()) == PREEMPTED
        assert outcome(Initiator(pair.victim).write("late", FIRST_BLOCK)) == CONFLICT
    finally:
        pair.close()


def test_no_store_where_the_guest_shall_go(pair: Pair, tmp_path: Path) -> None:
    """A file: store that does not exist is not made for a guest that comes."""
    pair.victim.disks[0].pr_store = f"file:{tmp_path}/nowhere.pr"
    twin = pair.victim.twin()
    twin.start()
    assert twin.child.wait(30) == 1
    assert "nowhere.pr" in twin.qemu_log.read_text()
    twin.close()
