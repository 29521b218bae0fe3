# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver itself: later tests can rely on what it says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guest.lib import disk, host, startup
from guest.lib.process import Child
from guest.lib.qmp import QmpError, QmpTimeout
from guest.lib.vm import VM, CommandFailed, GuestError, GuestTimeout, QemuEnded, running

ONLY_NEWEST_QEMU = True  # the other tests show that the driver works with every series


def test_output_and_exit_code_are_exact(guest: VM) -> None:
    result = guest.run(r"printf 'a\n\000\377b'; printf 'oops' >&2; exit 37")
    assert (result.code, result.stdout, result.stderr) == (37, b"a\n\0\xffb", b"oops")


def test_empty_output(guest: VM) -> None:
    result = guest.run("true")
    assert (result.code, result.stdout, result.stderr) == (0, b"", b"")


def test_kernel_messages_do_not_mix_with_output(guest: VM) -> None:
    command = "for i in 1 2 3 4 5; do echo '<0>kernel speaks' >/dev/kmsg; echo line $i; done"
    assert guest.run(command).out == "".join(f"line {i}\n" for i in range(1, 6))
    assert "kernel speaks" in guest.console.read_text(errors="replace")


def test_large_output(guest: VM) -> None:
    result = guest.run("head -c 1000000 /dev/zero | tr '\\0' x; head -c 50000 /dev/zero >&2")
    assert result.stdout == b"x" * 1000000
    assert result.stderr == b"\0" * 50000


def test_long_and_multi_line_commands(guest: VM) -> None:
    text = "\n".join(f"echo 'line {i} \"$HOME\"'" for i in range(200))
    assert guest.run(text).out.splitlines()[199] == 'line 199 "$HOME"'


def test_killed_command_tells_its_signal(guest: VM) -> None:
    assert guest.run("kill -SEGV $$").code == 128 + 11


def test_commands_run_side_by_side(guest: VM) -> None:
    start = time.monotonic()
    tasks = [guest.begin(f"sleep 1; echo {i}; exit {i}") for i in range(4)]
    results = [guest.finish(task) for task in reversed(tasks)]
    assert [(r.code, r.out) for r in results] == [(i, f"{i}\n") for i in (3, 2, 1, 0)]
    assert time.monotonic() - start < 3.5


def test_checked_command_fails_with_its_output(guest: VM) -> None:
    with pytest.raises(CommandFailed, match="exit code 1(.|\n)*no such luck"):
        guest.run("echo no such luck; false", check=True)


def test_timeout_is_loud_and_ends_the_command(guest: VM) -> None:
    guest.run("echo '<4>a hint on the console' >/dev/kmsg")
    with pytest.raises(GuestTimeout) as caught:
        guest.run("sleep 1234", timeout=0.5)
    assert "sleep 1234" in str(caught.value)
    assert "a hint on the console" in str(caught.value)
    assert str(guest.binary) in str(caught.value)
    deadline = time.monotonic() + 5
    while "sleep 1234" in guest.run("ps").out:
        assert time.monotonic() < deadline, "the command outlives its timeout"
    assert guest.run("echo well").out == "well\n"


def test_qmp_error_is_typed(guest: VM) -> None:
    with pytest.raises(QmpError) as caught:
        guest.qmp.execute("no-such-command")
    assert caught.value.kind == "CommandNotFound"


def test_qmp_events(guest: VM) -> None:
    guest.qmp.execute("stop")
    guest.qmp.wait_event("STOP")
    guest.qmp.execute("cont")
    guest.qmp.wait_event("RESUME")
    with pytest.raises(QmpTimeout):
        guest.qmp.wait_event("STOP", timeout=0.1)


def test_disk_is_there_with_its_identity(guest: VM) -> None:
    assert guest.run("cat /sys/block/sda/device/wwid").out.strip() == "naa." + disk.WWN[2:]
    assert guest.run("dd if=/dev/sda bs=512 count=1 iflag=direct").stdout.rstrip(b"\0") == b"fresh"


def test_tools_are_there(guest: VM) -> None:
    guest.run("which sg_persist sg_raw sg_turs sg_dd iscsi-test-cu", check=True)
    guest.run("sg_turs /dev/sda && iscsi-test-cu -l >/dev/null", check=True)


