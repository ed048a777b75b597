"""Giving up everything a job must not have, for good: the last thing a process does before it runs somebody's code.

Here: user namespace, ids, limits of the process, capabilities, no_new_privs, system calls, in the
order in which each still may be done. Never here: mounts (`interpret`), cgroups.
"""

import contextlib
import errno
import os
import resource
from dataclasses import dataclass

from controller.linux import capabilities, core_pattern, keyring, landlock, libc, namespaces, process
from controller.linux.capabilities import Capability
from controller.linux.landlock import Scope
from controller.linux.namespaces import LinuxNamespace

_OPEN_FILES = (1024, 524288)
"""As systemd sets them: select(2) fails above 1024, so more must be asked for."""
MOST_OPEN_FILES = 1_048_576
"""Source: fs.nr_open, whose usual value it is; a host may have more or less."""
NO_CORES = 1
"""Bytes of a core file where there shall be none, and nobody be told. With 0, the kernel starts the program that
`kernel.core_pattern` names all the same, as root of the host; with 1 it does not, and that is too little for any file.
Source: fs/coredump.c, coredump_pipe and coredump_file."""
_UNCONTROLLED = "/dev/full"
"""A device of every sandbox, which no sandbox allows anybody to control."""
_SECONDED = Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_ROOT_IS_NOBODY = 0xEF
"""Every securebit and its lock: no exec and no setuid by root gives rights, and none survive by PR_SET_KEEPCAPS."""
_ROOT_AS_USUAL = 0xEA
"""Root has the rights that are bounded to, and loses them with its id, for good; see securebits in capabilities(7)."""

# Those that nobody asks for: as the kernel gives them to its first process, and no others, whatever the daemon's are.
_ANY = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_NONE = (0, 0)
_RLIMIT_LOCKS = 10
_RLIMIT_SIGPENDING = 11
_MOST_THREADS = "/proc/sys/kernel/threads-max"
_USUAL_LIMITS = (
    *((kind, _ANY) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)),
    *((kind, _ANY) for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_RSS, resource.RLIMIT_RTTIME, _RLIMIT_LOCKS)),
    (resource.RLIMIT_STACK, (8 << 20, resource.RLIM_INFINITY)),
    (resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20)),
    (resource.RLIMIT_MSGQUEUE, (819200, 819200)),
    (resource.RLIMIT_NICE, _NONE),
    (resource.RLIMIT_RTPRIO, _NONE),
)


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What each process of a run may have at most; None is what `limit_process` gives, or no limit where it has none.

    >>> ProcessLimits(open_files=0)
    Traceback (most recent call last):
    ...
    ValueError: cannot limit open_files to 0: ask for a positive number
    """

    open_files: int | None = None
    file_bytes: int | None = None
    core_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.open_files is not None and self.open_files < 1:
            raise ValueError(f"cannot limit open_files to {self.open_files}: ask for a positive number")
        for name, count in (("file_bytes", self.file_bytes), ("core_bytes", self.core_bytes)):
            if count is not None and count < 0:
                raise ValueError(f"cannot limit {name} to {count}: it must not be negative")

    @property
    def core_limit(self) -> int:
        """What the kernel is to have for the limit of core files."""
        return max(self.core_bytes or 0, NO_CORES)

    @property
    def leaves_cores(self) -> bool:
        """Whether core files were asked for."""
        return self.core_limit > NO_CORES


NO_PROCESS_LIMITS = ProcessLimits()


def become(user_namespace_fd: int, sandbox_uid: int, sandbox_gid: int) -> None:
    """Enter the user namespace as this user of it, with no groups and keys but all rights over the namespace so far.

    Raises:
        OSError: a step was refused: end the process.
    """
    namespaces.enter(user_namespace_fd, LinuxNamespace.USER)  # Fills the bounding set again.
    os.setgroups([])
    os.setresgid(sandbox_gid, sandbox_gid, sandbox_gid)
    # Else leaving uid 0 would clear the capabilities that dropping them takes.
    libc.syscall("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0, purpose="keep capabilities over setuid")
    os.setresuid(sandbox_uid, sandbox_uid, sandbox_uid)
    keyring.begin_session()


def bound_rights(keep: frozenset[Capability]) -> None:
    """Do of `give_up_rights` what may be done while this process still needs its rights: no exec adds any to `keep`.

    Raises:
        OSError: a step was refused: end the process.
    """
    capabilities.bound(keep)
    bits = _ROOT_AS_USUAL if keep else _ROOT_IS_NOBODY
    libc.syscall("prctl", _PR_SET_SECUREBITS, bits, 0, 0, 0, purpose="bound what root may")
    process.no_new_privs()


def give_up_rights(keep: frozenset[Capability], seccomp: bytes | None, *, bounded: bool = False) -> None:
    """Drop all capabilities but `keep`, for good, and allow only the system calls of `seccomp`, if it is given.

    Args:
        bounded: `bound_rights(keep)` was called before, since this process became who it is.

    Raises:
        OSError: a step was refused: end the process.
    """
    capabilities.drop_all_except(keep, bounded=bounded)
    if not bounded:
        process.no_new_privs()
    if seccomp is not None:
        process.load_seccomp(seccomp)


def restrict_writing(ruleset_fd: int) -> None:
    """Hold this process to a Landlock ruleset of a sandbox, which is closed, and ask the kernel whether it is.

    Raises:
        OSError: it is not: end the process.
    """
    landlock.restrict(ruleset_fd)
    os.close(ruleset_fd)
    if landlock.abi() >= landlock.IOCTL_ABI and not landlock.refuses_control_of(_UNCONTROLLED):
        raise PermissionError(errno.EPERM, f"the kernel does not hold to its Landlock rules for {_UNCONTROLLED}")


def keep_to_itself() -> None:
    """Second the pid and the network namespace: signals and abstract sockets of this process reach its own only.

    What joins a run is not kept so: it may signal the job.

    Raises:
        OSError: the kernel refused: end the process.
    """
    landlock.keep_to_itself(_SECONDED)


def keep_names_to_itself() -> None:
    """Have abstract sockets of others, which are in a network by their names, be out of this process' reach.

    For what joins a run that is in the host's network, where they are the host's.

    Raises:
        OSError: the kernel refused: end the process.
    """
    landlock.keep_to_itself(Scope.ABSTRACT_UNIX_SOCKET)


def allow_limits() -> None:
    """Let this process have, and pass on, whatever process limits a run may ask for: while it still has the right to.

    Where root may not raise them (in a container without CAP_SYS_RESOURCE), runs get no more than it has itself.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MOST_OPEN_FILES:
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, MOST_OPEN_FILES))


