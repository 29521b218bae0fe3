# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU's headers mean depends on how QEMU is configured, and ours is not configured as Debian's.

The plugin is made with the exact source, but with next to no features, so that no `build-dep` is
needed. Here is every condition on the configuration in any header that the plugin includes, and why
it does not matter. One more, in another version, fails: somebody has to look at it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from guest.lib import host

HARMLESS = {
    "agreed upon: scripts/plugin-build asks the binary": {
        "CONFIG_LINUX_AIO", "CONFIG_LINUX_IO_URING",
    },
    "facts of machine and C library": {
        "CONFIG_ATOMIC64", "CONFIG_BYTESWAP_H", "CONFIG_MACHINE_BSWAP_H", "CONFIG_INT128",
        "CONFIG_INT128_TYPE", "CONFIG_IOVEC", "CONFIG_LINUX", "CONFIG_POSIX", "CONFIG_SYSMACROS",
        "CONFIG_WIN32", "HAVE_BROKEN_SIZE_MAX", "HAVE_IPPROTO_MPTCP",
        "HAVE_MADVISE_WITHOUT_PROTOTYPE", "HAVE_OPTRESET", "HAVE_STRCHRNUL", "HAVE_SYSTEM_FUNCTION",
    },
    "the same for every system emulator with TCG and plugins": {
        "CONFIG_PLUGIN", "CONFIG_TCG", "CONFIG_TCG_INTERPRETER", "CONFIG_USER_ONLY",
    },
    "off unless somebody debugs QEMU itself": {
        "CONFIG_CFI", "CONFIG_DEBUG_MUTEX", "CONFIG_DEBUG_TCG", "CONFIG_FUZZ", "CONFIG_PROFILER",
        "CONFIG_TSAN",
    },
    "off with us: RCU readers then have a full barrier, which is right with either writer": {
        "CONFIG_MEMBARRIER",
    },
    "declares functions, or is about types that we do not use": {
        "CONFIG_CAPSTONE", "CONFIG_VNC", "CONFIG_XEN_BACKEND",
    },
    "members of enumerations that we do not use (see below)": {
        "CONFIG_BLKIO", "CONFIG_BRLAPI", "CONFIG_DBUS_DISPLAY", "CONFIG_FDT",
        "CONFIG_LIBPMEM", "CONFIG_QATZIP", "CONFIG_QPL", "CONFIG_REPLICATION", "CONFIG_SECRET_KEYRING", "CONFIG_SPICE",
        "CONFIG_SPICE_PROTOCOL", "CONFIG_UADK", "CONFIG_VHOST_CRYPTO",
        "CONFIG_ZSTD", "HAVE_CHARDEV_PARALLEL", "HAVE_CHARDEV_SERIAL", "HAVE_HOST_BLOCK_DEVICE",
    },
}  # fmt: skip

# Their values depend on the configuration.
ENUMERATORS = re.compile(
    r"\b(BLOCKDEV_DRIVER|CHARDEV_BACKEND_KIND|QAPI_EVENT|OBJECT_TYPE|CRYPTODEV_BACKEND"
    r"|MULTIFD_COMPRESSION|SOCKET_ADDRESS_TYPE)_\w+"
)


def builds() -> list[Path]:
    return sorted(host.BUILD.glob("plugin/qemu-*/configured"))


def headers(build: Path) -> set[Path]:
    """QEMU's, as the compiler has found them for what goes into the plugin."""
    objects = [file for file in (build / "scsi-pr/obj").glob("*.o") if file.stem != "qtest"]
    command = ["ninja", "-C", build, "-f", "scsi-pr/build.ninja", "-t", "deps", *objects]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files = {build / line.strip() for line in told.splitlines() if line.startswith("    ")}
    source, ours = build.parent / "src", build / "scsi-pr"
    return {
        file for file in files
        if (file.is_relative_to(source) or file.is_relative_to(build)) and not file.is_relative_to(ours)
    }  # fmt: skip


def conditions(file: Path) -> set[str]:
    lines = re.findall(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*$", file.read_text(), re.M)
    return {name for line in lines for name in re.findall(r"\b(?:CONFIG|HAVE)_\w+", line)}


@pytest.mark.parametrize("build", builds(), ids=lambda path: path.parent.name)
def test_conditions(build: Path) -> None:
    files = headers(build)
    assert len(files) > 50
    known = set().union(*HARMLESS.values())
    where = {name: file for file in files for name in conditions(file) if name not in known}
    assert where == {}


def test_no_such_enumerator() -> None:
    shim = host.ROOT / "hw/scsi/pr/qemu"
    files = [*shim.glob("*.[ch]"), *shim.glob("plugin/*.[ch]")]
    found = {str(file): found[0] for file in files if (found := ENUMERATORS.search(file.read_text()))}
    assert found == {}
