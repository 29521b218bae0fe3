# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in a QEMU process of its own: boot it, run commands in it, do things to it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from . import host
from .agent import Agent, Result, Task
from .channel import Channel, ChannelClosed
from .disk import Disk, option
from .process import Child, tail
from .qmp import Qmp, QmpTimeout

UP_TIMEOUT = 60.0  # a boot takes 3 s under TCG; a machine that builds meanwhile is far slower


class GuestError(Exception):
    """Something is wrong with the guest; the text has the ends of its console and QEMU's log."""


class GuestTimeout(GuestError):
    """It did not happen in time."""


class QemuEnded(GuestError):
    """The QEMU process is gone. `code` is its exit code (negative: the signal)."""

    def __init__(self, text: str, code: int | None) -> None:
        super().__init__(text)
        self.code = code


class CommandFailed(GuestError):
    """A checked command ended with another exit code than 0; `result` has its output."""

    def __init__(self, text: str, result: Result) -> None:
        super().__init__(text)
        self.result = result


class VM:
    """A guest and its QEMU process.

        with VM("a", disks=[Disk(image, pr_store="file:/…")]) as a:
            a.run("sg_persist -n -i -k /dev/sda").out

    Entering the context starts QEMU and waits until the guest is up. To boot several side by side
    call start() on each, then wait_up() on each. Leaving it ends QEMU, whatever state it is in.
    Not thread-safe; start() it from a thread that lives as long as the guest.
    """

    def __init__(
        self,
        name: str,
        disks: Iterable[Disk] = (),
        *,
        binary: Path | None = None,
        accel: str | None = None,
        machine: str = "q35",
        memory: int = 256,
        kernel: str = "cloud",
        modules: Iterable[str] = (),
        adapters: Sequence[str] = (),
        uuid_: str | None = "",
        logs: Path | None = None,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        append: str = "",
        pass_fds: Sequence[int] = (),
        incoming: bool = False,
    ) -> None:
        """`uuid_` None leaves -uuid out, '' derives one from the name. `logs` is a directory that
        is kept; without it a temporary one is removed at the end. `arguments` are added to QEMU's
        command line, `append` to the kernel's; `wrapper` is a command that execs QEMU; `pass_fds`
        are descriptors that `arguments` speak of. `incoming`: the guest does not boot but comes
        from another process (migration.py). `kernel` is that of the guest image, `modules` are
        loaded at boot beside virtio's; `adapters` are arguments that come before those of the
        disks. On a machine without PCI (microvm) the devices are virtio-mmio's."""
        self.name = name
        self.disks = list(disks)
        self.binary = binary or host.default_binary()
        self._accel = accel
        self.machine = machine
        self.memory = memory
        self._kernel = kernel
        self._modules = list(modules)
        self._adapters = list(adapters)
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) if uuid_ == "" else uuid_
        self._logs_are_ours = logs is None
        self.logs = logs or Path(tempfile.mkdtemp(prefix=f"guest-{name}-"))
        self.logs.mkdir(parents=True, exist_ok=True)
        self._arguments = list(arguments)
        self._incoming = incoming
        self._wrapper = list(wrapper)
        self._append = append
        self._pass_fds = list(pass_fds)
        self._child: Child | None = None
        self._channels: list[Channel] = []
        self._agent: Agent | None = None
        self._qmp: Qmp | None = None
        self._boots = 0  # how often wait_up() has seen the guest come up in this process

    # --- the process

    @property
    def console(self) -> Path:
        return self.logs / "console.log"

    @property
    def qemu_log(self) -> Path:
        """QEMU's stdout and stderr, of all its runs."""
        return self.logs / "qemu.log"

    @property
    def child(self) -> Child:
        if self._child is None:
            raise GuestError(f"guest {self.name} has not been started: call start()")
        return self._child

    @property
    def accel(self) -> str:
        if self._accel is None:
            self._accel = host.accelerator(self.binary, lambda: boots_with_kvm(self.binary))
        return self._accel

    def command(self, agent_fd: int, qmp_fd: int) -> list[str]:
        """QEMU's command line."""
        image = host.guest_image(self._kernel)
        bus = "device" if self.machine.startswith("microvm") else "pci"
        append = f"console=ttyS0 panic=-1 guest.disks={len(self.disks)} {self._append}"
        append += f" guest.modules={','.join(self._modules)}" if self._modules else ""
        console = option({"id": "console", "path": self.console, "append": "on"})
        command = [*self._wrapper, str(self.binary), "-nodefaults", "-no-user-config"]
        command += ["-display", "none"]
        command += [*host.firmware(), "-name", self.name, "-accel", self.accel, "-machine", self.machine]
        command += ["-m", str(self.memory), "-kernel", f"{image}/vmlinuz"]
        command += ["-initrd", f"{image}/initramfs", "-append", append.strip()]
        command += ["-uuid", self.uuid] if self.uuid else []
        command += ["-chardev", f"file,{console}", "-serial", "chardev:console"]
        command += ["-chardev", f"socket,id=agent,fd={agent_fd}", "-device", f"virtio-serial-{bus}"]
        command += ["-device", "virtserialport,chardev=agent,name=agent"]
        command += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
        command += ["-device", f"virtio-scsi-{bus},id=scsi0"]
        command += self._adapters
        for disk in self.disks:
            command += disk.arguments()
        command += ["-incoming", "defer"] if self._incoming else []
        return command + self._arguments

    def start(self) -> None:
        """Start QEMU; wait_up() then waits for the guest."""
        if self._child is not None and self._child.code is None:
            raise GuestError(f"guest {self.name} runs already (pid {self._child.pid})")
        self._disconnect()
        if self._agent is not None:
            self._agent.abandon()
        agent, qmp = self._channels = [Channel(), Channel()]
        self._agent, self._qmp, self._boots = Agent(agent), Qmp(qmp), 0
        fds = [channel.fd for channel in self._channels]
        self._child = Child(self.command(*fds), self.qemu_log, pass_fds=fds + self._pass_fds)
        for channel in self._channels:
            channel.passed_on()

    def wait_up(self, timeout: float = UP_TIMEOUT) -> None:
        """Wait until the guest has come up once more than when this was last called."""
        deadline = time.monotonic() + timeout
        if self.qmp.greeting == {}:
            with self._watched("did not start"):
                self.qmp.negotiate()
        while len(self.agent.boots) <= self._boots:
            self._poll(deadline, "come up")
        self._boots += 1

    def stop(self, timeout: float = 10) -> int:
        """End QEMU in order (QMP quit) and return its exit code."""
        child = self.child
        if child.code is None:
            try:
                self.qmp.execute("quit")
            except ChannelClosed:
                pass  # it may close the connection before it answers
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                raise GuestTimeout(self.report(f"did not quit within {timeout:g} s")) from None
        self._disconnect()
        return child.wait(0)

    def restart(self) -> None:
        """QEMU ends and starts again with the same arguments: the guest's power is cycled."""
        self.stop()
        self.start()
        self.wait_up()

    def kill(self) -> None:
        """kill -9 of QEMU."""
        self.child.kill()
        self._disconnect()

    def freeze(self) -> None:
        """SIGSTOP: all of QEMU stands still, as on a host without CPU time."""
        self.child.freeze()

    def thaw(self) -> None:
        self.child.thaw()

    def close(self) -> None:
        """End QEMU, however it is, and remove temporary logs. Never fails."""
        if self._child is not None and self._child.code is None:
            self._child.kill()
        self._disconnect()
        if self._logs_are_ours:
            shutil.rmtree(self.logs, ignore_errors=True)

    def __enter__(self) -> VM:
        try:
            if self._child is None:
                self.start()
                self.wait_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- migration; see migration.py

    def twin(self, binary: Path | None = None, disks: Iterable[Disk] | None = None) -> VM:
        """The same VM for another process, which waits for the guest. `disks`: its own, as they are
        there."""
        return VM(
            self.name,
            self.disks if disks is None else disks,
            binary=binary or self.binary,
            accel=self.accel,
            machine=self.machine,
            memory=self.memory,
            kernel=self._kernel,
            modules=self._modules,
            adapters=self._adapters,
            uuid_=self.uuid,
            logs=None if self._logs_are_ours else self.logs / "twin",
            arguments=self._arguments,
            wrapper=self._wrapper,
            append=self._append,
            incoming=True,
        )

    def take_guest(self, source: VM) -> None:
        """The guest runs here now; what it has said there and was not heard yet is kept."""
        with contextlib.suppress(ChannelClosed):
            source.qmp.execute("quit")
        source.child.wait(10)
        mine, theirs = self._channels[0], source._channels[0]
        mine.continue_from(theirs)
        self._agent, self._boots = source.agent, source._boots
        self._agent.moved(mine)
        source._agent = None
        source.close()

    # --- inside the guest

    def run(self, command: str, timeout: float = 30, check: bool = False) -> Result:
        """Run a shell command in the guest; its exact output and exit code.

        When it has not ended in time it is killed in the guest and GuestTimeout is raised. With
        `check` another exit code than 0 raises CommandFailed.
        """
        return self.finish(self.begin(command), timeout, check)

    def begin(self, command: str) -> Task:
        """Start a shell command in the guest and return at once; finish() waits for it."""
        try:
            return self.agent.start(command)
        except (ChannelClosed, TimeoutError):
            raise self._gone(f"cannot take the command `{command}`") from None

    def finish(self, task: Task, timeout: float = 30, check: bool = False) -> Result:
        """Wait for a command begun earlier. `timeout` counts from now."""
        deadline = time.monotonic() + timeout
        while task.result is None:
            if task.lost:
                raise GuestError(self.report(f"was reset while `{task.command}` ran"))
            try:
                self._poll(deadline, f"end `{task.command}`")
            except GuestTimeout:
                if not self.child.frozen:
                    self.agent.kill(task)
                raise
        if check and task.result.code:
            raise CommandFailed(self.report(str(task.result)), task.result)
        return task.result

    def reset(self, timeout: float = UP_TIMEOUT) -> None:
        """Hard reset (QMP system_reset), and wait until the guest is up again."""
        self.qmp.execute("system_reset")
        self.wait_up(timeout)

    def reboot(self, timeout: float = UP_TIMEOUT) -> None:
        """`reboot -f` inside the guest, and wait until it is up again."""
        self.begin("reboot -f")
        self.wait_up(timeout)

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            raise GuestError(f"guest {self.name} has not been started: call start()")
        return self._agent

    @property
    def qmp(self) -> Qmp:
        if self._qmp is None:
            raise GuestError(f"guest {self.name} has not been started: call start()")
        return self._qmp

    # --- trouble

    def report(self, text: str) -> str:
        """What is wrong, and everything needed to see why."""
        return (
            f"guest {self.name} {text}\n  end of its console ({self.console}):\n"
            f"{tail(self.console)}  end of QEMU's output ({self.qemu_log}):\n{tail(self.qemu_log)}"
            f"  command line: {' '.join(self.child.command)}"
        )

    def _poll(self, deadline: float, purpose: str) -> None:
        """Let the agent take in a message; raise when the deadline is over or QEMU gone."""
        left = deadline - time.monotonic()
        if left < 0:
            raise GuestTimeout(self.report(f"did not {purpose} in time"))
        with self._watched(f"did not {purpose}"):
            self.agent.poll(left)

    @contextlib.contextmanager
    def _watched(self, purpose: str) -> Iterator[None]:
        """Turns a closed channel into QemuEnded, with what QEMU said."""
        try:
            yield
        except ChannelClosed:
            raise self._gone(purpose) from None

    def _gone(self, purpose: str) -> QemuEnded:
        try:
            code: int | None = self.child.wait(5)
            how = f"QEMU ended with code {code}"
        except subprocess.TimeoutExpired:
            code, how = None, "QEMU has closed the connection but still runs"
        return QemuEnded(self.report(f"{purpose}: {how}"), code)

    def _disconnect(self) -> None:
        for channel in self._channels:
            channel.close()
        self._channels = []


def boots_with_kvm(binary: Path, patience: float = 4) -> bool:
    """Whether a guest comes up under KVM, within seconds. It costs that much at most."""
    try:
        vm = VM("kvm-probe", binary=binary, accel="kvm")
        try:
            vm.start()
            vm.wait_up(patience)
        finally:
            vm.close()
    except (GuestError, QmpTimeout):
        return False
    return True


def boot(vms: Sequence[VM], timeout: float = UP_TIMEOUT) -> None:
    """Boot several guests side by side."""
    for vm in vms:
        vm.start()
    for vm in vms:
        vm.wait_up(timeout)


@contextlib.contextmanager
def running(*vms: VM, timeout: float = UP_TIMEOUT) -> Iterator[None]:
    """Boots these guests side by side; closes them at the end, whatever happens."""
    try:
        boot(vms, timeout)
        yield
    finally:
        for vm in vms:
            vm.close()