def limit_cores(limits: ProcessLimits = NO_PROCESS_LIMITS) -> None:
    """Set the limit of core files, while this process may still raise it and before its filter keeps it as it is.

    Raises:
        OSError, ValueError: it was refused, and crashes would be told to a program of the host: end the process.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (limits.core_limit, limits.core_limit))
    except (ValueError, PermissionError) as error:  # As in `allow_limits`: it has 0 itself.
        if limits.leaves_cores:
            raise
        if core_pattern.is_program(core_pattern.read()):
            cause = "crashes would be told to the program of kernel.core_pattern, as the limit of core files is 0"
            raise PermissionError(errno.EPERM, f"{cause}: start the daemon with CAP_SYS_RESOURCE") from error
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def usual_limits() -> None:
    """Set the process limits that nobody asks for to what is usual: those of whoever started the daemon end here.

    Raises:
        OSError, ValueError: a limit was refused: end the process.
    """
    for kind, (soft, hard) in (*_USUAL_LIMITS, *_of_threads()):
        has = resource.getrlimit(kind)
        if has == (soft, hard):
            continue
        _, allowed = has
        if allowed != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > allowed):
            with contextlib.suppress(ValueError, PermissionError):  # As in `allow_limits`.
                resource.setrlimit(kind, (allowed, hard))
            _, allowed = resource.getrlimit(kind)
            if allowed != resource.RLIM_INFINITY:
                hard = allowed
                soft = allowed if soft == resource.RLIM_INFINITY else min(soft, allowed)
        resource.setrlimit(kind, (soft, hard))


def _of_threads() -> tuple[tuple[int, tuple[int, int]], ...]:
    """Return the usual limit of signals and timers that wait, which is of the host's size.

    Source: kernel/fork.c, fork_init().
    """
    try:
        with open(_MOST_THREADS, "rb") as file:
            usual = int(file.read()) // 2
    except (OSError, ValueError):
        return ()
    return ((_RLIMIT_SIGPENDING, (usual, usual)),)


def limit_process(limits: ProcessLimits = NO_PROCESS_LIMITS) -> None:
    """Set the process limits that a job starts with, but for `limit_cores`: the usual number of open files at most.

    Raises:
        OSError, ValueError: a limit was refused: end the process.
    """
    if limits.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    if limits.open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
        return
    soft, hard = _OPEN_FILES
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY:
        hard = min(hard, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard), hard))
