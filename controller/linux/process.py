"""What a process may set about itself, and what tells one process from another.

Here: prctl and kin, and the identity (boot id, pid, start time). Never here: when to set what.
"""

import contextlib
import os
import signal
from struct import Struct

from controller.linux import ioprio, libc, procfs
from controller.linux.libc import SyscallError

_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_TIMERSLACK = 29
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_USUAL_TIMER_SLACK_NANOSECONDS = 50_000
# Which a process has of its parents, as exec changes none of them. Kernels that were built without do not know them,
# and the last takes a right. Source: prctl(2), of MCE_KILL, SET_THP_DISABLE, SET_MEMORY_MERGE and SET_IO_FLUSHER.
_WAYS_OF_MEMORY = (33, 41, 67, 57)
_USUAL_CORE_FILTER = b"0x33"
"""Source: "Controlling which mappings are written to the core dump" in core(5)."""
_PER_LINUX = 0
_CLOSE_RANGE_CLOEXEC = 4
_SECCOMP_SET_MODE_FILTER = 1
_SOCK_FPROG = Struct("HxxxxxxQ")  # struct sock_fprog: number of instructions, their address.
_INSTRUCTION_BYTES = 8
LAST_FD = 0xFFFFFFFF
"""As `last` of `close_range`: to the end."""


def clone(flags: int = 0) -> int:
    """Fork this process, which has one thread, and return the child's pid, 0 in the child; `flags` are clone(2)'s.

    What `os.fork` does besides is for threads and for who wants other random numbers than its parent. It writes to 90
    pages of memory, each of which is copied for it.

    Raises:
        SyscallError: there may be no more processes, or namespaces of the kinds of `flags`.
    """
    # The flags are the first argument on every machine that we run on, and 0 in the others stands for "as it is".
    return libc.syscall("clone", int(signal.SIGCHLD | flags), 0, 0, 0, 0, purpose="fork a process")


def no_new_privs() -> None:
    """Promise for good that no exec, by this process or its children, gains privileges (setuid, file capabilities).

    Raises:
        SyscallError: the kernel refused.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs")


def be_plain() -> None:
    """Take off what a process inherits of its parents' ways, which no exec does.

    Their personality and timer slack; how they are scheduled, for processors and disks; what their crashes leave; huge
    pages, memory of one content, and errors of memory. What this process may not change, it keeps. Left alone is where
    they are held to: processors and nodes of memory.

    Raises:
        SyscallError: the kernel refused.
    """
    libc.syscall("personality", _PER_LINUX, purpose="have the plain personality")
    _prctl(_PR_SET_TIMERSLACK, _USUAL_TIMER_SLACK_NANOSECONDS, "set the timer slack")
    for way in _WAYS_OF_MEMORY:
        with contextlib.suppress(SyscallError):
            _prctl(way, 0, "have the usual ways")
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    ioprio.forget_of_this_thread()
    with contextlib.suppress(FileNotFoundError):  # A kernel without core files.
        fd = os.open("/proc/self/coredump_filter", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, _USUAL_CORE_FILTER)
        finally:
            os.close(fd)


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001 - the one argument, and the call is named after it
    """Let this process be read (its /proc files, ptrace, core) by others of its user, or not.

    Raises:
        SyscallError: the kernel refused.
    """
    _prctl(_PR_SET_DUMPABLE, int(dumpable), "set dumpable")


def is_dumpable() -> bool:
    """Whether this process leaves a core, be it for root alone, and may be read by others.

    Raises:
        SyscallError: the kernel does not say.
    """
    return libc.syscall("prctl", _PR_GET_DUMPABLE, 0, 0, 0, 0, purpose="ask whether it is dumpable") != 0


def set_parent_death_signal(signal: int) -> None:
    """Have `signal` sent to this process when the thread that made it ends; 0 for none. Does not survive fork.

    Raises:
        SyscallError: EINVAL for what is no signal.
    """
    _prctl(_PR_SET_PDEATHSIG, int(signal), "set the parent death signal")


def set_child_subreaper(subreaper: bool) -> None:  # noqa: FBT001 - the one argument, and the call is named after it
    """Make this process the new parent of its orphaned descendants, or not.

    Raises:
        SyscallError: the kernel refused.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, int(subreaper), "set child subreaper")


def close_range(first: int, last: int, *, cloexec: bool = False) -> None:
    """Close the descriptors from `first` to `last`, both included, or mark them to close on exec.

    Raises:
        SyscallError: EINVAL if `first` is above `last`.

    Source: close_range(2), Linux 5.9; CLOSE_RANGE_CLOEXEC, Linux 5.11.
    """
    flags = _CLOSE_RANGE_CLOEXEC if cloexec else 0
    libc.syscall("close_range", first, last, flags, purpose=f"close descriptors {first} to {last}")


def load_seccomp(program: bytes) -> None:
    """Filter all further system calls of this thread and its children by the BPF `program`. It cannot be undone.

    Raises:
        SyscallError: EACCES without no_new_privs (or CAP_SYS_ADMIN); EINVAL for a malformed program.
    """
    request = _SOCK_FPROG.pack(len(program) // _INSTRUCTION_BYTES, libc.address_of(program))
    libc.syscall("seccomp", _SECCOMP_SET_MODE_FILTER, 0, request, purpose="load the seccomp filter")


def start_time(pid: int | str = "self", *, proc: str = "/proc") -> int:
    """Return when `pid` started, in clock ticks since boot: with the pid and the boot id, its identity.

    Raises:
        FileNotFoundError: there is no such process.
        ProcessLookupError: it ended while being read.
    """
    return procfs.parse_stat(_read(f"{proc}/{pid}/stat")).start_time_ticks


def host_pid(*, proc: str = "/proc") -> int:
    """Return this process' pid as the namespace of the mounted `proc` counts, which may not be its own.

    Raises:
        FileNotFoundError: the process is not visible there.
    """
    return int(os.readlink(f"{proc}/self"))


def boot_id(*, proc: str = "/proc") -> str:
    """Return the id of this boot: two that differ mean that no pid of before is still what it was."""
    return _read(f"{proc}/sys/kernel/random/boot_id").strip()


def _prctl(option: int, value: int, purpose: str) -> None:
    # Every argument given: several options answer EINVAL unless those they do not use are 0.
    libc.syscall("prctl", option, value, 0, 0, 0, purpose=purpose)


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode(errors="surrogateescape")
    finally:
        os.close(fd)
