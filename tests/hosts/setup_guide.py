# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/many-hosts-setup.md on this machine: what it marks is run, with other addresses and directories."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from guest.lib import host
from guest.lib.process import Child, tail

GUIDE = host.ROOT / "docs/many-hosts-setup.md"
DAEMON = host.BUILD / "core/hw/scsi/pr/scsi-prd"
MEMBERS = 3
_BLOCK = re.compile(r"^<!-- test: (\w+) -->\n```\w*\n(.*?)^```$", re.M | re.S)
_STARTS_WITHIN = 60.0


def blocks() -> dict[str, str]:
    """What the guide marks, by its name."""
    return dict(_BLOCK.findall(GUIDE.read_text()))


def addresses() -> str:
    """The beginning of addresses of loopback that no other test of this machine has."""
    pid = os.getpid()
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}."


class Member:
    """A process of etcd that is set up as Debian's service is: by its environment."""

    def __init__(self, settings: Mapping[str, str], data: Path) -> None:
        self.log = data.with_suffix(".log")
        variables = [f"{name}={value}" for name, value in settings.items()]
        self._process = Child(["env", *variables, f"ETCD_DATA_DIR={data}", "etcd", "--logger", "zap"], self.log)

    def check(self) -> None:
        if self._process.code is not None:
            raise RuntimeError(f"etcd has ended:\n{tail(self.log)}")

    def close(self) -> None:
        if self._process.code is None:
            self._process.kill()


def settings_of_one(url: str) -> dict[str, str]:
    """For a member that is alone, and asks nobody who he is."""
    peer = re.sub(r":\d+$", ":2380", url)
    return {
        "ETCD_NAME": "alone",
        "ETCD_LISTEN_CLIENT_URLS": url,
        "ETCD_ADVERTISE_CLIENT_URLS": url,
        "ETCD_LISTEN_PEER_URLS": peer,
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_INITIAL_CLUSTER": f"alone={peer}",
    }


class Site:
    """Everything in `directory`, which is on tmpfs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.net = addresses()
        self.config = directory / "etc/scsi-pr/scsi-prd.conf"
        self.members: list[Member] = []
        for name in ("etc/scsi-pr", "run", "state"):
            (directory / name).mkdir(parents=True)

    def text(self, name: str) -> str:
        """A block of the guide, as it is here."""
        return self.translated(blocks()[name])

    def translated(self, text: str) -> str:
        for there, here in {
            "192.0.2.": self.net,
            "/root/": f"{self.directory}/root/",
            "/etc/etcd/": f"{self.directory}/etcd1/",
            "/etc/scsi-pr": f"{self.directory}/etc/scsi-pr",
            "-o scsi-prd -g root": "",
            # etcd looks where its peers come from: on one machine all of them from here.
            "subjectAltName=IP:$address": "subjectAltName=IP:$address,IP:127.0.0.1",
            "runuser -u scsi-prd -- scsi-prd": f"{DAEMON} --config {self.config}",
        }.items():
            text = text.replace(there, here)
        return re.sub(r"^systemctl .*\n", "", text, flags=re.M)

    def run(self, *names: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """These blocks, one after the other in one shell, up to the first line that fails."""
        script = "\n".join([*(self.text(name) for name in names), more])
        return subprocess.run(["sh", "-e"], input=script, capture_output=True, text=True, timeout=120, check=False)

    def must(self, *names: str, more: str = "") -> str:
        done = self.run(*names, more=more)
        assert done.returncode == 0, f"{names}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_at(self, url: str, script: str) -> subprocess.CompletedProcess[str]:
        """For an etcd that is not the guide's: by TLS as there, or without."""
        exports = [line for line in self.text("etcdctl").splitlines() if line.startswith("export")]
        exports = exports if url.startswith("https:") else []
        text = "\n".join([*exports, f"export ETCDCTL_ENDPOINTS={url}", script])
        return subprocess.run(["sh", "-e"], input=text, capture_output=True, text=True, timeout=120, check=False)

    # --- etcd

    def settings(self, number: int) -> dict[str, str]:
        """Of that member, as the guide says it for the first one."""
        text = blocks()["etcd"].replace("/etc/etcd/", f"{self.directory}/etcd{number}/")
        found = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
        for name in found.keys() - {"ETCD_INITIAL_CLUSTER"}:
            found[name] = re.sub(r"^etcd1$", f"etcd{number}", found[name]).replace("2.11:", f"2.1{number}:")
        return {name: self.translated(value) for name, value in found.items()}

    def hand_out_certificates(self) -> None:
        ca = self.directory / "root/scsi-pr-ca"
        for number in range(1, MEMBERS + 1):
            place = self.directory / f"etcd{number}"
            place.mkdir()
            for kind in ("cert", "key"):
                (place / f"server-{kind}.pem").write_bytes((ca / f"{self.net}1{number}-{kind}.pem").read_bytes())
            (place / "ca-cert.pem").write_bytes((ca / "ca-cert.pem").read_bytes())

    def start_etcd(self) -> None:
        self.members = [Member(self.settings(i), self.directory / f"data{i}") for i in range(1, MEMBERS + 1)]
        deadline = time.monotonic() + _STARTS_WITHIN
        while (done := self.run("etcdctl")).returncode != 0:
            for member in self.members:
                member.check()
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.2)

    def put_back(self) -> None:
        """The guide's commands on each member, and they begin again."""
        self.close()
        for number in range(1, MEMBERS + 1):
            settings = self.directory / f"default{number}"
            settings.write_text("".join(f"{name}={value}\n" for name, value in self.settings(number).items()))
            script = self.text("restore").replace("/etc/default/etcd", str(settings))
            script = script.replace("/var/lib/etcd/default", f"{self.directory}/data{number}")
            # Here its user is that of the test.
            script = re.sub(r"^chown .*\n", "", script, flags=re.M)
            done = subprocess.run(["sh", "-e"], input=script, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
        self.start_etcd()

    def close(self) -> None:
        for member in self.members:
            member.close()

    # --- the daemon

    def here(self) -> str:
        """What a test says besides the guide: whose files are where."""
        return f"[host]\nname=h1\ngroup=\nruntime-directory={self.directory}/run\nstate-directory={self.directory}/state\n"

    def configure(self) -> None:
        self.config.write_text(self.text("configuration") + self.here())

    def check(self, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(DAEMON), "--config", str(path or self.config), "--check-config"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def check_with(self, changes: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """With other values than the guide's; without those that are empty."""
        path = self.directory / "changed.conf"
        text = self.config.read_text()
        for key, value in changes.items():
            line = f"{key}={value}\n" if value else ""
            text = re.sub(rf"^{key}=.*\n", "", text, flags=re.M).replace("[etcd]\n", f"[etcd]\n{line}")
        path.write_text(text)
        return self.check(path=path)
