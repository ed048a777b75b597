"""What can be ready before a run is known: the base of a sandbox, and a process in it that waits to become a job.

Here: making both, in the process that will be the run's supervisor, and what runs have in common on top of the base.
Most of what a launch costs is spent here, ahead of need. Invariant: none of it is of one run alone; each is used once.
"""

import errno
import os
import socket
from dataclasses import replace

from controller.launcher import job_process, rehearsal
from controller.launcher.job_process import JobFiles
from controller.launcher.log_writer import STDERR, STDOUT
from controller.launcher.slots import Slot
from controller.linux import namespaces
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox.compile import compile_base, compile_own, compile_sandbox, compile_shared
from controller.sandbox.interpret import Builder
from controller.sandbox.sources import MountWatch
from controller.sandbox.spec import HostIds, SandboxSpec


class Crew:
    """A base and a waiting process. When made, this process is back among the host's mounts.

    Raises:
        SandboxError, OSError: the base or the process could not be made.
    """

    def __init__(
        self, slot: Slot, staging: str, seccomp: bytes, host_mounts_fd: int, niceness: int, *, rehearsed: bool
    ) -> None:
        self.host_ids = HostIds(slot.host_base, slot.host_base)
        self.builder = Builder()
        self.builder.carry_out(compile_base(self.host_ids, staging))
        self.sandbox_mounts_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.outputs: dict[int, bytes] = {}
        self.report_fd, self.orders, self.job_pid = self._fork(slot, seccomp, niceness)
        if rehearsed:  # After the fork, which made every page one to copy again.
            rehearsal.think()
            rehearsal.act(self.host_ids)
        self._host_mounts_fd = host_mounts_fd
        self._watch: MountWatch | None = None
        namespaces.enter(host_mounts_fd, LinuxNamespace.MOUNT)

    def make_shared(self, spec: SandboxSpec) -> None:
        """Make what runs have in common, on top of the base, and go back among the host's mounts; once.

        Raises:
            SandboxError, InvalidSpec, OSError: it cannot be made: this crew is good for nothing any more.
        """
        ops = compile_shared(spec, self.host_ids)
        watch = MountWatch()  # From before the sources are taken.
        self.builder.take_sources(ops)
        self.builder.remember_sources()
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        self.builder.carry_out(ops)
        namespaces.enter(self._host_mounts_fd, LinuxNamespace.MOUNT)
        self._watch = watch
        compile_own(replace(spec, hostname="rehearsal"), self.host_ids)
        if not self.is_current():
            raise OSError(errno.ESTALE, "the sandbox's sources changed while it was made")

    @property
    def has_shared(self) -> bool:
        """Whether what runs have in common is made."""
        return self._watch is not None

    @property
    def mounts_fd(self) -> int:
        """What has POLLPRI in any poll once anything is mounted on or unmounted from the host; -1 for nothing made."""
        return -1 if self._watch is None else self._watch.fd

    def is_current(self) -> bool:
        """Say whether `make_shared` would make now what it made. Once it says no, it is not to be asked again."""
        if self._watch is None or self._watch.has_changed():
            return False
        return self.builder.sources_are_the_same()

    def make_the_rest(self, spec: SandboxSpec) -> None:
        """Make the run's own sandbox, and be in it from there on.

        Raises:
            SandboxError, InvalidSpec, OSError: it cannot be made.
        """
        compiled = compile_own if self.has_shared else compile_sandbox
        ops = compiled(spec, self.host_ids)
        self.builder.take_sources(ops)
        self._enter_sandbox()
        self.builder.carry_out(ops)

    def close(self) -> None:
        """Let go of what the sandbox was made with; the job goes on."""
        self.builder.close()
        self.orders.close()
        os.close(self.sandbox_mounts_fd)

    def _enter_sandbox(self) -> None:
        """Leave the host's mounts for good."""
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        os.close(self._host_mounts_fd)
        if self._watch is not None:
            self._watch.close()

    def _fork(self, slot: Slot, seccomp: bytes, niceness: int) -> tuple[int, socket.socket, int]:
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        report_read, report_write = os.pipe2(os.O_CLOEXEC)
        orders, orders_of_job = socket.socketpair()
        for fd in (out_write, err_write):
            os.fchown(fd, slot.host_base, slot.host_base)  # So that the job may open /dev/stdout.
        files = JobFiles(out_write, err_write, report_write, orders_of_job.fileno(), slot.user_namespace_fd, niceness)
        pid = os.fork()
        if pid == 0:
            job_process.wait_and_become(files, seccomp)
        orders_of_job.close()
        for fd in (out_write, err_write, report_write):
            os.close(fd)
        self.outputs = {out_read: STDOUT, err_read: STDERR}
        return report_read, orders, pid
