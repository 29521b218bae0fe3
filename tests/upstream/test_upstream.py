# SPDX-License-Identifier: GPL-2.0-or-later
"""Without pr-store our QEMU behaves as upstream's, which is built from the same source."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

TRANSCRIPT = "scsi-pr-transcript"  # in tests/qtest/scsi-pr-test.c


def upstream_of(qemu: Path) -> Path:
    """Upstream's emulator, kept beside ours by the build."""
    upstream = qemu.with_name("qemu-upstream-system-x86_64")
    assert upstream.exists(), f"{upstream} is missing: run `make qemu`"
    return upstream


def transcript(binary: Path, path: Path) -> bytes:
    """What scsi-hd answers to each of the 256 operation codes: status, sense data, data-in."""
    qos_test = binary.parent / "tests/qtest/qos-test"
    assert qos_test.exists(), f"{qos_test} is missing: run `scripts/check qtest`"
    environment = os.environ | {"QTEST_QEMU_BINARY": str(binary), "SCSI_PR_TRANSCRIPT": str(path)}
    listing = subprocess.run([qos_test, "-l"], env=environment, check=True, capture_output=True, text=True)
    [test] = [line for line in listing.stdout.split() if line.endswith(TRANSCRIPT)]
    subprocess.run([qos_test, "-k", "-p", test], env=environment, check=True, capture_output=True)
    return path.read_bytes()


def vmstate(binary: Path, path: Path) -> dict[str, object]:
    """The migration stream's layout of every device this binary knows."""
    subprocess.run([binary, "-M", "pc", "-nodefaults", "-dump-vmstate", path], check=True, capture_output=True)
    layout: dict[str, object] = json.loads(path.read_text())
    return layout


def stream(binary: Path, directory: Path) -> bytes:
    """The migration stream of a stopped machine with a shared scsi-hd in it."""
    medium = directory / "medium"
    medium.write_bytes(bytes(1 << 20))
    saved = directory / binary.name
    commands = [
        {"execute": "qmp_capabilities"},
        {"execute": "migrate", "arguments": {"uri": f"exec:cat >{saved}"}},
    ]
    process = subprocess.Popen(
        [binary, "-M", "pc", "-accel", "qtest", "-nodefaults", "-display", "none", "-S", "-m", "8"]
        + ["-qmp", "stdio", "-rtc", "base=2026-01-01,clock=vm", "-device", "virtio-scsi-pci"]
        + ["-blockdev", f"driver=file,node-name=q,filename={medium}"]
        + ["-device", "scsi-hd,drive=q,share-rw=on,serial=q"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin and process.stdout
    with process:
        for command in commands:
            print(json.dumps(command), file=process.stdin, flush=True)
        query = json.dumps({"execute": "query-migrate"})
        while True:
            print(query, file=process.stdin, flush=True)
            for line in process.stdout:
                answer = json.loads(line).get("return")
                if answer and "status" in answer:
                    break
            if answer["status"] in ("completed", "failed"):
                break
        print(json.dumps({"execute": "quit"}), file=process.stdin, flush=True)
    assert answer["status"] == "completed", answer
    return saved.read_bytes()


def test_every_operation_code_is_answered_alike(qemu: Path, tmp_path: Path) -> None:
    ours = transcript(qemu, tmp_path / "ours")
    theirs = transcript(upstream_of(qemu), tmp_path / "theirs")
    assert len(ours.splitlines()) == 256
    assert ours == theirs


def test_migration_layout_is_the_same(qemu: Path, tmp_path: Path) -> None:
    ours = vmstate(qemu, tmp_path / "ours")
    assert "scsi-hd" in ours
    assert ours == vmstate(upstream_of(qemu), tmp_path / "theirs")


def without_ram(saved: bytes) -> tuple[bytes, bytes]:
    """What comes before RAM's pages and behind them. They are cut into sections by time."""
    name = saved.index(b"\x03ram")
    number = saved[name - 4 : name]
    return saved[: saved.index(b"\x02" + number)], saved[saved.index(b"\x05timer") :]


def test_migration_stream_is_the_same(qemu: Path, tmp_path: Path) -> None:
    ours = without_ram(stream(qemu, tmp_path))
    assert b"scsi-disk" in ours[1]
    assert ours == without_ram(stream(upstream_of(qemu), tmp_path))


def ends(binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A QEMU that quits at once, if it starts."""
    command = [binary, "-nodefaults", "-machine", "none", "-display", "none", "-S", "-qmp", "stdio"]
    quits = '{"execute": "qmp_capabilities"}{"execute": "quit"}'
    return subprocess.run([*command, *arguments], input=quits, capture_output=True, text=True, timeout=60)


def test_a_device_that_upstream_refuses(qemu: Path, tmp_path: Path) -> None:
    """-global of a property of ours is a warning to it, where a disk is plugged later."""
    config = tmp_path / "required.cfg"
    config.write_text('[device "pr"]\n  driver = "scsi-pr-required"\n')
    for arguments in (["-device", "scsi-pr-required"], ["-readconfig", str(config)]):
        assert ends(qemu, *arguments).returncode == 0
        refusal = ends(upstream_of(qemu), *arguments)
        assert refusal.returncode == 1
        assert "'scsi-pr-required' is not a valid device model name" in refusal.stderr
    assert ends(upstream_of(qemu), "-global", "scsi-hd.pr-dir=/tmp").returncode == 0


@pytest.mark.parametrize("name", ["scsi-hd", "scsi-block", "scsi-generic"])
def test_only_our_properties_are_new(qemu: Path, name: str) -> None:
    def properties(binary: Path) -> set[str]:
        shown = subprocess.run([binary, "-device", f"{name},help"], check=True, capture_output=True, text=True)
        return {line.strip() for line in shown.stdout.splitlines() if "=<" in line}

    new = properties(qemu) - properties(upstream_of(qemu))
    expected = {"pr-store", "pr-dir", "pr-initiator", "pr-target-port", "pr-abort-timeout", "pr-tas",
                "pr-runtime-dir", "pr-accept-medium", "pr-accept-file-system"}  # fmt: skip
    expected |= {"pr-accept-orphans"} if name == "scsi-generic" else set()
    assert {line.split("=")[0] for line in new} == expected
    assert all("Persistent reservations: " in line for line in new), "each is described"
    assert not properties(upstream_of(qemu)) - properties(qemu)
