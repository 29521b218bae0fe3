# SPDX-License-Identifier: GPL-2.0-or-later
"""scsi-prd as a service: what it tells systemd, its signals, its metrics, the journal."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.process import Child, tail

from .setup_guide import DAEMON, Member, addresses, settings_of_one

pytestmark = pytest.mark.skipif(not shutil.which("etcd"), reason="there is no etcd; scripts/deps etcd installs it")


class Service:
    """A daemon that is started as systemd does, and what it has told by sd_notify."""

    def __init__(self, directory: Path, url: str, **environment: str) -> None:
        self.directory = directory
        self.config = directory / "scsi-prd.conf"
        self.metrics = directory / "scsi-prd.prom"
        self.told: list[str] = []
        for name in ("run", "state"):
            (directory / name).mkdir()
        self.configure(url)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / "notify"))
        self._socket.settimeout(0.2)
        variables = {"NOTIFY_SOCKET": str(directory / "notify")} | environment
        words = [f"{name}={value}" for name, value in variables.items()]
        self.daemon = Child(["env", *words, str(DAEMON), "--config", str(self.config)], directory / "log")

    def configure(self, url: str, more: str = "") -> None:
        self.config.write_text(
            f"[etcd]\nendpoints={url}\n[host]\nname=h1\ngroup=\nruntime-directory={self.directory}/run\n"
            f"state-directory={self.directory}/state\nmetrics-file={self.metrics}\n{more}"
        )
        self.config.chmod(0o600)

    def listen(self, seconds: float) -> list[str]:
        """What it tells in that time, line by line."""
        end = time.monotonic() + seconds
        heard: list[str] = []
        while time.monotonic() < end:
            try:
                heard += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                continue
        self.told += heard
        return heard

    def wait_told(self, line: str, timeout: float = 40) -> None:
        deadline = time.monotonic() + timeout
        while not any(each.startswith(line) for each in self.told):
            assert self.daemon.code is None and time.monotonic() < deadline, f"{line}: {self.told}\n{self.log()}"
            self.listen(0.2)

    def wait_said(self, text: str, timeout: float = 20) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return tail(self.daemon.log, 200)

    def signal(self, number: int) -> None:
        os.kill(self.daemon.pid, number)

    def close(self) -> None:
        if self.daemon.code is None:
            self.daemon.kill()
        self._socket.close()


@pytest.fixture(scope="module")
def etcd() -> Iterator[str]:
    url = f"http://{addresses()}30:2379"
    with tempfile.TemporaryDirectory(prefix="scsi-pr-etcd-", dir="/dev/shm") as directory:
        member = Member(settings_of_one(url), Path(directory) / "data")
        yield url
        member.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scsi-pr-prd-", dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def service(directory: Path, etcd: str) -> Iterator[Service]:
    """Watched, and a member."""
    started = Service(directory, etcd, WATCHDOG_USEC="5000000")
    started.wait_told("STATUS=member")
    yield started
    started.close()


def test_readiness_and_end(service: Service) -> None:
    assert "READY=1" in service.told
    service.signal(signal.SIGTERM)
    assert service.daemon.wait(10) == 0
    assert "STOPPING=1" in service.listen(0.5)


def test_etcd_away_at_the_beginning(directory: Path) -> None:
    """It is ready, and waits: a boot does not hang on etcd."""
    service = Service(directory, f"http://{addresses()}31:2379")
    try:
        service.wait_told("READY=1")
        service.wait_told("STATUS=not a member")
        service.wait_said("warning: ")
        service.signal(signal.SIGTERM)
        assert service.daemon.wait(15) == 0
    finally:
        service.close()


def test_watchdog(service: Service) -> None:
    heard = service.listen(5)
    assert heard.count("WATCHDOG=1") >= 3
    # A process that stands still cannot; one that goes on, does.
    service.daemon.freeze()
    service.listen(0.5)
    assert "WATCHDOG=1" not in service.listen(2.5)
    service.daemon.thaw()
    assert "WATCHDOG=1" in service.listen(2.5)


def test_reload(service: Service, etcd: str) -> None:
    moved = service.directory / "elsewhere.prom"
    service.metrics = moved
    service.configure(etcd, more="log-level=debug\n[cluster]\nduration=9\n[allow]\n*=quorum\n")
    service.signal(signal.SIGHUP)
    service.wait_told("RELOADING=1")
    service.wait_said("read again; only a restart takes over [cluster] duration")
    assert service.listen(1).count("READY=1") <= 1
    assert service.told.count("READY=1") == 2
    deadline = time.monotonic() + 15
    while not moved.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[etcd]\nendpoint=x\n", "[etcd] has no key 'endpoint'"),
        ("[etcd]\nendpoints=ftp://x\n[host]\ngroup=\n", "is no address of an etcd"),
        ("[etcd]\nendpoints=https://x:1\n[host]\ngroup=\n", "needs TLS"),
        ("", "[etcd] endpoints is not set"),
    ],
    ids=["key", "endpoint", "tls", "empty"],
)
def test_reload_of_what_is_wrong(service: Service, text: str, says: str) -> None:
    """It says so, and goes on as before."""
    service.config.write_text(text)
    service.signal(signal.SIGHUP)
    service.wait_said(says)
    service.wait_said("the configuration stays as it was")
    assert "WATCHDOG=1" in service.listen(2.5)
    assert service.daemon.code is None


def test_file_of_metrics(service: Service) -> None:
    deadline = time.monotonic() + 15
    while not service.metrics.exists() or "\nscsi_prd_member 1\n" not in service.metrics.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.metrics.read_text().endswith("# EOF\n")
    assert service.metrics.stat().st_mode & 0o777 == 0o644


def test_metrics_cannot_be_written(service: Service, etcd: str) -> None:
    """Said once, and the rest goes on."""
    service.metrics = service.directory / "no/such/directory.prom"
    service.configure(etcd)
    service.signal(signal.SIGHUP)
    service.wait_said("directory.prom.new: No such file or directory")
    assert "WATCHDOG=1" in service.listen(2.5)


def test_metrics_are_openmetrics(service: Service) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    service.wait_told("READY=1")
    deadline = time.monotonic() + 15
    while not service.metrics.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    families = {each.name: each for each in parser.text_string_to_metric_families(service.metrics.read_text())}
    assert families["scsi_prd_engine_request_seconds"].type == "histogram"
    assert families["scsi_prd_renewals"].type == "counter"


def test_cannot_start(directory: Path, etcd: str) -> None:
    """Under systemd it does not end at once: it would be started again ten times a second."""
    (directory / "state").mkdir()
    (directory / "state/memory.json").write_text("{}")
    config = directory / "scsi-prd.conf"
    config.write_text(
        f"[etcd]\nendpoints={etcd}\n[host]\ngroup=\nruntime-directory={directory}\nstate-directory={directory}/state\n"
    )
    for notify, least in ("", 0.0), (str(directory / "nobody"), 1.9):
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        if notify:
            environment["NOTIFY_SOCKET"] = notify
        begin = time.monotonic()
        done = subprocess.run(
            [str(DAEMON), "--config", str(config)], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1 and "memory.json" in done.stderr and "remove the file" in done.stderr, done.stderr
        assert time.monotonic() - begin >= least


# Runs in a mount namespace of its own, where nobody else's journal is.
JOURNAL = r"""
import os, socket, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(5)
read, write = os.pipe()
stream = os.fstat(write)
mine = f"{stream.st_dev}:{stream.st_ino}" if sys.argv[1] == "mine" else "1:1"
subprocess.run([sys.argv[2], "--config", sys.argv[3]], env=os.environ | {"JOURNAL_STREAM": mine}, stderr=write)
os.close(write)
sys.stdout.write(os.read(read, 65536).decode())
if sys.argv[1] == "mine":
    sys.stdout.write(journal.recv(65536).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount namespace")
@pytest.mark.parametrize("whose", ["mine", "another"])
def test_journal(directory: Path, whose: str) -> None:
    """With its id, if standard error is the journal's; else as a line there."""
    config = directory / "scsi-prd.conf"
    config.write_text("[etcd]\n")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", JOURNAL, whose]
    done = subprocess.run(
        [*command, str(DAEMON), str(config)], capture_output=True, text=True, timeout=60, check=True
    )
    if whose == "another":
        assert done.stdout.startswith("error: ") and "endpoints is not set (" in done.stdout, done.stdout
        return
    fields = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert fields["MESSAGE_ID"] == "e011ab9b55da4ccfa08894a28a5de6d3"
    assert fields["MESSAGE"].startswith(f"{config}: [etcd] endpoints is not set (")
    assert fields["PRIORITY"] == "3"
    assert fields["SCSI_PRD_MESSAGE"] == "config-refused"
    assert fields["SYSLOG_IDENTIFIER"] == "scsi-prd"
    assert "CODE_FILE" not in fields


def test_unit_and_daemon_agree() -> None:
    """What the unit says of times is what the daemon and the page say."""
    unit = (host.ROOT / "debian/scsi-prd.service").read_text()
    assert "\nWatchdogSec=5\n" in unit and "\nRestart=always\n" in unit and "\nStartLimitIntervalSec=0\n" in unit
    assert "/etc/scsi-pr/scsi-prd.conf" in unit
