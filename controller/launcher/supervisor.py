"""One run's supervisor: process 1 of the run's pid namespace, forked by the launcher, on its own once it has its run.

It makes ready what it can, waits for its run, claims it, makes the sandbox around itself, has the
job go, gives up what it does not need any more, stays until the job has ended, and writes the exit record.

Invariants: nothing is executed unless this process has claimed the run. After the claim there is an
exit record, unless this process is killed or the disk refuses.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from controller.cgroup import choose
from controller.cgroup.detect import Hierarchies
from controller.cgroup.io_lift import IoLift
from controller.cgroup.lifecycle import Lifecycle, OomWatch
from controller.cgroup.usage import UsageReader
from controller.launcher import (
    claiming,
    devices_told,
    held_run,
    host_claims,
    job_process,
    keeping,
    limits_told,
    network_end,
    outcome,
    records,
    run_cgroup,
    run_loop,
    signals,
    used,
    waiting,
)
from controller.launcher.control import ControlFifo
from controller.launcher.crew import Crew
from controller.launcher.instants import utc_text
from controller.launcher.job_process import Command
from controller.launcher.job_stdin import JobStdin
from controller.launcher.log_writer import LogWriter
from controller.launcher.outcome import Ending, Outcome
from controller.launcher.receipt import NotEnforced, Surroundings
from controller.launcher.recording import ExitFile
from controller.launcher.records import Claim, ExitRecord, Reason
from controller.launcher.run_cgroup import Blank, RunCgroup
from controller.launcher.run_loop import Held, RunLoop
from controller.launcher.runspec import RunSpec
from controller.launcher.slots import Slot
from controller.linux import core_pattern, libc, process, rtnetlink
from controller.linux.capabilities import Capability
from controller.sandbox import confine, seccomp
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.errors import InvalidSpec, SandboxError

if TYPE_CHECKING:
    from controller.launcher.artifacts import Keeper

SUPERVISOR_SANDBOX_UID = 65534
"""Who the supervisor is inside: nobody, so that the job, which is root there without rights, cannot touch it."""

_PR_SET_NAME = 15
_OWN_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEEP = frozenset({Capability.KILL})
_MESSAGE_CHARACTERS = 2000


class Likely(NamedTuple):
    """Where the last run was, so that the next one's files and cgroup may be made there ahead of it."""

    near: str
    """A directory of the disk that its files were made on."""
    cgroup_parent: str = ""
    """Empty if there was none."""


@dataclass(frozen=True, slots=True)
class Post:
    """What the launcher gives a supervisor at its birth. `channel` brings its run, and takes back one answer."""

    slot: Slot
    channel: socket.socket
    hierarchies: Hierarchies
    lifecycles: Mapping[str, Lifecycle]
    seccomp: bytes
    staging: str
    control_path: str
    boot_id: str
    host_mounts_fd: int
    runs_niceness: int
    likely: Likely
    launchers_fds: tuple[int, ...]
    surroundings: Surroundings


