"""A run that lives, taken hold of so that it can be gone into: its processes, its user ids, its limits.

Everything is held by descriptor, and looked at again after it is held: a run that ends meanwhile is told from one that
took its place. Invariant: nothing is held of a run whose sandbox is not whole and sealed off from the host.
"""

import errno
import fcntl
import json
import os
import select
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from controller.launcher import job_stdin, slots
from controller.linux import landlock, pidfd, procfs
from controller.linux.capabilities import Capability
from controller.sandbox.confine import ProcessLimits

_PROGRAM = "runwright-seccomp"
_PROGRAM_LINK = f"/memfd:{_PROGRAM} (deleted)"
_LIMITS = "runwright-limits"
_LIMITS_LINK = f"/memfd:{_LIMITS} (deleted)"
_STDIN_LINK = f"/memfd:{job_stdin.NOTE} (deleted)"
_RULESET_LINK = "anon_inode:[landlock-ruleset]"
_KEPT = (slots.HOST_FILE, _PROGRAM_LINK, _LIMITS_LINK, _RULESET_LINK)
_FLAGS = 6  # In /proc/PID/stat, after the command. Source: proc_pid_stat(5).
_FORKED_BUT_NOT_EXECUTED = 0x40  # Source: include/linux/sched.h, PF_FORKNOEXEC.
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_MOST_PROGRAM_BYTES = 1 << 20
_MOST_LIMITS_BYTES = 1 << 10
_PATIENCE_ROUNDS = 300
_ROUND_MILLISECONDS = 10

T = TypeVar("T")
_Share: TypeAlias = Callable[[int, int, int, int], T]


class NotThere(Exception):
    """The run cannot be gone into. `is_over`: it has ended."""

    def __init__(self, message: str, *, is_over: bool) -> None:
        super().__init__(message)
        self.is_over = is_over


class NoStdin(Exception):
    """The run has no standard input that could be written to."""


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run's job, by pidfd, and what whoever goes in shares with it.

    Args:
        lock_fd: the lock of its user ids, which no other run is given while it is held.
        keep: the capabilities that it may have.
        limits: that its process began with, whatever it has lowered them to since.
        seccomp: its program, if it is not the usual one.
        ruleset_fd: of Landlock; None where the kernel has none.
        host_network: whether its network is that of this process.
    """

    job_fd: int
    lock_fd: int
    host_base: int
    keep: frozenset[Capability]
    limits: ProcessLimits
    seccomp: bytes | None
    ruleset_fd: int | None
    host_network: bool


def keep_program(seccomp: bytes) -> None:
    """In a supervisor whose job has another program than the usual: keep it for those who join, who find it here."""
    fd = os.memfd_create(_PROGRAM)  # Closed on exec; kept for as long as the supervisor lives.
    os.write(fd, seccomp)


def keep_limits(limits: ProcessLimits) -> None:
    """In a supervisor: keep what its job's process is limited to for those who join; the job may lower its own."""
    fd = os.memfd_create(_LIMITS)
    os.write(fd, json.dumps([limits.open_files, limits.file_bytes, limits.core_bytes]).encode())


def keep_ruleset(fd: int | None) -> None:
    """In a supervisor: keep the Landlock ruleset of its job, if there is one, for those who join."""
    if fd is not None:
        os.dup(fd)


def hold(supervisor_pid: int, start_time: int) -> HeldRun:
    """Take hold of the run of this supervisor; one that is just starting is waited for, some seconds at most.

    Raises:
        NotThere: it has ended, or is not ready in time.
        OSError: it cannot be held.
    """
    return _wait_for(supervisor_pid, start_time, _share)


def hold_stdin(supervisor_pid: int, start_time: int) -> int:
    """Return a copy of what writes to the standard input of the job of this supervisor; it never blocks.

    Raises:
        NoStdin: it is /dev/null, or has ended.
        NotThere, OSError: as `hold`.
    """
    job_fd, fd = _wait_for(supervisor_pid, start_time, _share_stdin)
    os.close(job_fd)
    return fd


def _wait_for(supervisor_pid: int, start_time: int, share: _Share[T]) -> T:
    try:
        supervisor_fd = pidfd.open_identified(supervisor_pid, start_time)
    except ProcessLookupError as error:
        raise NotThere("the run has ended", is_over=True) from error
    try:
        for _ in range(_PATIENCE_ROUNDS):
            held = _try_to_hold(supervisor_pid, supervisor_fd, share)
            if held is not None:
                return held
            if _ends_soon(supervisor_fd):
                raise NotThere("the run has ended", is_over=True)
    finally:
        os.close(supervisor_fd)
    raise NotThere("the run is still being started: try again", is_over=False)


