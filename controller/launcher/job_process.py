"""The job's own process, from its fork by the supervisor to the exec of its command.

It is forked before its run is known, so that only the last steps are left to do when it is.
Here: the order in which it leaves the supervisor, gives up its rights and finds its command.
Invariant: either the command is executed with all of it done, or nothing is, and the pipe to the supervisor says why.
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import NoReturn

from controller.launcher import receipt, signals
from controller.launcher.interpreters import refuse_links_of_proc
from controller.launcher.outcome import NeverRan
from controller.launcher.records import Reason
from controller.linux import libc, namespaces, process, wall_clock
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import confine
from controller.sandbox.confine import NO_PROCESS_LIMITS, ProcessLimits

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CALM_SECONDS = 0.05
"""Without a word for so long, there is time to rehearse. Where launches come faster, it would only cost them."""
_REPORT_FD = 3
_ORDERS_FD = 4
_KEPT_FDS = 2
_MOST_FDS = 8
_READ_BYTES = 1 << 16
_COMMAND = b"C"
_COMMAND_AND_STDIN = b"I"
_NO_RIGHTS: frozenset[Capability] = frozenset()
_NO_FD = -1
_START = Struct("=q")


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The descriptors that a job's process is forked with. All are the supervisor's too, which closes its copies."""

    stdout_fd: int
    stderr_fd: int
    report_fd: int
    orders_fd: int
    user_namespace_fd: int
    niceness: int
    keep: frozenset[Capability] = _NO_RIGHTS
    limits: ProcessLimits = NO_PROCESS_LIMITS
    """Of core files alone; the others come with the command."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the job's process is to execute."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    limits: ProcessLimits = NO_PROCESS_LIMITS
    not_before: int | None = None
    """The moment before which it is not to be, in nanoseconds since 1970. When it was is told by `say_start`."""


class CannotRun(Exception):
    """The command cannot be executed, for a reason in the job's own terms."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def wait_and_become(files: JobFiles, seccomp: bytes) -> NoReturn:
    """Make this process, just forked, ready to be a job, wait for its command, and turn into it.

    It ends here if any of it fails, or if the supervisor closes the orders without a word.
    """
    report_fd = files.report_fd
    doing = "leave the supervisor's session and files"
    try:
        _leave_the_supervisor(files)
        report_fd = _REPORT_FD
        doing = "join its cgroup"
        with socket.socket(fileno=_ORDERS_FD) as orders:
            orders.sendall(receipt.tell_early())
            if not _is_readable_within(orders, CALM_SECONDS):
                doing = "rehearse"
                rehearse(seccomp)
                doing = "join its cgroup"
            _join_cgroup(orders)
            doing = "give up its rights"
            namespaces.unshare(LinuxNamespace.CGROUP)  # In its cgroup by now: so that is the root it sees.
            confine.give_up_rights(files.keep, seccomp, bounded=True)
            doing = "tell what it is held to"
            orders.sendall(receipt.tell_late())
            doing = "take its command"
            command, ruleset_fd = _wait_for_command(orders)
            doing = "limit its process"
            confine.limit_process(command.limits)
            doing = "be held to where it may write"
            if ruleset_fd != _NO_FD:
                confine.restrict_writing(ruleset_fd)
            if command.not_before is not None:
                doing = "wait for its moment"
                say_start(orders, wall_clock.sleep_until(command.not_before))
        os.setpriority(os.PRIO_PROCESS, 0, files.niceness)  # Until here it was the launcher's work, and in its haste.
        execute(command)
    except CannotRun as error:
        _report(report_fd, NeverRan(Reason.CONTAINER_CANNOT_RUN, str(error), error.exit_code))
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as a second supervisor
        _report(report_fd, NeverRan(Reason.SANDBOX_FAILED, f"cannot {doing}: {error}", None))
    finally:
        os._exit(NOT_EXECUTABLE)


def be_as_jobs_are() -> None:
    """In whoever forks supervisors: be what a job's process inherits of its parents, so that it need not see to it."""
    process.be_plain()
    confine.usual_limits()
    confine.allow_limits()


def _leave_the_supervisor(files: JobFiles) -> None:
    os.setsid()
    signals.reset_changed()
    confine.limit_cores(files.limits)
    take_off_the_launchers_protection()
    confine.become(files.user_namespace_fd, 0, 0)
    process.set_dumpable(False)  # Becoming somebody else may have made it so, as /proc/sys/fs/suid_dumpable says.
    confine.bound_rights(files.keep)
    confine.keep_to_itself()
    _arrange_descriptors(files)


