# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests with libvirt's daemon. They take minutes: `make check-long`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guest.lib import host as machine

from .domain import Domain
from .host import HOME, Host, guest_program, packages


@pytest.fixture(scope="package", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host of that release with our package; everything else is as Debian installs it."""
    directory = tmp_path_factory.mktemp("host")
    try:
        host = Host(request.param, [*packages(request.param), guest_program(directory)], directory)
    except machine.Missing as missing:
        pytest.fail(str(missing), pytrace=False)
    with host:
        host.run(f"dpkg -i {HOME}/qemu-scsi-pr_*.deb", check=True)
        yield host


@pytest.fixture
def domains(host: Host) -> Iterator[dict[str, Domain]]:
    """A and B. They end with the test, and so do disks and stores."""
    host.run("truncate -s 1M /srv/quorum.img; dmesg --clear", check=True)
    domains = {letter: Domain(host, letter) for letter in "ab"}
    yield domains
    for domain in domains.values():
        host.run(f"virsh destroy {domain.name}")
    host.run("rm -f /srv/*.img /srv/*.console /var/lib/scsi-pr/*", check=True)