def _try_to_hold(supervisor_pid: int, supervisor_fd: int, share: _Share[T]) -> T | None:
    try:
        job_pid = _job_of(supervisor_pid)
        if job_pid is None or not _is_sealed(supervisor_pid, job_pid):
            return None
        job_fd = os.pidfd_open(job_pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        # Held by now: so if it is still the supervisor's, and that lives, what we hold is the run's.
        held = share(supervisor_pid, supervisor_fd, job_pid, job_fd)
        if _job_of(supervisor_pid) == job_pid and not pidfd.has_exited(job_fd) and not pidfd.has_exited(supervisor_fd):
            return held
    except (FileNotFoundError, ProcessLookupError):
        pass
    os.close(job_fd)
    return None


def _job_of(supervisor_pid: int) -> int | None:
    """Return the job's process: of those whose parent is the supervisor, the one that was forked first."""
    with open(f"/proc/{supervisor_pid}/task/{supervisor_pid}/children", "rb") as file:
        children = [int(word) for word in file.read().split()]
    return min(children, key=lambda pid: _status(pid).pids[-1], default=None)


def _share(supervisor_pid: int, supervisor_fd: int, job_pid: int, job_fd: int) -> HeldRun:
    found = _descriptors_of(supervisor_pid, supervisor_fd, _KEPT)
    if slots.HOST_FILE not in found:
        raise NotThere(f"cannot tell whose user ids the run has: {slots.HOST_FILE} was replaced", is_over=False)
    if landlock.abi() and _RULESET_LINK not in found:
        raise NotThere("cannot tell where the run may write: it was started before this was kept", is_over=False)
    if _LIMITS_LINK not in found:
        raise NotThere(
            "cannot tell what the run's processes may have: it was started before this was kept", is_over=False
        )
    program_fd = found.get(_PROGRAM_LINK)
    bounding = _status(job_pid).bounding_capabilities
    return HeldRun(
        job_fd,
        found[slots.HOST_FILE],
        _host_base(supervisor_pid),
        frozenset(each for each in Capability if bounding >> each & 1),
        ProcessLimits(*json.loads(os.pread(found[_LIMITS_LINK], _MOST_LIMITS_BYTES, 0))),
        None if program_fd is None else os.pread(program_fd, _MOST_PROGRAM_BYTES, 0),
        found.get(_RULESET_LINK),
        os.readlink(f"/proc/{job_pid}/ns/net") == os.readlink("/proc/self/ns/net"),
    )


def _share_stdin(supervisor_pid: int, supervisor_fd: int, _job_pid: int, job_fd: int) -> tuple[int, int]:
    note_fd = _descriptors_of(supervisor_pid, supervisor_fd, (_STDIN_LINK,)).get(_STDIN_LINK)
    if note_fd is None:
        raise NoStdin("its standard input is /dev/null")
    noted = os.pread(note_fd, _MOST_LIMITS_BYTES, 0)
    os.close(note_fd)
    fd = _take_writer(supervisor_fd, *json.loads(noted)) if noted else None
    if fd is None:
        raise NoStdin("its standard input has ended")
    return job_fd, fd


def _take_writer(supervisor_fd: int, number: int, inode: int) -> int | None:
    """Return a copy of this descriptor; None if it was closed meanwhile, and may be of something else by now."""
    try:
        fd = pidfd.take_descriptor(supervisor_fd, number)
    except OSError as error:
        if error.errno == errno.EBADF:
            return None
        raise
    found = os.fstat(fd)
    writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    if stat.S_ISFIFO(found.st_mode) and found.st_ino == inode and writes:
        return fd
    os.close(fd)
    return None


def _descriptors_of(supervisor_pid: int, supervisor_fd: int, links: tuple[str, ...]) -> dict[str, int]:
    """Return copies of the supervisor's descriptors that are there to be shared, by what /proc calls them."""
    found: dict[str, int] = {}
    directory = f"/proc/{supervisor_pid}/fd"
    for name in os.listdir(directory):
        link = os.readlink(f"{directory}/{name}")
        if link in links:
            found[link] = pidfd.take_descriptor(supervisor_fd, int(name))
    return found


def _is_sealed(supervisor_pid: int, job_pid: int) -> bool:
    """Whether the supervisor has given up its rights, once the sandbox was whole, and the job executed its command.

    Until then it may be among the host's mounts, and whoever joined it would be, too.
    """
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES}
    theirs = {name: os.readlink(f"/proc/{job_pid}/ns/{name}") for name in _NAMESPACES}
    apart = all(ours[name] != theirs[name] for name in _NAMESPACES if name != "net")  # Which may be the host's.
    together = all(os.readlink(f"/proc/{supervisor_pid}/ns/{name}") == theirs[name] for name in ("user", "mnt"))
    return apart and together and _has_executed(job_pid)


def _has_executed(pid: int) -> bool:
    """Whether it has executed its command, which the kernel alone can say: by then it is limited as it is to be."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        _, _, tail = file.read().rpartition(b") ")
    return not int(tail.split()[_FLAGS]) & _FORKED_BUT_NOT_EXECUTED


def _status(pid: int) -> procfs.Status:
    with open(f"/proc/{pid}/status", "rb") as file:
        return procfs.parse_status(file.read().decode(errors="surrogateescape"))


def _host_base(supervisor_pid: int) -> int:
    with open(f"/proc/{supervisor_pid}/uid_map", "rb") as file:
        _, host_base, _ = file.read().split()
    return int(host_base)


def _ends_soon(supervisor_fd: int) -> bool:
    poll = select.poll()
    poll.register(supervisor_fd, select.POLLIN)
    return bool(poll.poll(_ROUND_MILLISECONDS))