def _is_readable_within(orders: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def rehearse(seccomp: bytes) -> None:
    """Go through what is to come, to no effect: the first time costs page faults, so it is had before it counts."""
    one, other = socket.socketpair()
    with one, other:
        give_cgroup(one, (os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC),))
        _join_cgroup(other)
        other.sendall(receipt.tell_early() + receipt.tell_late())
        hear(one, bytearray(), receipt.END)
        give_command(one, Command(("rehearsal",), {"PATH": "/"}, "/"), None)
        command, _ = _wait_for_command(other)
    _try_exec("/dev/null/rehearsal", command)
    with contextlib.suppress(OSError):
        os.execve("/dev/null/rehearsal", command.argv, command.env)
    libc.address_of(seccomp)


def _arrange_descriptors(files: JobFiles) -> None:
    """Leave 0, 1 and 2, the report and the orders, and nothing else; the last two end with the exec."""
    # Above the numbers they are to have, first, so that none is overwritten before it is moved.
    wanted = (files.stdout_fd, files.stderr_fd, files.report_fd, files.orders_fd)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ORDERS_FD + 1) for fd in wanted]
    null_fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null_fd, 0)
    for number, fd in enumerate(moved, start=1):
        os.dup2(fd, number, inheritable=number <= _KEPT_FDS)
    process.close_range(_ORDERS_FD + 1, process.LAST_FD)


def give_cgroup(orders: socket.socket, join_fds: tuple[int, ...]) -> None:
    """Have the job's process join a cgroup by its own `Lifecycle.open_join_fds`. They are closed here.

    By itself, as that is cheap: before it moves another process, the kernel waits until no CPU can be forking,
    which took up to 15 ms. Source: kernel/cgroup/cgroup.c, cgroup_procs_write_start.

    Raises:
        OSError: it is not there any more: its report says why.
    """
    socket.send_fds(orders, [b"J"], join_fds)
    for fd in join_fds:
        os.close(fd)


def hear(orders: socket.socket, heard: bytearray, end: bytes) -> bytes:
    """Return what the job's process says of itself, up to and with `end`; see `receipt`.

    Args:
        heard: what came of it and was not returned so far.

    Raises:
        ConnectionResetError: it has ended: its report says why.
    """
    while (at := heard.find(end)) < 0:
        part = orders.recv(_READ_BYTES)
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, "the job's process has ended")
        heard += part
    told = bytes(heard[: at + len(end)])
    del heard[: at + len(end)]
    return told


def give_command(orders: socket.socket, command: Command, ruleset_fd: int | None, stdin_fd: int | None = None) -> None:
    """Have the job's process, which is in its cgroup and its sandbox by now, execute the command.

    Args:
        ruleset_fd: of Landlock, if there is any; it stays the caller's.
        stdin_fd: what it reads instead of /dev/null; it stays the caller's.

    Raises:
        OSError: it is not there any more: its report says why.
    """
    limits = [command.limits.open_files, command.limits.file_bytes, command.limits.core_bytes]
    fds = [fd for fd in (stdin_fd, ruleset_fd) if fd is not None]
    if fds:
        socket.send_fds(orders, [_COMMAND if stdin_fd is None else _COMMAND_AND_STDIN], fds)
    else:
        orders.sendall(_COMMAND)
    orders.sendall(json.dumps([command.argv, dict(command.env), command.cwd, limits, command.not_before]).encode())
    orders.shutdown(socket.SHUT_WR)


def say_start(orders: socket.socket, nanoseconds: int) -> None:
    """Tell the supervisor that the command is executed now."""
    orders.sendall(_START.pack(nanoseconds))


def hear_start(orders: socket.socket) -> int | None:
    """Return when a command that was to wait for its moment was executed, in nanoseconds since 1970.

    To be called when there is something to read; None if the process has ended without.
    """
    try:
        told = orders.recv(_START.size)
    except ConnectionResetError:  # It was killed before it had read its command.
        return None
    return _START.unpack(told)[0] if len(told) == _START.size else None


def _join_cgroup(orders: socket.socket) -> None:
    for fd in _receive_fds(orders):
        os.write(fd, b"0")
        os.close(fd)


