"""Process 1 of a build: makes the sandbox around itself, starts the command in it, reaps, and ends when it does.

Here: the order of steps by which rights are given up; each still needs those after it. Never here: what the root
looks like (`root`), limits and deadlines (`sandbox_main`).
Invariant: the command starts without any right over the host, or not at all.
"""

import json
import os
import resource
import select
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from controller.linux import libc, loopback, mount_api, namespaces, process
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace
from controller.runtime.build import disk_left
from controller.runtime.build.order import Order
from controller.runtime.build.root import Root, make_root
from controller.sandbox import confine, seccomp
from controller.sandbox.seccomp import STRICT, Policy, Refuse

FIRST_ID = 0x6FFF0000
"""The host's id that is root in builds: 65536 ids below those of runs (`controller.launcher.slots`), and above those
that systemd gives to containers."""

IDS = 65536
OWNER = FIRST_ID + 65532
"""Who owns the namespace of a build's users: what the kernel counts by user is not root's, as with runs."""

KEPT = frozenset(
    {
        Capability.CHOWN,
        Capability.DAC_OVERRIDE,
        Capability.FOWNER,
        Capability.FSETID,
        Capability.KILL,
        Capability.NET_BIND_SERVICE,
        Capability.SETFCAP,
        Capability.SETGID,
        Capability.SETUID,
        Capability.SYS_CHROOT,
    }
)
"""What package managers need of root, in a user namespace of the build's own."""

_DONE = (Refuse(0, ()),)
_FLUSHES = dict.fromkeys(("fsync", "fdatasync", "sync", "syncfs"), _DONE)
POLICY = Policy(allowed=STRICT.allowed | {"chroot"}, checked={**STRICT.checked, **_FLUSHES}, absent=STRICT.absent)
"""The system calls of a job, and chroot, which dpkg makes for maintainer scripts.

Flushing is said to be done and is not: a build that is cut off is thrown away, and what came of one that ended is
flushed whole before any name shows it. dpkg alone waited for the disk longer than it worked.
"""

HOSTNAME = "build"
_NAMESPACES = LinuxNamespace.MOUNT | LinuxNamespace.IPC | LinuxNamespace.UTS | LinuxNamespace.CGROUP
_CANNOT_EXECUTE = 126
_NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class Pipes:
    """What process 1 is given: where to report, what closes when it shall end, its user namespace, its cgroup."""

    report_fd: int
    lifeline_fd: int
    owners_fd: int
    join_fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """Process 1 as its parent sees it."""

    pid: int
    report_fd: int
    lifeline_fd: int


@cache
def program() -> bytes:
    """Return the seccomp program of builds on this machine."""
    return seccomp.compile_policy(POLICY, libc.MACHINE)


def be_process_1(asked: Order, pipes: Pipes) -> NoReturn:
    """Make the sandbox, run the command, report how it ended, and end."""
    try:
        os.umask(0o022)
        for fd in pipes.join_fds:
            os.write(fd, b"0")
            os.close(fd)
        _make_sandbox(asked, pipes.owners_fd)
        report: dict[str, object] = {"status": _run(asked, pipes.lifeline_fd)}
    except OSError as error:
        report = {"error": str(error)}
    except BaseException as error:  # noqa: BLE001 - the process ends here, and who waits for it is told why.
        report = {"error": repr(error)}
    with suppress(BaseException):
        os.write(pipes.report_fd, json.dumps(report).encode())
    os._exit(0)


def _make_sandbox(asked: Order, owners: int) -> None:
    most = disk_left.largest_file_bytes(os.statvfs(asked.scratch), asked.space_floor_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    kinds = _NAMESPACES if asked.network else _NAMESPACES | LinuxNamespace.NETWORK
    namespaces.unshare(kinds)
    mount_api.make_private()
    socket.sethostname(HOSTNAME)
    if not asked.network:
        loopback.bring_up()
    root = make_root(asked, owners, FIRST_ID)
    _say(root)
    if root.owners_are_mapped:
        for stream in (1, 2):  # Else the command could not open /dev/stderr.
            os.fchown(stream, FIRST_ID, FIRST_ID)
    root.enter()
    confine.limit_process()
    confine.limit_cores()
    if root.owners_are_mapped:
        confine.become(owners, 0, 0)
    else:
        os.setgroups([])
    os.close(owners)
    confine.give_up_rights(KEPT, program())
    # Only now: a change of ids would undo both. A process that cannot be looked at cannot be written to either.
    process.set_dumpable(False)
    process.set_parent_death_signal(signal.SIGKILL)


def _say(root: Root) -> None:
    for note in root.notes:
        os.write(1, f"runwright: {note}\n".encode())


def _run(asked: Order, lifeline_fd: int) -> int:
    """Run the command, reaping whatever else ends, and kill what it leaves; return its wait status."""
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    command = os.fork()
    if command == 0:
        _be_the_command(asked)
    poll = select.poll()
    for fd in (wake_read, lifeline_fd):
        poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if lifeline_fd in ready:  # Our parent is gone.
            os._exit(1)
        with suppress(BlockingIOError):
            os.read(wake_read, 4096)
        status = _reap(command)
        if status is not None:
            return status


def _reap(command: int) -> int | None:
    """Reap what has ended; if the command has, kill and reap all else too, and return its wait status."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG if found is None else 0)
            if pid == 0:
                break
            if pid == command:
                found = status
                with suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGKILL)
    return found


def _be_the_command(asked: Order) -> NoReturn:
    try:
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        process.close_range(3, process.LAST_FD)
        os.chdir(asked.cwd)
        os.execvpe(asked.argv[0], asked.argv, dict(asked.env))
    except FileNotFoundError as error:
        _last_words(asked, error, _NOT_FOUND)
    except BaseException as error:  # noqa: BLE001 - a fork must not run on into its parent's code.
        _last_words(asked, error, _CANNOT_EXECUTE)


def _last_words(asked: Order, error: BaseException, code: int) -> NoReturn:
    with suppress(BaseException):
        os.write(2, f"runwright: cannot run {asked.argv[0]} in {asked.cwd}: {error}\n".encode())
    os._exit(code)
