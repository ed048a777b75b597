"""The job's own process, from its fork by the supervisor to the exec of its command.

Here: the order in which it enters the cgroup, gives up its rights and finds its command.
Invariant: either the command is executed with all of it done, or nothing is, and the pipe to the supervisor says why.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from controller.launcher.outcome import NeverRan
from controller.launcher.records import Reason
from controller.linux import namespaces, process
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import confine
from controller.sandbox.confine import Confinement

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REPORT_FD = 3
_USER_NAMESPACE_FD = 4
_CHANGED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)
"""Those that Python or the launcher treat otherwise than a fresh process does; see `signals.reset_all`."""


@dataclass(frozen=True, slots=True)
class JobProcess:
    """What the job's process is made of. All descriptors are the supervisor's, and closed before the exec."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdout_fd: int
    stderr_fd: int
    report_fd: int
    join_fds: tuple[int, ...]
    user_namespace_fd: int
    seccomp: bytes


class _CannotRun(Exception):
    """The command cannot be executed, for a reason in the job's own terms."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def become(job: JobProcess) -> NoReturn:
    """Turn this process, just forked, into the job. It ends here if that fails."""
    report_fd = job.report_fd
    doing = "join its cgroups"
    try:
        for fd in job.join_fds:
            os.write(fd, b"0")
        doing = "leave the supervisor's session and files"
        namespaces.unshare(LinuxNamespace.CGROUP)  # After the join: so it sees its own cgroup as the root.
        _leave_the_supervisor(job)
        report_fd = _REPORT_FD
        doing = "give up its rights"
        confine.confine(Confinement(_USER_NAMESPACE_FD, seccomp=job.seccomp))
        os.close(_USER_NAMESPACE_FD)
        _execute(job)
    except _CannotRun as error:
        _report(report_fd, NeverRan(Reason.CONTAINER_CANNOT_RUN, str(error), error.exit_code))
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as a second supervisor
        _report(report_fd, NeverRan(Reason.SANDBOX_FAILED, f"cannot {doing}: {error}", None))
    finally:
        os._exit(NOT_EXECUTABLE)


def _leave_the_supervisor(job: JobProcess) -> None:
    os.setsid()
    for number in _CHANGED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    confine.limit_process()
    _take_off_the_launchers_protection()
    _arrange_descriptors(job)


def _arrange_descriptors(job: JobProcess) -> None:
    """Leave 0, 1 and 2, the report and the user namespace, and nothing else."""
    # Above the numbers they are to have, first, so that none is overwritten before it is moved.
    wanted = (job.stdout_fd, job.stderr_fd, job.report_fd, job.user_namespace_fd)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _USER_NAMESPACE_FD + 1) for fd in wanted]
    null_fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null_fd, 0)
    for number, fd in enumerate(moved, start=1):
        os.dup2(fd, number, inheritable=number < _REPORT_FD)
    process.close_range(_USER_NAMESPACE_FD + 1, process.LAST_FD)


def _execute(job: JobProcess) -> NoReturn:
    try:
        os.chdir(job.cwd)
    except OSError as error:
        cause = f"cannot enter the working directory {job.cwd}: {error.strerror}"
        raise _CannotRun(NOT_EXECUTABLE, cause) from error
    command = job.argv[0]
    if "/" in command:
        raise _refusal(command, _try_exec(command, job))
    path = job.env.get("PATH", _DEFAULT_PATH)
    denied = None
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{command}"
        error = _try_exec(candidate, job)
        if error.errno == errno.EACCES:
            denied = denied or _refusal(candidate, error)
        elif error.errno not in (errno.ENOENT, errno.ENOTDIR) or os.path.exists(candidate):
            raise _refusal(candidate, error)
    raise denied or _CannotRun(NOT_FOUND, f"cannot run {command}: it is in no directory of PATH={path}")


def _try_exec(path: str, job: JobProcess) -> OSError:
    try:
        os.execve(path, job.argv, job.env)
    except OSError as error:
        return error


def _refusal(path: str, error: OSError) -> _CannotRun:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(path):
            cause = "it is there, but the interpreter it names (in its #! line or its ELF header) is not"
            return _CannotRun(NOT_FOUND, f"cannot run {path}: {cause}")
        return _CannotRun(NOT_FOUND, f"cannot run {path}: there is no such file in the sandbox")
    if error.errno == errno.EACCES:
        return _CannotRun(NOT_EXECUTABLE, f"cannot run {path}: it is not executable for the job: chmod +x it")
    if error.errno == errno.ENOEXEC:
        cause = "it is no program of this machine: begin a script with #!, or build it for this machine"
        return _CannotRun(NOT_EXECUTABLE, f"cannot run {path}: {cause}")
    return _CannotRun(NOT_EXECUTABLE, f"cannot run {path}: {error.strerror}")


def _report(report_fd: int, never_ran: NeverRan) -> None:
    text = json.dumps([never_ran.reason, never_ran.message, never_ran.exit_code])
    os.write(report_fd, text.encode())


def read_report(fd: int) -> NeverRan | None:
    """Return why the job was not executed, from the other end of its report pipe; None if it was. Closes `fd`.

    To be read when the process has ended, or has executed something.
    """
    with open(fd, "rb") as file:
        text = file.read()
    if not text:
        return None
    reason, message, exit_code = json.loads(text)
    return NeverRan(reason, message, exit_code)


def _take_off_the_launchers_protection() -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):  # The host gave us more than 0, and no right to less: so it stays.
            os.write(fd, b"0")
    finally:
        os.close(fd)
