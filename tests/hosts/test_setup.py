# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup guide does what it says, and `scsi-prd --check-config` finds what is wrong."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest.lib import host
from guest.lib.process import Child, tail

from .host import TOOL
from .setup_guide import DAEMON, GUIDE, MEMBERS, Member, Site, settings_of_one

MISSING = [name for name in ("etcd", "etcdctl", "openssl") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"there is no {MISSING}; scripts/deps etcd installs them")

NO_ENDPOINT, SOME_ENDPOINT, BAD_CONFIG = 2, 3, 78


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All that the guide says, up to the configuration."""
    with tempfile.TemporaryDirectory(prefix="scsi-pr-setup-", dir="/dev/shm") as directory:
        site = Site(Path(directory))
        try:
            site.must("certificates")
            site.hand_out_certificates()
            site.start_etcd()
            site.must("etcdctl", "users")
            assert "/scsi-pr/" in site.must("etcdctl", "root")
            site.must("host")
            site.configure()
            yield site
        finally:
            site.close()


@pytest.fixture
def alone(site: Site) -> Iterator[Member]:
    """An etcd of one member, with a quota that is soon reached, and without users and TLS."""
    settings = settings_of_one(f"http://{site.net}20:2379") | {"ETCD_QUOTA_BACKEND_BYTES": "200000"}
    member = Member(settings, Path(tempfile.mkdtemp(dir=site.directory)) / "data")
    yield member
    member.close()


def ca(site: Site) -> Path:
    return site.directory / "root/scsi-pr-ca"


def secret(site: Site, text: str) -> str:
    path = site.directory / "secret"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def with_files(site: Site, name: str, **files: Path) -> str:
    """The host's directory of TLS files, with some that are others."""
    directory = site.directory / name
    shutil.copytree(site.directory / "etc/scsi-pr/etcd", directory)
    for to, source in files.items():
        target = directory / f"{to.replace('_', '-')}.pem"
        target.unlink()
        shutil.copy(source, target)
        target.chmod(0o400)
    return str(directory)


