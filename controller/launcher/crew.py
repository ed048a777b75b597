"""What can be ready before a run is known: the base of a sandbox, and a process in it that waits to become a job.

Here: making both, in the process that will be the run's supervisor, and what runs have in common on top of the base.
Most of what a launch costs is spent here, ahead of need. Invariant: none of it is of one run alone; each is used once.
"""

import errno
import os
import socket
from dataclasses import replace

from controller.launcher import held_run, job_process, receipt, rehearsal
from controller.launcher.job_process import JobFiles
from controller.launcher.log_writer import STDERR, STDOUT
from controller.launcher.receipt import Early, NotEnforced, Seen, Surroundings, Wanted
from controller.launcher.records import Plain
from controller.launcher.slots import IDS_PER_SLOT, Slot
from controller.linux import core_pattern, loopback, namespaces, process, rtnetlink
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox.compile import WORK_DIRECTORY, compile_base, compile_own, compile_sandbox, compile_shared
from controller.sandbox.confine import NO_PROCESS_LIMITS, ProcessLimits
from controller.sandbox.errors import SandboxError
from controller.sandbox.interpret import Builder
from controller.sandbox.ops import BindMount, MakePlaces
from controller.sandbox.rights import USUAL_RIGHTS, Rights
from controller.sandbox.sources import MountWatch
from controller.sandbox.spec import HostIds, SandboxSpec

_TO_BE_SEALED = ("/", "/dev")
"""Mounts that can be written until the whole sandbox is made."""


