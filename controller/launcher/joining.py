"""Going into a run: three processes, so that what ends up inside is as confined as the job from its first moment there.

The launcher forks the *attendant*, which takes hold of the run, stays outside of it, and speaks with whoever asked.
It forks the *passage*, which is in nobody's pid namespace but the host's: there it joins the run's cgroup, its
namespaces and its user ids, gives up every right, closes every descriptor and loads the run's system call filter.
Only then it forks the *entrant*, the first of the three that the run can see, which executes the command; and ends.

Invariants: nothing that the run can see, signal or trace ever has a right, a descriptor or a readable page of the host
(CVE-2016-9962, CVE-2019-5736, CVE-2024-21626: the entrant is not dumpable until its exec, and has 0, 1, 2 and one
socket that ends with it). It is in the run's cgroup before it exists. It ends with the run, and with its attendant.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from controller.cgroup import choose
from controller.cgroup.detect import Hierarchies
from controller.launcher import attendant, held_run, job_process, join_request, signals, supervisor
from controller.launcher.attendant import Attendant
from controller.launcher.connect_deed import CannotConnect, connected
from controller.launcher.held_run import HeldRun, NoStdin, NotThere
from controller.launcher.job_process import CannotRun, Command
from controller.launcher.join_request import Deed, JoinRequest, Refused, Started
from controller.linux import clocks, libc, namespaces, process
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import confine

_PR_SET_NAME = 15
_TALK_FD = 3
_RULESET_FD = 4
_TIOCGPTPEER = 0x5441  # Source: ioctl_tty(2). The other side of this very terminal, whatever is in /dev/pts.
_TIOCSPTLCK = 0x40045431
_INT = struct.Struct("i")
_WINDOW = struct.Struct("HHHH")
_PTMX = os.makedev(5, 2)
_ALL_BUT_USER = (
    LinuxNamespace.MOUNT
    | LinuxNamespace.NETWORK
    | LinuxNamespace.IPC
    | LinuxNamespace.UTS
    | LinuxNamespace.PID
    | LinuxNamespace.CGROUP
)

Copy: TypeAlias = Callable[[str], int]
"""Copies files between a path and the streams of this process; returns an exit code."""

_UNANSWERED = 1
"""The exit code of a connection that nobody took, and of an input that is none."""
_NO_MORE_PROCESSES = (
    "with the two that coming in takes it has more than spec.resources.limits.pids of its job allows, or all runs "
    "together more than the setting cgroup.pids: let some end, or raise that"
)
_MAY_KILL = frozenset({Capability.KILL})


@dataclass(frozen=True, slots=True)
class Joiner:
    """What the launcher gives the attendant at its birth: the connection that the request came over, and what with."""

    connection: socket.socket
    text: bytes
    fds: tuple[int, ...]
    hierarchies: Hierarchies
    seccomp: bytes
    niceness: int


def fork_attendant(joiner: Joiner) -> int:
    """Fork the attendant, in the launcher; return its pid. The descriptors that came are its alone from here on.

    Raises:
        OSError: there is no process to be had.
    """
    try:
        pid = os.fork()
        if pid == 0:
            attend_and_exit(joiner)
        return pid
    finally:
        for fd in joiner.fds:
            os.close(fd)


def attend_and_exit(joiner: Joiner) -> NoReturn:
    """Be the attendant, in a process just forked by the launcher, and end."""
    code = 1
    try:
        process.set_dumpable(False)
        signals.forget((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT))
        _keep_only((joiner.connection.fileno(), *joiner.fds))
        libc.syscall("prctl", _PR_SET_NAME, b"rnx-join", purpose="name the process")
        _attend(joiner)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second launcher
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _attend(joiner: Joiner) -> None:
    try:
        request = join_request.read(joiner.text)
        if request.deed == Deed.STDIN:
            _hand_out_stdin(request, joiner.connection)
            return
        if len(request.streams) != len(joiner.fds):
            raise ValueError(
                f"cannot join a run: {len(request.streams)} streams and {len(joiner.fds)} descriptors came"
            )
        held = held_run.hold(request.pid, request.start_time)
        join_fds = _open_cgroup(joiner.hierarchies, request)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process.set_child_subreaper(True)  # So that the entrant is ours when the passage has ended.
        passage = os.fork()
        if passage == 0:
            ours.close()
            joiner.connection.close()
            _pass_and_exit(request, held, join_fds, joiner, theirs)
    except (OSError, ValueError, NotThere) as error:
        is_over = isinstance(error, NotThere) and error.is_over
        attendant.answer(joiner.connection, Refused(str(error), run_is_over=is_over))
        return
    theirs.close()
    for fd in (*joiner.fds, *join_fds):
        os.close(fd)
    # As the supervisor: nobody inside, with the right to kill what is there. The lock is kept, and the rest let go.
    confine.become(held.job_fd, supervisor.SUPERVISOR_SANDBOX_UID, supervisor.SUPERVISOR_SANDBOX_UID)
    confine.give_up_rights(_MAY_KILL, None)
    process.set_dumpable(False)
    os.close(held.job_fd)
    Attendant(joiner.connection, ours, passage).attend()


def _hand_out_stdin(request: JoinRequest, connection: socket.socket) -> None:
    """Let whoever asked write to the job's standard input; nobody goes inside, and nobody is attended."""
    try:
        fd = held_run.hold_stdin(request.pid, request.start_time)
    except NoStdin as error:
        attendant.answer(connection, Refused(str(error), exit_code=_UNANSWERED))
        return
    attendant.answer(connection, Started(), (fd,))


