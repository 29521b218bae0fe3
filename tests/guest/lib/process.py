# SPDX-License-Identifier: GPL-2.0-or-later
"""A child process that cannot outlive us, and whose last words are at hand."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: between fork and exec it is too late
_children: weakref.WeakSet[Child] = weakref.WeakSet()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, indented; says so when there are none."""
    try:
        text = path.read_bytes()[-65536:].decode(errors="replace").replace("\r", "")
    except FileNotFoundError:
        text = ""
    last = text.strip().splitlines()[-lines:]
    return "".join(f"    {line}\n" for line in last) or "    (nothing)\n"


class Child:
    """A process with stdout and stderr in a log file, killed at the latest when we end.

    The kernel ties it to the *thread* that starts it: start children from a thread that lives as
    long as they shall.
    """

    def __init__(self, command: Sequence[str], log: Path, pass_fds: Sequence[int] = ()) -> None:
        self.command = list(command)
        self.log = log
        self._frozen = False
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for us; we then stop the children in order
            )
        _children.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code (negative: the signal), None while it runs."""
        return self._process.poll()

    @property
    def frozen(self) -> bool:
        return self._frozen

    def wait(self, timeout: float) -> int:
        """Exit code; subprocess.TimeoutExpired when it still runs then."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has let go of everything the process held."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP, and wait until it really stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        self._frozen = True

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)  # nothing, when it has ended meanwhile
        self._frozen = False


@atexit.register
def _kill_children() -> None:
    for child in list(_children):
        if child.code is None:
            child.kill()