def sign(site: Site, name: str, subject: str, extensions: str) -> None:
    """As the guide does it, with other contents."""
    functions = re.sub(r"(?ms)^for .*\Z", "", site.text("certificates")).replace(
        "openssl req -x509", ": openssl req -x509"
    )
    done = subprocess.run(
        ["sh", "-e"], input=f"{functions}\nsign {name} {subject} '{extensions}'", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# --- What is right


def test_all_is_well(site: Site) -> None:
    assert "may read and write below /scsi-pr/" in site.must("check")
    done = site.check()
    assert done.returncode == 0, done.stdout
    for number in range(1, MEMBERS + 1):
        assert re.search(rf"https://{re.escape(site.net)}1{number}:2379: etcd 3\.\d+", done.stdout)
    assert "no host has joined it yet" in done.stdout
    password = (ca(site) / "password").read_text().strip()
    assert password not in done.stdout


def test_writes_nothing(site: Site) -> None:
    keys = site.must("etcdctl", "root", more="etcdctl get --prefix / --keys-only").splitlines()
    assert [key for key in keys if key.startswith("/scsi-pr/")] == []


def test_example_of_the_package(site: Site) -> None:
    path = site.directory / "example.conf"
    text = site.translated((host.ROOT / "debian/scsi-prd.conf").read_text())
    path.write_text(text.replace("\n[host]\n", f"\n{site.here()}"))
    done = site.check(path=path)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def running(site: Site) -> Iterator[Child]:
    """The daemon, as a member."""
    metrics = site.directory / "scsi-prd.prom"
    metrics.unlink(missing_ok=True)
    config = site.directory / "daemon.conf"
    config.write_text(f"{site.config.read_text()}metrics-file={metrics}\n")
    daemon = Child([str(DAEMON), "--config", str(config)], site.directory / "scsi-prd.log")
    try:
        deadline = time.monotonic() + 40
        while not metrics.exists() or "\nscsi_prd_member 1\n" not in metrics.read_text():
            assert daemon.code is None and time.monotonic() < deadline, tail(daemon.log)
            time.sleep(0.1)
        yield daemon
    finally:
        if daemon.code is None:
            daemon.kill()


def test_daemon_joins(site: Site) -> None:
    with running(site):
        pass


def told_by(site: Site, command: str, text: str) -> None:
    """What the tool says there, in time."""
    deadline = time.monotonic() + 60
    while True:
        asked = subprocess.run([str(TOOL), command, "--runtime-dir", f"{site.directory}/run"], capture_output=True, text=True, check=False)
        if text in asked.stdout:
            return
        assert time.monotonic() < deadline, asked.stdout + asked.stderr
        time.sleep(0.5)


def test_restore(site: Site) -> None:
    """A backup of the guide, put back by its commands, and accepted as it says."""
    with running(site) as daemon:
        joined = daemon.log.read_text().count("is a member of the cluster")
        site.must("etcdctl", "root", "backup", more="etcdctl put /scsi-pr/other 1")
        time.sleep(3)  # until the daemon has been answered since
        site.put_back()
        told_by(site, "hosts", "scsi-pr accept-restore")
        told_by(site, "accept-restore", "Accepted")
        deadline = time.monotonic() + 40
        while daemon.log.read_text().count("is a member of the cluster") == joined:
            assert time.monotonic() < deadline, tail(daemon.log)
            time.sleep(0.1)


def test_least_rights(site: Site) -> None:
    """The daemon's user cannot reach anything beside the prefix."""
    as_daemon = f"export ETCDCTL_USER=scsi-prd ETCDCTL_PASSWORD=$(cat {ca(site)}/password)\n"
    for command in ("put /other 1", "get /other", "del /other", "user list", "role list"):
        done = site.run("etcdctl", more=f"{as_daemon}etcdctl {command}")
        assert done.returncode != 0 and "permission denied" in done.stderr, command
    site.must("etcdctl", more=f"{as_daemon}etcdctl get --prefix /scsi-pr/")


def test_backup(site: Site) -> None:
    site.must("etcdctl", "root", "backup")
    assert (ca(site) / "backup.db").stat().st_size > 0


# --- What is wrong

WRONG = {
    "wrong-password": NO_ENDPOINT,
    "nobody": NO_ENDPOINT,
    "user-without-rights": NO_ENDPOINT,
    "another-prefix": NO_ENDPOINT,
    "certificate-with-a-cn": NO_ENDPOINT,
    "another-authority": NO_ENDPOINT,
    "plain-http": NO_ENDPOINT,
    "token-of-nobody": NO_ENDPOINT,
    "one-endpoint-away": SOME_ENDPOINT,
    "no-endpoint-there": NO_ENDPOINT,
    "no-endpoint-at-all": BAD_CONFIG,
    "no-url": BAD_CONFIG,
    "no-tls-files": BAD_CONFIG,
    "password-for-all": BAD_CONFIG,
    "key-for-all": BAD_CONFIG,
}


def changes(site: Site, what: str) -> tuple[dict[str, str], str]:
    """What is set instead, and what has to be said about it."""
    endpoint = f"https://{site.net}11:2379"
    match what:
        case "wrong-password":
            return {"password-file": secret(site, "wrong\n")}, "authentication failed"
        case "nobody":
            return {"user": "", "password-file": ""}, "user name is empty"
        case "user-without-rights":
            more = "etcdctl user add other:pw; etcdctl role add other; etcdctl user grant-role other other"
            site.must("etcdctl", "root", more=more)
            return {"user": "other", "password-file": secret(site, "pw")}, "permission denied"
        case "another-prefix":
            return {"prefix": "/scsi-prd/"}, "permission denied"
        case "certificate-with-a-cn":
            sign(site, "named", "/CN=host", "extendedKeyUsage=clientAuth")
            files = {"client_cert": ca(site) / "named-cert.pem", "client_key": ca(site) / "named-key.pem"}
            return {"tls-directory": with_files(site, "named", **files)}, "without a CN"
        case "another-authority":
            run = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout x-key.pem -out x-cert.pem"
            subprocess.run(run.split(), cwd=site.directory, check=True, capture_output=True)
            return {"tls-directory": with_files(site, "foreign", ca_cert=site.directory / "x-cert.pem")}, "certificate"
        case "plain-http":
            return {"endpoints": endpoint.replace("https", "http")}, "http"
        case "token-of-nobody":
            return {"user": "", "password-file": "", "token-file": secret(site, "abcdefgh.1")}, "invalid auth token"
        case "one-endpoint-away":
            return {"endpoints": f"{endpoint};https://{site.net}99:2379"}, f"{site.net}99:2379: "
        case "no-endpoint-there":
            return {"endpoints": f"https://{site.net}99:2379"}, f"{site.net}99:2379: "
        case "no-endpoint-at-all":
            return {"endpoints": ""}, "[etcd] endpoints is not set"
        case "no-url":
            return {"endpoints": f"{site.net}11:2379"}, "is no address of an etcd"
        case "no-tls-files":
            return {"tls-directory": str(site.directory)}, "ca-cert.pem: No such file"
        case "password-for-all":
            path = secret(site, "pw")
            Path(path).chmod(0o644)
            return {"password-file": path}, "can be read or written by everybody"
        case "key-for-all":
            directory = Path(with_files(site, "open"))
            (directory / "client-key.pem").chmod(0o644)
            return {"tls-directory": str(directory)}, "can be read or written by everybody"
    raise KeyError(what)


@pytest.mark.parametrize("what", WRONG)
def test_wrong(site: Site, what: str) -> None:
    changed, says = changes(site, what)
    done = site.check_with(changed)
    said = done.stdout + done.stderr
    assert done.returncode == WRONG[what], said
    assert says in said, said
    assert (": may read and write below" in said) == (WRONG[what] == SOME_ENDPOINT)


def test_server_without_client_auth(site: Site) -> None:
    """etcdctl works with it, and the gateway does not: the guide's first fact."""
    address = f"{site.net}21"
    sign(site, "lacking", "/CN=server", f"extendedKeyUsage=serverAuth\nsubjectAltName=IP:{address}")
    url = f"https://{address}:2379"
    settings = settings_of_one(url) | {
        "ETCD_TRUSTED_CA_FILE": f"{ca(site)}/ca-cert.pem",
        "ETCD_CERT_FILE": f"{ca(site)}/lacking-cert.pem",
        "ETCD_KEY_FILE": f"{ca(site)}/lacking-key.pem",
        "ETCD_CLIENT_CERT_AUTH": "true",
        "ETCD_LISTEN_PEER_URLS": f"http://{address}:2380",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{address}:2380",
        "ETCD_INITIAL_CLUSTER": f"alone=http://{address}:2380",
    }
    member = Member(settings, site.directory / "lacking")
    try:
        deadline = time.monotonic() + 60
        while (health := site.run_at(url, "etcdctl endpoint health")).returncode != 0:
            member.check()
            assert time.monotonic() < deadline, health.stderr
        done = site.check_with({"endpoints": url, "user": "", "password-file": ""})
    finally:
        member.close()
    assert done.returncode == NO_ENDPOINT
    assert "clientAuth" in done.stdout, done.stdout


def wait_for_answers(site: Site, changed: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while (done := site.check_with(changed)).returncode != 0:
        assert time.monotonic() < deadline, done.stdout
        time.sleep(0.2)


def test_no_space(site: Site, alone: Member) -> None:
    """The alarm is named, and the guide's commands take it away."""
    url = f"http://{site.net}20:2379"
    changed = {"endpoints": url, "user": "", "password-file": "", "tls-directory": ""}
    wait_for_answers(site, changed)
    fill = "for i in $(seq 200); do head -c 10000 /dev/zero | tr '\\0' x | etcdctl put k; done"
    assert "database space exceeded" in site.run_at(url, fill).stderr
    done = site.check_with(changed)
    assert done.returncode in (NO_ENDPOINT, SOME_ENDPOINT), done.stdout
    assert "NOSPACE" in done.stdout and "space exceeded" in done.stdout, done.stdout
    emptied = site.run_at(url, site.text("space"))
    assert emptied.returncode == 0, emptied.stderr
    assert site.check_with(changed).returncode == 0


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"\0" * 4096],
    ids=["nothing", "text", "empty-object", "nulls"],
)
def test_no_etcd_at_all(site: Site, answer: bytes) -> None:
    """Something else listens there."""
    listener = socket.create_server((f"{site.net}22", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://{site.net}22:{listener.getsockname()[1]}"
    done = site.check_with({"endpoints": url, "user": "", "password-file": "", "tls-directory": ""})
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    assert done.returncode == NO_ENDPOINT, done.stdout + done.stderr
    assert f"{url}: " in done.stdout


def test_two_clusters(site: Site, alone: Member) -> None:
    one, other = f"http://{site.net}20:2379", f"http://{site.net}23:2379"
    plain = {"user": "", "password-file": "", "tls-directory": ""}
    member = Member(settings_of_one(other), site.directory / "other")
    try:
        for url in (one, other):
            wait_for_answers(site, plain | {"endpoints": url})
        done = site.check_with(plain | {"endpoints": f"{one};{other}"})
    finally:
        member.close()
    assert done.returncode == NO_ENDPOINT and f"{other}: it is of another cluster" in done.stdout, done.stdout


def test_host_lacks_something(site: Site) -> None:
    memory = site.directory / "state/memory.json"
    before = memory.read_bytes() if memory.exists() else None
    memory.write_text("damaged")
    done = site.check()
    assert done.returncode == 1 and "remove the file" in done.stdout, done.stdout
    memory.unlink()
    if before is not None:
        memory.write_bytes(before)
    done = site.check_with({})
    assert done.returncode == 0
    path = site.directory / "elsewhere.conf"
    path.write_text(site.config.read_text().replace(f"{site.directory}/run", "/no/such/directory"))
    done = site.check(path=path)
    assert done.returncode == 1 and "/no/such/directory" in done.stdout, done.stdout


def test_usage() -> None:
    for arguments, code in (["--version"], 0), (["--help"], 0), (["--nonsense"], 109), (["--config"], 114):
        done = subprocess.run([str(DAEMON), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == code and done.stdout + done.stderr, (arguments, done.returncode)


# --- The page


def test_messages_are_those_of_the_code() -> None:
    header = (host.ROOT / "hw/scsi/pr/agent/log_messages.h").read_text()
    kinds = re.findall(r'\{Message::k\w+,\s*"([\w-]+)",\s*LogLevel::k(\w+),\s*"(\w{32})"\}', header)
    assert len(kinds) == header.count("{Message::k")
    rows = re.findall(r"^\| ([\w-]+) \| (\w+) \| `(\w{32})` \| .+ \|$", GUIDE.read_text(), re.M)
    assert rows == [(name, level.lower(), uuid) for name, level, uuid in kinds]


def test_metrics_are_those_of_the_code() -> None:
    source = (host.ROOT / "hw/scsi/pr/agent/metrics.cc").read_text()
    for name in re.findall(r"scsi_prd_\w+", GUIDE.read_text()):
        assert re.sub(r"_total$", "", name) in source, name


def test_settings_are_those_of_the_code() -> None:
    """The example has each key that there is, and no other."""
    source = (host.ROOT / "hw/scsi/pr/agent/config.cc").read_text()
    known = re.search(r"kKnown = \{(.*?)\n  \};", source, re.S)
    assert known
    keys = set(re.findall(r'"([a-z-]+)"', known.group(1))) - {"etcd", "cluster", "host", "allow", "paths"}
    example = (host.ROOT / "debian/scsi-prd.conf").read_text()
    # What is in that section are names of the administrator's.
    example = re.sub(r"^#?\[paths\].*?(?=^$)", "", example, flags=re.M | re.S)
    assert set(re.findall(r"^#?([a-z-]+)=", example, re.M)) == keys, json.dumps(sorted(keys))
