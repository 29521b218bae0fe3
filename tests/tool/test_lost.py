# SPDX-License-Identifier: GPL-2.0-or-later
"""From a damaged store to a disk that a guest uses again, never unguarded (SPC-4 5.13.5.3)."""

from __future__ import annotations

from pathlib import Path

from guest.lib import disk, store
from guest.lib.disk import Disk
from guest.lib.expect import good
from guest.lib.scsi import Initiator, sense
from guest.lib.startup import start
from guest.lib.vm import VM
from tool import run

OTHER_QEMUS_TAKE_LONG = True

KEY = 0xABC0001


def test_damaged_repaired_replaced(qemu: Path, tmp_path: Path) -> None:
    path = tmp_path / "quorum.pr"
    shared = Disk(disk.create(tmp_path / "disk.img"), pr_store=f"file:{path}")
    with VM("before", [shared], binary=qemu) as vm:
        a = Initiator(vm)
        good(a.register(KEY, options="--param-aptpl"), a.reserve(KEY))
    store.damage(path, store.newest(path))
    start(qemu, [shared]).refusal("damaged", "scsi-pr check")
    assert run.scsi_pr("check", f"file:{path}").code == run.DAMAGED
    assert "REPLACE LOST" in run.good("check", "--repair", f"file:{path}").out

    with VM("after", [shared], binary=qemu) as vm:
        a = Initiator(vm)
        lost = "PERSISTENT RESERVATION INFORMATION LOST"
        for _ in range(4):  # behind the unit attention conditions of power on
            seen = sense(a.test_unit_ready())
        assert lost in seen
        for cdb, options in (("2a 00 00 00 00 00 00 00 01 00", "-s 512 -i /dev/zero"),
                             ("28 00 00 00 00 00 00 00 01 00", "-r 512"),
                             ("5e 00 00 00 00 00 00 00 08 00", "-r 8")):
            assert lost in sense(a.raw(cdb, options)), cdb
        good(a.persist(f"-o --replace-lost -T 5 -S {KEY:#x}"))
        assert a.keys() == [KEY]
        reservation = a.reservation()
        assert reservation and reservation.key == KEY and reservation.type == 5
        vm.run("echo 1 > /sys/block/sda/device/rescan")  # its capacity was not told at boot
        good(a.write("guarded again", 0))
    assert "information-lost" not in store.state(path)