@pytest.mark.parametrize("module", ["scsi_debug", "tcm_loop", "vhost_scsi", "dm-multipath"])
def test_modules_for_later_tests(guest: VM, module: str) -> None:
    # A new disk is busy while it is probed.
    remove = f"for i in 1 2 3 4 5 6 7 8 9; do rmmod {module} && exit; sleep 0.3; done; exit 1"
    guest.run(f"modprobe {module} || exit; {remove}", check=True)


def test_frozen_qemu_answers_again(guest: VM) -> None:
    guest.freeze()
    try:
        task = guest.begin("echo thawed")
        with pytest.raises(GuestTimeout):
            guest.finish(task, timeout=0.5)
    finally:
        guest.thaw()
    assert guest.finish(task).out == "thawed\n"


@pytest.mark.parametrize("how", ["reboot", "reset", "restart"])
def test_reboot(guest: VM, how: str) -> None:
    pid = guest.child.pid
    task = guest.begin("sleep 60")
    before = guest.run("touch /tmp/mark; cat /proc/sys/kernel/random/boot_id").out
    getattr(guest, how)()
    after = guest.run("ls /tmp; cat /proc/sys/kernel/random/boot_id").out
    assert after not in ("", before) and "mark" not in after
    assert (guest.child.pid == pid) == (how != "restart")
    with pytest.raises(GuestError, match="was reset while `sleep 60` ran"):
        guest.finish(task)


def test_side_by_side_and_kill(qemu: Path, tmp_path: Path) -> None:
    """Two guests share a disk; one dies, which the driver tells and the other survives."""
    image = disk.create(tmp_path / "shared.img")
    a, b = (VM(name, [disk.Disk(image)], binary=qemu) for name in "ab")
    with running(a, b):
        a.run("echo hello | dd of=/dev/sda bs=512 count=1 conv=sync oflag=direct", check=True)
        assert b.run("dd if=/dev/sda bs=512 count=1 iflag=direct").out.startswith("hello\n")
        a.child.kill()
        with pytest.raises(QemuEnded) as caught:
            a.run("true")
        assert caught.value.code == -9
        assert b.run("echo alive").out == "alive\n"
        assert b.stop() == 0


def test_qemu_that_does_not_start_is_reported(qemu: Path) -> None:
    with pytest.raises(QemuEnded, match="no-such-device") as caught:
        VM("wrong", binary=qemu, arguments=["-device", "no-such-device"]).__enter__()
    assert caught.value.code == 1


def test_guest_that_powers_off_is_reported(qemu: Path) -> None:
    with VM("off", binary=qemu) as vm, pytest.raises(QemuEnded) as caught:
        vm.run("poweroff -f; sleep 60")
    assert caught.value.code == 0


def test_children_die_with_the_driver(tmp_path: Path) -> None:
    script = (
        "import os, pathlib; from guest.lib.process import Child;"
        f"print(Child(['sleep', '600'], pathlib.Path('{tmp_path}/log')).pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while "Z" not in Path(f"/proc/{pid}/stat").read_text():
            assert time.monotonic() < deadline, f"sleep (pid {pid}) outlives the driver"


def test_close_ends_a_frozen_process(tmp_path: Path) -> None:
    child = Child(["sleep", "600"], tmp_path / "log")
    child.freeze()
    child.kill()
    assert child.code == -9


def test_fill_leaves_large_file_systems_alone() -> None:
    here = Path(__file__).parent / "filler"
    with pytest.raises(AssertionError, match="not on a small one"):
        startup.fill(here)
    assert not here.exists()


def test_guest_image_is_cached() -> None:
    """The second run builds nothing and ends with the same directory."""
    first = host.guest_image()
    start = time.monotonic()
    said = subprocess.run(
        [host.ROOT / "scripts/guest-image"], capture_output=True, text=True, check=True
    ).stdout
    assert time.monotonic() - start < 1
    assert Path(said.splitlines()[-1]) == first
    assert (first / "vmlinuz").is_file() and (first / "initramfs").is_file()


def test_missing_qemu_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QEMU", raising=False)
    monkeypatch.setenv("QEMU_SERIES", "0.1")
    with pytest.raises(host.Missing, match="QEMU_SERIES=0.1 make qemu"):
        host.default_binary()