def _keep_only(fds: tuple[int, ...]) -> None:
    """Close all descriptors but these and the first three: whatever the launcher has open is none of our business."""
    first = 3
    for fd in sorted(fds):
        if fd > first:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first, process.LAST_FD)


def _open_cgroup(hierarchies: Hierarchies, request: JoinRequest) -> tuple[int, ...]:
    lifecycle = choose.open_lifecycle(hierarchies, request.cgroup_parent)
    try:
        return lifecycle.open_join_fds(request.cgroup)
    finally:
        lifecycle.close()


def _pass_and_exit(
    request: JoinRequest, held: HeldRun, join_fds: tuple[int, ...], joiner: Joiner, talk: socket.socket
) -> NoReturn:
    """Be the passage, and end."""
    code, doing = 1, "leave the launcher"
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        signals.reset_changed()
        job_process.take_off_the_launchers_protection()
        job_process.be_as_jobs_are()
        confine.limit_cores(held.limits)
        copy = _prepare_copy(request)
        doing = "join the run's cgroup"
        for fd in join_fds:
            os.write(fd, b"0")
        doing = "enter the run's namespaces"
        namespaces.enter(held.job_fd, _ALL_BUT_USER | clocks.separable())
        _become_the_job(held, joiner.fds)
        doing = "open the streams"
        _arrange_descriptors(request, held, joiner.fds, talk)
        talk.detach()
        talk = socket.socket(fileno=_TALK_FD)
        doing = "limit its process"
        confine.limit_process(held.limits)
        doing = "give up its rights"
        if held.ruleset_fd is not None:
            confine.restrict_writing(_RULESET_FD)
        confine.give_up_rights(held.keep, held.seccomp or joiner.seccomp, bounded=True)
        doing = "start a process in the run"
        _fork_entrant(request, copy, joiner.niceness, talk)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as a second attendant
        with contextlib.suppress(OSError):
            attendant.tell(talk, {"refused": f"cannot {doing}: {error}", "over": _is_over(error)})
    finally:
        os._exit(code)