def supervise(post: Post) -> None:
    """Do all that the module says. The process is to end when this returns.

    Raises:
        OSError: the run could not be claimed (then nothing of it was done), or its record not written.
    """
    for fd in post.launchers_fds:
        os.close(fd)
    libc.syscall("prctl", _PR_SET_NAME, b"rnx-run", purpose="name the process")
    pid, start_time = process.host_pid(), process.start_time()  # As the host counts: /proc is the host's here.
    try:
        control = ControlFifo(post.control_path)  # Removed by the launcher.
        outside = rtnetlink.open_socket()  # Of the host's network, which this process leaves now.
    except OSError as error:
        _refuse(post, waiting.wait_for_run(post.channel, error), error)
        return
    blanks = claiming.make_blanks(post.likely.near)
    ready = _make_ready(post)
    with run_cgroup.made_ahead(post.lifecycles, post.likely.cgroup_parent, post.slot.number) as blank:
        spec = waiting.wait_for_run(post.channel, ready)
        if spec is None:
            return
        kept: tuple[int, ...] = () if isinstance(ready, Exception) else (ready.sandbox_mounts_fd,)
        began, moment = (utc_text(time.time_ns()), "") if spec.not_before is None else ("", utc_text(spec.not_before))
        claim = Claim(spec.run_id, post.boot_id, pid, start_time, began, control.path, not_before=moment)
        try:
            if spec.device_claim is not None:
                kept += (host_claims.keep(spec.device_claim),)  # Its descriptor is this process' too, to its end.
            place = claiming.take_place(spec.run_dir, claim, blanks)
        except OSError as error:
            _refuse(post, spec, error)
            return
        if place is None:
            waiting.answer(post.channel, {"claimed": True})
            return
        # What the launcher keeps, this process need not take apart on its way out, which somebody waits for. And should
        # it be killed, it lets go of all before the run's processes are gone; the launcher keeps its devices till then.
        answer = waiting.Answer(post.channel, {"claimed": False, "pid": pid, "start_time": start_time}, kept)
        exit_file = ExitFile(place.run_dir_fd, place.exit_fd)
        _Supervisor(
            post, spec, claim, control, place.run_dir_fd, blanks.log, exit_file, ready, outside, answer, blank
        ).run()


def supervise_and_exit(post: Post) -> NoReturn:
    """Do as `supervise`, and end: whatever happens, this process must not go on as a second launcher."""
    code = 1
    try:
        supervise(post)
        code = 0
    except BaseException:  # noqa: BLE001 - reported where it can be
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _refuse(post: Post, spec: RunSpec | None, error: OSError) -> None:
    if spec is not None:
        waiting.answer(post.channel, {"error": str(error), "kind": "failed"})


def _make_ready(post: Post) -> Crew | Exception:
    """Return the crew, or why there is none: which the run shall say, once there is one."""
    try:
        return Crew(post.slot, post.staging, post.seccomp, post.host_mounts_fd, post.runs_niceness, post.surroundings)
    except (SandboxError, OSError) as error:
        return error


