# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/management.md says what AppArmor must allow a QEMU: with it reservations work under a
profile that is enforced, and each rule is needed.

In a guest, whose kernel has AppArmor whatever this machine's has; the QEMU in it is driven by a
qtest that makes a store, registers with APTPL and starts again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from passthrough import bed

from .lib.vm import VM
from .test_management import block

ONLY_NEWEST_QEMU = True
TEST = "scsi-pr-save-aptpl"
STORES, RUNTIME = "/var/lib/scsi-pr", "/run/scsi-pr"

# What QEMU, and a qtest's, needs anyway.
PROFILE = """
profile confined flags=(attach_disconnected) {{
  capability,
  network,
  signal,
  unix,
  / r,
  /{{bin,sbin,lib,lib64,opt,usr}}/** mrix,
  /{{dev,etc,proc,sys,tmp}}/** rwk,
  /var/lib/{{qtest,scsi-pr}}-* rwk,
{rules}
}}
"""

# A name that libqtest understands.
CONFINED = f"""
mkdir -p /confined /var/lib {RUNTIME}
mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security
cat >/confined/qtest-system-x86_64 <<'END'
#!/bin/sh
echo "exec confined" >/proc/self/attr/exec
exec /{bed.HOME}/qtest-system-x86_64 "$@"
END
chmod +x /confined/qtest-system-x86_64
"""


def rules() -> list[str]:
    """Of the directories; the others name the emulator, which is somewhere else here. The qtest makes
    the store's directory below TMPDIR, with a name that begins as the page's."""
    lines = [line.strip() for line in block("abstraction").splitlines()]
    ours = [line for line in lines if line.startswith((STORES, RUNTIME))]
    return [line.replace(f"{STORES}/", f"{STORES}-*/") for line in ours]


def full_name(qemu: Path) -> str:
    found = subprocess.run(
        [bed.qos_test(qemu), "-l"],
        env={"QTEST_QEMU_BINARY": str(qemu)},
        check=True,
        capture_output=True,
        text=True,
    )
    [name, *_] = [name for name in found.stdout.split() if name.endswith(TEST)]
    return name


@pytest.fixture(scope="module")
def host(qemu: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    assert parser, "the package apparmor is missing: scripts/deps check"
    image = bed.initramfs(qemu, tmp_path_factory.mktemp("apparmor") / "initramfs", [Path(parser)])
    with VM("confined", [], binary=qemu, memory=1024, arguments=["-initrd", str(image)]) as vm:
        vm.run(CONFINED, check=True)
        assert vm.run("cat /sys/module/apparmor/parameters/enabled").out.strip() == "Y"
        yield vm


def run_confined(vm: VM, qemu: Path, allowed: list[str]) -> str:
    """What went wrong; nothing: ''."""
    profile = PROFILE.format(rules="\n".join(allowed))
    parse = f"/{bed.HOME}/apparmor_parser --replace --skip-cache --quiet"
    vm.run(f"cat >/confined/profile <<'END'\n{profile}\nEND\n{parse} /confined/profile", check=True)
    command = (
        f"QTEST_QEMU_BINARY=/confined/qtest-system-x86_64 TMPDIR={Path(STORES).parent}"
        f" /{bed.HOME}/qos-test --tap -k -p {full_name(qemu)} 2>&1"
    )
    done = vm.run(command, timeout=120)
    return "" if re.search(r"^ok ", done.out, re.M) and done.code == 0 else done.out


def test_what_the_page_says_suffices(host: VM, qemu: Path) -> None:
    assert run_confined(host, qemu, rules()) == ""


def test_each_rule_is_needed(host: VM, qemu: Path) -> None:
    assert len(rules()) == 4
    for rule in rules():
        trouble = run_confined(host, qemu, [other for other in rules() if other != rule])
        assert "ermission denied" in trouble, f"without {rule}: {trouble or 'it works as well'}"
