"""One run's supervisor: process 1 of the run's pid namespace, forked by the launcher, on its own from then on.

It claims the run, makes the sandbox around itself, forks the job into it, gives up what it does not
need any more, stays until the job has ended, and writes the exit record.

Invariants: nothing is executed unless this process has claimed the run, durably. After the claim
there is an exit record, unless this process is killed or the disk refuses.
"""

import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, replace

from controller.cgroup.lifecycle import Lifecycle, OomWatch
from controller.cgroup.usage import UsageReader
from controller.launcher import job_process, outcome, protocol, records, signals
from controller.launcher.control import ControlFifo
from controller.launcher.instants import utc_text
from controller.launcher.job_process import JobProcess
from controller.launcher.log_writer import STDERR, STDOUT, LogWriter
from controller.launcher.outcome import NeverRan, Outcome
from controller.launcher.records import Claim, ExitFile, ExitRecord, Reason
from controller.launcher.run_loop import RunLoop
from controller.launcher.runspec import RunSpec
from controller.launcher.slots import Slot
from controller.linux import libc, process
from controller.linux.capabilities import Capability
from controller.sandbox import confine
from controller.sandbox.compile import compile_sandbox
from controller.sandbox.confine import Confinement
from controller.sandbox.errors import InvalidSpec, SandboxError
from controller.sandbox.interpret import interpret
from controller.sandbox.spec import HostIds

SUPERVISOR_SANDBOX_UID = 65534
"""Who the supervisor is inside: nobody, so that the job, which is root there without rights, cannot touch it."""

_PR_SET_NAME = 15
_OWN_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEEP = frozenset({Capability.KILL})


@dataclass(frozen=True, slots=True)
class Assignment:
    """A run and what the launcher has ready for it. `status_fd` is where the launcher hears of the claim."""

    spec: RunSpec
    slot: Slot
    lifecycle: Lifecycle
    seccomp: bytes
    staging: str
    boot_id: str
    status_fd: int


def supervise(assignment: Assignment) -> None:
    """Do all that the module says. The process is to end when this returns.

    Raises:
        OSError: the run could not be claimed (then nothing of it was done), or its record not written.
    """
    signals.forget(_OWN_SIGNALS)
    libc.syscall("prctl", _PR_SET_NAME, b"rnx-run", purpose="name the process")
    started_ns = time.time_ns()
    run_dir_fd = os.open(assignment.spec.run_dir, _DIRECTORY)
    claim, control = _claim(assignment, run_dir_fd, started_ns)
    if claim is None or control is None:
        _tell_launcher(assignment, {"claimed": True})
        return
    _tell_launcher(assignment, {"claimed": False, "pid": claim.pid, "start_time": claim.start_time})
    exit_file = ExitFile(run_dir_fd)
    supervisor = _Supervisor(assignment, control, run_dir_fd, exit_file.fd)
    try:
        result = supervisor.run()
    except (SandboxError, InvalidSpec, OSError) as error:
        result = Outcome(Reason.SANDBOX_FAILED, str(error), None, None)
    except Exception as error:  # noqa: BLE001 - our bug: the run still needs its record
        traceback.print_exc(file=sys.stderr)
        result = Outcome(Reason.SANDBOX_FAILED, f"the supervisor failed: {error!r}", None, None)
    exit_file.write(supervisor.record(result, claim))


def _claim(assignment: Assignment, run_dir_fd: int, started_ns: int) -> tuple[Claim | None, ControlFifo | None]:
    pid = process.host_pid()  # As the host counts: /proc is still the host's here.
    control = ControlFifo(run_dir_fd, f"control.{pid}")
    claim = Claim(
        run_id=assignment.spec.run_id,
        boot_id=assignment.boot_id,
        pid=pid,
        start_time=process.start_time(),
        started_at=utc_text(started_ns),
        control=control.name,
    )
    if records.claim_run(run_dir_fd, claim):
        return claim, control
    os.unlink(control.name, dir_fd=run_dir_fd)
    return None, None


def _tell_launcher(assignment: Assignment, message: protocol.Message) -> None:
    try:
        os.write(assignment.status_fd, protocol.encode(message))
    except BrokenPipeError:
        pass  # It was killed. Whoever comes after it finds the claim.
    finally:
        os.close(assignment.status_fd)