def _wait_for_command(orders: socket.socket) -> tuple[Command, int]:
    """Return it when it comes, which is when the sandbox is ready: the time until then was for giving up rights.

    With it comes where it may write, as a descriptor, if there is one; and its standard input, if it is not /dev/null.
    """
    kind, fds, _, _ = socket.recv_fds(orders, 1, 2, socket.MSG_CMSG_CLOEXEC)
    if kind == _COMMAND_AND_STDIN:
        stdin_fd = fds.pop(0)
        os.dup2(stdin_fd, 0)
        os.close(stdin_fd)  # Whatever flag it came with: Python 3.11 does not pass on the one for that.
    received = bytearray()
    while part := orders.recv(_READ_BYTES):
        received += part
    if not received:
        os._exit(NOT_EXECUTABLE)  # The sandbox could not be made, and the supervisor says so.
    return _parse_command(received), fds[0] if fds else _NO_FD


def _parse_command(text: bytes | bytearray) -> Command:
    argv, env, cwd, limits, not_before = json.loads(text)
    return Command(tuple(argv), env, cwd, ProcessLimits(*limits), not_before)


def _receive_fds(orders: socket.socket) -> list[int]:
    _, fds, _, _ = socket.recv_fds(orders, 1, _MOST_FDS)
    if not fds:
        os._exit(NOT_EXECUTABLE)  # The supervisor has ended, or has no run for this process.
    return fds


def execute(command: Command) -> NoReturn:
    """Turn this process, which is confined by now, into the command.

    Raises:
        CannotRun: it is not there, or cannot be executed.
    """
    try:
        os.chdir(command.cwd)
    except OSError as error:
        cause = f"cannot enter the working directory {command.cwd}: {error.strerror}"
        raise CannotRun(NOT_EXECUTABLE, cause) from error
    program = command.argv[0]
    if "/" in program:
        raise _refusal(program, _try_exec(program, command))
    path = command.env.get("PATH", _DEFAULT_PATH)
    denied = None
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{program}"
        refused = _try_exec(candidate, command)
        if refused.errno == errno.EACCES:
            denied = denied or _refusal(candidate, refused)
        elif refused.errno not in (errno.ENOENT, errno.ENOTDIR) or os.path.exists(candidate):
            raise _refusal(candidate, refused)
    raise denied or CannotRun(NOT_FOUND, f"cannot run {program}: it is in no directory of PATH={path}")


def _try_exec(path: str, command: Command) -> OSError:
    """Return why the kernel refused; there is no return if it did not."""
    try:
        refuse_links_of_proc(path)
        os.execve(path, command.argv, command.env)
    except OSError as error:
        return error


def _refusal(path: str, error: OSError) -> CannotRun:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(path):
            cause = "it is there, but the interpreter it names (in its #! line or its ELF header) is not"
            return CannotRun(NOT_FOUND, f"cannot run {path}: {cause}")
        return CannotRun(NOT_FOUND, f"cannot run {path}: there is no such file in the sandbox")
    if error.errno == errno.EACCES:
        return CannotRun(NOT_EXECUTABLE, f"cannot run {path}: it is not executable for the job: chmod +x it")
    if error.errno == errno.ENOEXEC:
        cause = "it is no program of this machine: begin a script with #!, or build it for this machine"
        return CannotRun(NOT_EXECUTABLE, f"cannot run {path}: {cause}")
    if error.errno == errno.ELOOP:
        return CannotRun(
            NOT_EXECUTABLE, f"cannot run {path}: it is a link of /proc, or a circle: name the program itself"
        )
    return CannotRun(NOT_EXECUTABLE, f"cannot run {path}: {error.strerror}")


def _report(report_fd: int, never_ran: NeverRan) -> None:
    text = json.dumps([never_ran.reason, never_ran.message, never_ran.exit_code])
    os.write(report_fd, text.encode())


def read_report(fd: int) -> NeverRan | None:
    """Return why the job was not executed, from the other end of its report pipe; None if it was. Closes `fd`.

    To be read when the process has ended, or has executed something.
    """
    text = b""
    try:
        while part := os.read(fd, _READ_BYTES):
            text += part
    finally:
        os.close(fd)
    if not text:
        return None
    reason, message, exit_code = json.loads(text)
    return NeverRan(reason, message, exit_code)


def take_off_the_launchers_protection() -> None:
    """Be as likely to be ended for memory as any process of the host, if that may be."""
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):  # The host gave us more than 0, and no right to less: so it stays.
            os.write(fd, b"0")
    finally:
        os.close(fd)
