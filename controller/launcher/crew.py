"""What can be ready before a run is known: the base of a sandbox, and a process in it that waits to become a job.

Here: making both, in the process that will be the run's supervisor. Most of what a launch costs is
spent here, ahead of need. Invariant: none of it depends on any run, and each is used once.
"""

import os
import socket

from controller.launcher import job_process, rehearsal
from controller.launcher.job_process import JobFiles
from controller.launcher.log_writer import STDERR, STDOUT
from controller.launcher.slots import Slot
from controller.linux import namespaces
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox.compile import compile_base
from controller.sandbox.interpret import Builder
from controller.sandbox.spec import HostIds


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
        namespaces.enter(host_mounts_fd, LinuxNamespace.MOUNT)

    def enter_sandbox(self) -> None:
        """Leave the host's mounts for good.

        Raises:
            OSError: the kernel refused.
        """
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        os.close(self.sandbox_mounts_fd)

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