class _Supervisor:
    """The run between its claim and its record."""

    def __init__(
        self,
        post: Post,
        spec: RunSpec,
        claim: Claim,
        control: ControlFifo,
        run_dir_fd: int,
        log_fd: int | None,
        exit_file: ExitFile,
        ready: Crew | Exception,
        outside: socket.socket,
        answer: waiting.Answer,
        blank: Blank | None,
    ) -> None:
        self._post = post
        self._spec = spec
        self._claim = claim
        self._control = control
        self._run_dir_fd = run_dir_fd
        self._log_fd = log_fd
        self._exit_file = exit_file
        self._ready = ready
        self._outside = outside
        self._answer = answer
        self._blank = blank
        self._usage: UsageReader | None = None
        self._log: LogWriter | None = None
        self._cgroup_says: dict[str, str] = {}
        self._devices_say: dict[str, records.Plain] = {}
        self._enforced = False
        self._told: dict[str, records.Plain] | None = None
        self._keeper: Keeper | None = None
        self._stdin: JobStdin | None = None
        self._started_at = claim.started_at

    def run(self) -> None:
        """Run the job and write how it ended, whatever happens."""
        try:
            if isinstance(self._ready, Exception):
                raise self._ready
            result = self._run(self._ready)
        except (SandboxError, InvalidSpec, NotEnforced, OSError) as error:
            result = Outcome(Reason.SANDBOX_FAILED, str(error), None, None)
        except Exception as error:  # noqa: BLE001 - our bug: the run still needs its record
            traceback.print_exc(file=sys.stderr)
            result = Outcome(Reason.SANDBOX_FAILED, f"the supervisor failed: {error!r}", None, None)
        self._answer.say()
        self._exit_file.write(self._record(result))
        self._control.close()  # Whoever waits need not wait for the disk as well, nor for a CPU that nobody else wants.
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        self._exit_file.flush()

    def _run(self, ready: Crew) -> Outcome:
        spec = self._spec
        another = not spec.rights.are_usual or spec.process_limits.leaves_cores or spec.sandbox.writes_as_somebody
        cgroup = RunCgroup(self._lifecycle(), spec, None if another else self._blank)
        try:
            cgroup.take_in(ready.orders)
            log_dir_fd = os.open(spec.log_dir, _DIRECTORY)
            log = self._log = LogWriter(log_dir_fd, spec.log_max_bytes, spec.log_max_files, time.time_ns, self._log_fd)
            self._keeper = keeping.keeper_of(spec)
            if cgroup.make() or another:
                _judge_cores(spec.process_limits)
                ready.take_rights(spec.rights, spec.process_limits, self._program(), self._outside)
            cgroup.join(ready.orders)
            self._answer.say()
            self._cgroup_says = cgroup.judge_limits()
            oom, io_lift = cgroup.open_oom_watch(), cgroup.open_io_lift()
            if spec.network is not None:
                network_end.join(self._outside, spec.network)
            ready.make_the_rest(spec.sandbox)
            keeping.take_work(self._keeper)
            ready.judge()
            self._devices_say = devices_told.read(spec.sandbox.devices.nodes)
            command = Command(spec.argv, spec.env, spec.cwd, spec.process_limits, spec.not_before)
            self._give_command(ready, command)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ESRCH):
                return _why_the_job_is_gone(ready, error)
            raise
        # The job is on its way from here on; what follows goes on beside it.
        self._enforced = True
        try:
            loop = self._attend(ready, oom, io_lift, cgroup, log, log_dir_fd)
            wait_status, ending = loop.run(), loop.ending
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not go on without a supervisor
            traceback.print_exc(file=sys.stderr)
            wait_status = run_loop.kill_and_reap(ready.job_pid)
            ending = Ending(Reason.ERROR, f"cannot supervise the run: {error}: it was killed")
            self._started_at = self._started_at or utc_text(time.time_ns())  # It may have begun.
        keeping.keep(self._keeper, self._control, was_stopped=ending is not None)
        report = job_process.read_report(ready.report_fd)
        if ending is not None and not self._started_at:
            return Outcome(ending.reason, f"{ending.message}, before anything of it was executed", None, None)
        is_within = used.is_within_its_limit(oom)
        return outcome.decide(wait_status, ending, used.kills(oom), report, within_its_limit=is_within)

    def _attend(
        self, ready: Crew, oom: OomWatch, io_lift: IoLift, cgroup: RunCgroup, log: LogWriter, log_dir_fd: int
    ) -> RunLoop:
        """Let go of what made the sandbox, and of the rights to make one; return what is to be done from here on."""
        self._outside.close()  # What is sent by it goes to the host's links. It takes a moment, so not before.
        wakeup_fd = signals.wake_on(*_OWN_SIGNALS)
        self._usage = cgroup.open_usage()
        if self._blank is not None and not self._blank.is_turned:
            self._blank.remove()
        for known in (cgroup.lifecycle, *self._post.lifecycles.values()):
            known.close()
        held_run.keep_limits(self._spec.process_limits)
        self._give_up_rights(log_dir_fd)
        ready.close()
        if self._started_at:
            ready.dismiss()
        self._record(Outcome(Reason.COMPLETED, "", 0, None))  # Rehearsed: somebody waits for the real one.
        with contextlib.suppress(OSError):  # It is in the record again.
            self._exit_file.tell(self._receipt())
        return RunLoop(
            ready.job_pid,
            ready.outputs,
            log,
            self._control,
            oom,
            io_lift,
            wakeup_fd,
            self._spec.deadline_seconds,
            self._spec.grace_seconds,
            self._stdin,
            None if self._started_at else Held(ready.orders, self._on_start),
        )

    def _on_start(self, nanoseconds: int) -> None:
        self._started_at = utc_text(nanoseconds)
        with contextlib.suppress(OSError):  # As above.
            self._exit_file.tell(self._receipt(), self._started_at)

    def _give_command(self, ready: Crew, command: Command) -> None:
        if not self._spec.stdin:
            job_process.give_command(ready.orders, command, ready.ruleset_fd)
            return
        self._stdin = JobStdin(self._post.slot.host_base)
        job_process.give_command(ready.orders, command, ready.ruleset_fd, self._stdin.read_fd)
        self._stdin.close_given()

    def _lifecycle(self) -> Lifecycle:
        parent = self._spec.cgroup_parent
        known = self._post.lifecycles.get(parent)
        return known if known is not None else choose.open_lifecycle(self._post.hierarchies, parent)

    def _program(self) -> bytes:
        rights, cores = self._spec.rights, self._spec.process_limits.leaves_cores
        sets_ids = not self._spec.sandbox.writes_as_somebody
        return seccomp.program_for(rights.profile, rights.kept, libc.MACHINE, leaves_cores=cores, sets_ids=sets_ids)

    def _give_up_rights(self, log_dir_fd: int) -> None:
        """Keep the run's directories, by descriptor and as their owner, and the right to kill; nothing else."""
        slot = self._post.slot
        host_uid = slot.host_base + SUPERVISOR_SANDBOX_UID
        logged = () if self._log is None else (self._log.fd,)
        for fd in (self._run_dir_fd, log_dir_fd, *logged, *keeping.descriptors(self._keeper)):
            os.fchown(fd, host_uid, host_uid)
        confine.become(slot.user_namespace_fd, SUPERVISOR_SANDBOX_UID, SUPERVISOR_SANDBOX_UID)
        # A job that may change its ids could become the same, and limit this process, were all three one; prlimit(2).
        os.setresgid(SUPERVISOR_SANDBOX_UID, SUPERVISOR_SANDBOX_UID, SUPERVISOR_SANDBOX_UID - 1)
        confine.give_up_rights(_KEEP | keeping.rights(self._keeper), None)
        process.set_dumpable(False)
        os.close(slot.user_namespace_fd)

    def _record(self, result: Outcome) -> ExitRecord:
        usage = None
        began = self._enforced and result.reason != Reason.SANDBOX_FAILED
        if began and self._usage is not None:
            usage = used.read(self._usage)
        return ExitRecord(
            run_id=self._claim.run_id,
            reason=result.reason,
            message=result.message[:_MESSAGE_CHARACTERS],
            exit_code=result.exit_code,
            signal=result.signal,
            started_at=self._started_at,
            finished_at=utc_text(time.time_ns()),
            dropped_log_bytes=self._log.dropped_bytes if self._log else 0,
            receipt=self._receipt() if began else {},
            usage={} if usage is None else used.numbers(usage),
            oom_kills=0 if usage is None else usage.oom_kills,
        )

    def _receipt(self) -> dict[str, records.Plain]:
        """Return what was enforced, as the kernel said before the run began: had it said otherwise, there were none."""
        if self._told is None:  # Put together while the job is on its way, and not again when it has ended.
            held_to = self._ready.held_to() if isinstance(self._ready, Crew) else {}
            self._told = {
                **limits_told.told(self._spec, self._post.hierarchies.version, core_pattern.read()),
                **held_to,
                "cgroup": dict(self._cgroup_says),
                **({"devices": dict(self._devices_say)} if self._devices_say else {}),
            }
        return self._told


def _judge_cores(limits: ProcessLimits) -> None:
    """See that the kernel would hold core files that were asked for to their size, as looked at before it was asked.

    Raises:
        NotEnforced: whoever else is told of crashes is told all.
    """
    pattern = core_pattern.read()
    if limits.leaves_cores and (core_pattern.is_program(pattern) or core_pattern.is_socket(pattern)):
        raise NotEnforced(f"cannot begin the run: no core file is held to coreSize: kernel.core_pattern is {pattern}")


def _why_the_job_is_gone(ready: Crew, error: OSError) -> Outcome:
    ready.orders.close()  # Should it wait for orders nevertheless, it ends by this.
    _, wait_status = os.waitpid(ready.job_pid, 0)
    never_ran = job_process.read_report(ready.report_fd)
    if never_ran is None:
        raise error
    return outcome.decide(wait_status, None, 0, never_ran)