class Crew:
    """A base and a waiting process. When made, this process is back among the host's mounts.

    Raises:
        SandboxError, OSError: the base or the process could not be made.
    """

    def __init__(
        self,
        slot: Slot,
        staging: str,
        seccomp: bytes,
        host_mounts_fd: int,
        niceness: int,
        surroundings: Surroundings,
    ) -> None:
        self._slot, self._niceness, self._surroundings = slot, niceness, surroundings
        self._rights, self._limits = USUAL_RIGHTS, NO_PROCESS_LIMITS
        self._early: Early | None = None
        self._heard = bytearray()
        self._seen: Seen | None = None
        self.mounts: dict[str, str] = {}
        """What the kernel said of the sandbox's mounts, by place."""
        self.host_ids = HostIds(slot.host_base, slot.host_base)
        self.builder = Builder()
        self.builder.carry_out(compile_base(self.host_ids, staging))
        self.sandbox_mounts_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.outputs: dict[int, bytes] = {}
        self.report_fd, self.orders, self.job_pid = self._fork(seccomp)
        self._host_mounts_fd = host_mounts_fd
        self._watch: MountWatch | None = None
        self._broken: SandboxError | OSError | None = None
        namespaces.enter(host_mounts_fd, LinuxNamespace.MOUNT)

    def make_shared(self, spec: SandboxSpec) -> None:
        """Make what runs have in common, on top of the base, and go back among the host's mounts; once.

        Raises:
            SandboxError, InvalidSpec, NotEnforced, OSError: it cannot be made: this crew is good for nothing any more.
        """
        ops = compile_shared(spec, self.host_ids)
        watch = MountWatch()  # From before the sources are taken.
        self.builder.take_sources(ops)
        self.builder.remember_sources()
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        self.builder.carry_out(ops)
        self.mounts = receipt.read_mounts({*self.builder.writable, *_TO_BE_SEALED})
        namespaces.enter(self._host_mounts_fd, LinuxNamespace.MOUNT)
        self._watch = watch
        self._hear_early()
        compile_own(replace(spec, hostname="rehearsal"), self.host_ids)
        if not self.is_current():
            raise OSError(errno.ESTALE, "the sandbox's sources changed while it was made")

    def rehearse(self) -> None:
        """Go through what a run will need, once, while nobody waits for one. Should it fail, the run will say why."""
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        try:
            rehearsal.think()
            rehearsal.act(self.host_ids)
        except (SandboxError, OSError) as error:
            self._broken = error
        namespaces.enter(self._host_mounts_fd, LinuxNamespace.MOUNT)

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
        if self._watch is None or self._broken is not None or self._watch.has_changed():
            return False
        return self.builder.sources_are_the_same()

    def make_the_rest(self, spec: SandboxSpec) -> None:
        """Make the run's own sandbox, and be in it from there on.

        Raises:
            SandboxError, InvalidSpec, OSError: it cannot be made.
        """
        if self._broken is not None:
            raise self._broken
        compiled = compile_own if self.has_shared else compile_sandbox
        ops = compiled(spec, self.host_ids)
        self.builder.take_sources(ops)
        self._enter_sandbox()
        self.builder.carry_out(ops)
        if self.has_shared and not any(isinstance(op, BindMount | MakePlaces) for op in ops):
            # All others were looked at ahead, and what was mounted since were single mounts, which `Builder` asked of.
            self.mounts |= receipt.flags_of((*_TO_BE_SEALED, WORK_DIRECTORY))
        else:
            self.mounts = receipt.read_mounts(self.builder.writable)

    def take_rights(self, rights: Rights, limits: ProcessLimits, seccomp: bytes, outside: socket.socket) -> None:
        """Have another process become the job, with these rights, and core files if its limits allow any.

        The one that waits has given up all but the usual. `outside` is a socket of the host's network.

        Raises:
            OSError: there is none to be had.
        """
        self.orders.close()
        os.waitpid(self.job_pid, 0)
        for fd in (self.report_fd, *self.outputs):
            os.close(fd)
        self._rights, self._limits = rights, limits
        self._early, self._heard = None, bytearray()
        if rights.host_network:
            _enter_network_of(outside)
        elif Capability.NET_BIND_SERVICE in rights.kept:
            # Its network is not its user namespace's, so the capability alone would give it no right there; who asks
            # for it is not to begin where the ports could not be opened, as others may.
            loopback.open_low_ports()
        held_run.keep_program(seccomp)
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        self.report_fd, self.orders, self.job_pid = self._fork(seccomp)
        namespaces.enter(self._host_mounts_fd, LinuxNamespace.MOUNT)

    def judge(self) -> None:
        """Compare what the kernel tells the job's process that it is held to with what was wanted.

        Raises:
            NotEnforced: it is not what was wanted.
            OSError: the process has ended: its report says why.
        """
        rights, ruleset = self._rights, self.builder.ruleset
        early = self._hear_early()
        self._seen = receipt.parse_late(early, job_process.hear(self.orders, self._heard, receipt.END))
        cores = self._core_limit(self._seen.core_limits)
        wanted = Wanted(
            self.host_ids.uid, IDS_PER_SLOT, self._surroundings, rights.kept, cores, host_network=rights.host_network
        )
        receipt.judge(self._seen, wanted)
        if ruleset is None and rights.needs_landlock:
            raise NotEnforced("cannot begin the run: the host's policy wants Landlock, and this kernel has none")

    def _core_limit(self, seen: tuple[int, ...]) -> int:
        """Return what the limit of core files is to be: where root itself has 0, that will do if no program is told."""
        is_least = not any(seen) and not self._limits.leaves_cores
        return 0 if is_least and not core_pattern.is_program(core_pattern.read()) else self._limits.core_limit

    def _hear_early(self) -> Early:
        """Return what the job's process says as soon as it is who it will be, which may be long before its run."""
        if self._early is None:
            self._early = receipt.parse_early(job_process.hear(self.orders, self._heard, receipt.END_OF_EARLY))
        return self._early

    def held_to(self) -> dict[str, Plain]:
        """Return what the kernel said to `judge` and of the mounts, as the record of the run shows it."""
        if self._seen is None:
            return {}
        return {
            **receipt.as_plain(self._seen, self._surroundings.filters),
            "securityProfile": self._rights.profile,
            **({"hostNetwork": True} if self._rights.host_network else {}),
            "landlockAbi": 0 if self.builder.ruleset is None else self.builder.ruleset.abi,
            "mounts": receipt.by_flags(self.mounts),
        }

    @property
    def ruleset_fd(self) -> int | None:
        """Where the job may write, for its process to be held to."""
        return None if self.builder.ruleset is None else self.builder.ruleset.fd

    def close(self) -> None:
        """Let go of what the sandbox was made with; the job goes on. Its `orders` are closed by `dismiss`."""
        held_run.keep_ruleset(self.ruleset_fd)
        self.builder.close()
        os.close(self.sandbox_mounts_fd)

    def dismiss(self) -> None:
        """Have nothing more to say to the job's process, nor to hear of it."""
        self.orders.close()

    def _enter_sandbox(self) -> None:
        """Leave the host's mounts for good."""
        namespaces.enter(self.sandbox_mounts_fd, LinuxNamespace.MOUNT)
        os.close(self._host_mounts_fd)
        if self._watch is not None:
            self._watch.close()

    def _fork(self, seccomp: bytes) -> tuple[int, socket.socket, int]:
        slot = self._slot
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        report_read, report_write = os.pipe2(os.O_CLOEXEC)
        orders, orders_of_job = socket.socketpair()
        for fd in (out_write, err_write):
            os.fchown(fd, slot.host_base, slot.host_base)  # So that the job may open /dev/stdout.
        files = JobFiles(
            out_write, err_write, report_write, orders_of_job.fileno(), slot.user_namespace_fd, self._niceness,
            self._rights.kept, self._limits,
        )  # fmt: skip
        pid = process.clone()
        if pid == 0:
            job_process.wait_and_become(files, seccomp)
        orders_of_job.close()
        for fd in (out_write, err_write, report_write):
            os.close(fd)
        self.outputs = {out_read: STDOUT, err_read: STDERR}
        return report_read, orders, pid


def _enter_network_of(outside: socket.socket) -> None:
    fd = rtnetlink.network_of(outside)
    try:
        namespaces.enter(fd, LinuxNamespace.NETWORK)
    finally:
        os.close(fd)