def _become_the_job(held: HeldRun, fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.fchown(fd, held.host_base, held.host_base)  # So that the command may open /dev/stdout.
    confine.become(held.job_fd, 0, 0)
    process.set_dumpable(False)  # Becoming somebody else may have made it so, as /proc/sys/fs/suid_dumpable says.
    process.set_parent_death_signal(signal.SIGKILL)  # And has forgotten this.
    confine.bound_rights(held.keep)
    if held.host_network:
        confine.keep_names_to_itself()


def _arrange_descriptors(request: JoinRequest, held: HeldRun, fds: tuple[int, ...], talk: socket.socket) -> None:
    """Leave 0, 1, 2, the socket to the attendant, which ends with the exec, and Landlock's ruleset for a moment."""
    if request.terminal is not None:
        terminal = _open_terminal(request.terminal, talk)
        wanted = [terminal, terminal, terminal]
    else:
        given = dict(zip(request.streams, fds, strict=True))
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        wanted = [given.get(name, null) for name in join_request.STREAMS]
    # Above the numbers they are to have, first, so that none is overwritten before it is moved.
    kept = (*wanted, talk.fileno(), *(() if held.ruleset_fd is None else (held.ruleset_fd,)))
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _RULESET_FD + 1) for fd in kept]
    for number, fd in enumerate(moved):
        os.dup2(fd, number, inheritable=number < _TALK_FD)
    process.close_range(len(kept), process.LAST_FD)


def _open_terminal(size: tuple[int, int], talk: socket.socket) -> int:
    """Return a new terminal of the run's own /dev/pts, and give its other side to the attendant."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(master).st_rdev != _PTMX:
        raise OSError(errno.ENOTTY, "/dev/pts/ptmx in the sandbox is no multiplexer of terminals")
    fcntl.ioctl(master, _TIOCSPTLCK, _INT.pack(0))
    columns, rows = size
    fcntl.ioctl(master, termios.TIOCSWINSZ, _WINDOW.pack(rows, columns, 0, 0))
    terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    attendant.tell(talk, {"terminal": True}, (master,))
    return terminal


def _prepare_copy(request: JoinRequest) -> Copy | None:
    """Return what copies files, imported while the host's files are in sight; None if nothing is copied."""
    if request.deed in (Deed.EXECUTE, Deed.CONNECT):
        return None
    from controller.launcher.copy_deed import copy_of

    return copy_of(request.deed)


def _fork_entrant(request: JoinRequest, copy: Copy | None, niceness: int, talk: socket.socket) -> None:
    try:
        pid = os.fork()
    except BlockingIOError as error:
        raise BlockingIOError(_NO_MORE_PROCESSES) from error
    if pid == 0:
        _enter_and_exit(request, copy, niceness, talk)
    attendant.tell(talk, {"pid": pid})


def _enter_and_exit(request: JoinRequest, copy: Copy | None, niceness: int, talk: socket.socket) -> NoReturn:
    """Be the entrant: wait for the attendant to be the parent, then turn into the command, or copy or connect."""
    code = job_process.NOT_EXECUTABLE
    try:
        os.setsid()
        if request.terminal is not None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if not talk.recv(1):
            os._exit(code)
        process.set_parent_death_signal(signal.SIGKILL)
        if _is_deserted(talk):
            os._exit(code)
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        if request.deed == Deed.CONNECT:
            with connected(int(request.argv[0])) as connection:
                attendant.tell(talk, {"connected": True}, (connection.fileno(),))
            code = 0
        elif copy is None:
            job_process.execute(Command(request.argv, request.env, request.cwd))
        else:
            os.chdir(request.cwd)
            talk.close()  # As an exec would.
            signals.answer_errors()  # A file beyond the job's limit is told of, and the rest is copied.
            code = copy(request.argv[0])
    except CannotConnect as error:
        _report(talk, str(error), _UNANSWERED)
    except CannotRun as error:
        _report(talk, str(error), error.exit_code)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as a second passage
        _report(talk, f"cannot run {request.argv[0]}: {error}", None)
    finally:
        os._exit(code)


def _is_deserted(talk: socket.socket) -> bool:
    """Whether the attendant ended before its end was ours as well."""
    try:
        return not talk.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _report(talk: socket.socket, message: str, exit_code: int | None) -> None:
    with contextlib.suppress(OSError):
        attendant.tell(talk, {"refused": message, "exit_code": exit_code})


def _is_over(error: BaseException) -> bool:
    """Whether it is the end of the run that is in the way: its process 1 forks nothing more, its cgroup is gone."""
    return isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.ESRCH, errno.ENODEV)