class _Supervisor:
    """The run between its claim and its record."""

    def __init__(self, assignment: Assignment, control: ControlFifo, run_dir_fd: int, exit_fd: int) -> None:
        self._assignment = assignment
        self._spec = assignment.spec
        self._control = control
        self._run_dir_fd = run_dir_fd
        self._exit_fd = exit_fd
        self._usage: UsageReader | None = None
        self._log: LogWriter | None = None
        self._sandboxed = False

    def run(self) -> Outcome:
        """Run the job and return how it ended.

        Raises:
            SandboxError, InvalidSpec, OSError: it could not be started.
        """
        spec, slot, lifecycle = self._spec, self._assignment.slot, self._assignment.lifecycle
        log_dir_fd = os.open(spec.log_dir, _DIRECTORY)
        self._log = LogWriter(log_dir_fd, spec.log_max_bytes, spec.log_max_files, time.time_ns)
        lifecycle.create(spec.cgroup, spec.limits)
        join_fds = lifecycle.open_join_fds(spec.cgroup)
        oom = lifecycle.open_oom_watch(spec.cgroup)
        self._usage = lifecycle.open_usage(spec.cgroup)
        self._close_the_launchers_files({log_dir_fd, self._log.fd, *join_fds, *oom.fds, *self._usage.fds})

        host_ids = HostIds(slot.host_base, slot.host_base)
        interpret(compile_sandbox(spec.sandbox, host_ids, self._assignment.staging))
        self._sandboxed = True

        outputs, job, report_fd = self._pipes(join_fds)
        job_pid = os.fork()
        if job_pid == 0:
            job_process.become(job)
        wakeup_fd = signals.wake_on(*_OWN_SIGNALS)
        for fd in (job.stdout_fd, job.stderr_fd, job.report_fd, *join_fds):
            os.close(fd)
        self._give_up_rights(log_dir_fd)
        return self._stay(job_pid, outputs, report_fd, wakeup_fd, oom)

    def _close_the_launchers_files(self, kept: set[int]) -> None:
        """Close what the fork has brought along: its socket, its clients, its other runs."""
        slot = self._assignment.slot
        kept |= {slot.lock_fd, slot.user_namespace_fd, self._run_dir_fd, self._exit_fd, self._control.fd}
        first = 3
        for fd in sorted(kept):
            if first < fd:
                process.close_range(first, fd - 1)
            first = max(first, fd + 1)
        process.close_range(first, process.LAST_FD)

    def _pipes(self, join_fds: tuple[int, ...]) -> tuple[dict[int, bytes], JobProcess, int]:
        spec, slot = self._spec, self._assignment.slot
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        report_read, report_write = os.pipe2(os.O_CLOEXEC)
        for fd in (out_write, err_write):
            os.fchown(fd, slot.host_base, slot.host_base)  # So that the job may open /dev/stdout.
        job = JobProcess(
            argv=spec.argv,
            env=spec.env,
            cwd=spec.cwd,
            stdout_fd=out_write,
            stderr_fd=err_write,
            report_fd=report_write,
            join_fds=join_fds,
            user_namespace_fd=slot.user_namespace_fd,
            seccomp=self._assignment.seccomp,
        )
        return {out_read: STDOUT, err_read: STDERR}, job, report_read

    def _give_up_rights(self, log_dir_fd: int) -> None:
        """Keep the run's directories, by descriptor and as their owner, and the right to kill; nothing else."""
        slot = self._assignment.slot
        host_uid = slot.host_base + SUPERVISOR_SANDBOX_UID
        for fd in (self._run_dir_fd, log_dir_fd):
            os.fchown(fd, host_uid, host_uid)
        uid = SUPERVISOR_SANDBOX_UID
        confine.confine(Confinement(slot.user_namespace_fd, uid, uid, keep=_KEEP))
        os.close(slot.user_namespace_fd)
        process.set_dumpable(False)

    def _stay(self, job_pid: int, outputs: dict[int, bytes], report_fd: int, wakeup_fd: int, oom: OomWatch) -> Outcome:
        spec, log = self._spec, self._log
        if log is None or self._usage is None:
            raise AssertionError("unreachable: `run` has opened both")
        loop = RunLoop(job_pid, outputs, log, self._control, oom, wakeup_fd, spec.deadline_seconds, spec.grace_seconds)
        wait_status = loop.run()
        never_ran: NeverRan | None = job_process.read_report(report_fd)
        return outcome.decide(wait_status, loop.ending, oom.killed_count(), never_ran)

    def record(self, result: Outcome, claim: Claim) -> ExitRecord:
        """Return the exit record."""
        record = ExitRecord(
            run_id=claim.run_id,
            reason=result.reason,
            message=result.message,
            exit_code=result.exit_code,
            signal=result.signal,
            started_at=claim.started_at,
            finished_at=utc_text(time.time_ns()),
            dropped_log_bytes=self._log.dropped_bytes if self._log else 0,
        )
        if self._usage is None or not self._sandboxed:
            return record
        usage = self._usage.read()
        return replace(record, usage=asdict(usage), oom_kills=usage.oom_kills, receipt=self._receipt())

    def _receipt(self) -> dict[str, records.Plain]:
        """Return what was enforced: nothing of it may fail without ending the run, so having got here is the proof."""
        limits, slot = self._spec.limits, self._assignment.slot
        return {
            "memoryBytes": limits.memory_bytes,
            "cpuMillicpu": limits.cpu_millicpu,
            "pids": limits.pids,
            "deadlineSeconds": self._spec.deadline_seconds,
            "namespaces": ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"],
            "hostUid": slot.host_base,
            "capabilities": [],
            "noNewPrivs": True,
            "seccomp": True,
        }
