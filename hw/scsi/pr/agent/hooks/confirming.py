# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hooks share: what scsi-prd knows, how a host is confirmed dead, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

TOOL = "scsi-pr"
REFUSED = 3  # its exit status


class Wrong(Exception):
    """It could not be looked at, or not be asked; that is tried again."""


class Doubt(Exception):
    """Why a node is not confirmed, whatever else is seen of it now."""


class Voice:
    """Says a thing once, as long as it is so."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def say(self, about: str, what: str) -> None:
        if self._said.get(about) != what:
            self._said[about] = what
            # Parts of it come from elsewhere.
            text = "".join(each if each.isprintable() else "?" for each in what)
            print(f"scsi-pr-confirm: {text}", file=sys.stderr, flush=True)

    def is_well(self, about: str) -> None:
        self._said.pop(about, None)


def ask(*command: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError as missing:
        raise Wrong(f"{command[0]} is not installed, or not in PATH") from missing
    except (OSError, ValueError) as why:
        raise Wrong(f"{command[0]}: {why}") from why
    except subprocess.TimeoutExpired as late:
        raise Wrong(f"{command[0]} has not ended within {seconds:g} s") from late


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a program has said, in one line, without its name."""
    text = " ".join(line.strip() for line in done.stderr.splitlines())
    return text.removeprefix(f"{TOOL}: ").rstrip(".")


def digits(boot: str) -> str:
    """A boot id with and without dashes is one."""
    return boot.replace("-", "").lower()


@dataclass(frozen=True)
class Record:
    """Of a host, as the others have it."""

    boot: str
    incarnation: str
    joined: int  # by its own clock
    proof: str = ""

    def same(self, other: Record) -> bool:
        return (self.boot, self.incarnation) == (other.boot, other.incarnation)


class Cluster:
    def __init__(self, runtime_dir: str | None, voice: Voice) -> None:
        self._where = ["--runtime-dir", runtime_dir] if runtime_dir else []
        self._voice = voice

    def records(self) -> dict[str, Record]:
        """Of the other hosts."""
        told = ask(TOOL, "hosts", *self._where, "--output=json", seconds=60)
        if told.returncode != 0:
            raise Wrong(f"{TOOL} hosts: {refusal(told)}")
        try:
            hosts = json.loads(told.stdout)
            return {
                str(each["name"]): Record(
                    digits(each["boot-id"]), str(each["incarnation"]), int(each.get("joined", 0)), each.get("proof", "")
                )
                for each in hosts["hosts"]
                if each["name"] != hosts["host"]
            }
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise Wrong(f"{TOOL} hosts says something that is not understood: {why!r}") from why

    def confirm(self, host: str, boot: str, reason: str) -> None:
        """Doubt: the host lives, or is in another boot. scsi-prd asks it, for as long as that takes."""
        words = ("confirm-host-dead", *self._where, host, "--boot-id", boot, "--reason", reason)
        done = ask(TOOL, *words, seconds=150)
        if done.returncode == REFUSED:
            raise Doubt(refusal(done))
        if done.returncode != 0:
            raise Wrong(f"host {host} is not confirmed dead yet: {refusal(done)}")
        self._voice.say(f"confirmed {host}", f"host {host} is confirmed dead, boot {boot}: {reason}")
