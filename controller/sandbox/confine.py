"""Giving up everything a job must not have, for good: the last thing a process does before it runs somebody's code.

Here: user namespace, ids, limits of the process, capabilities, no_new_privs, system calls, in the
order in which each still may be done. Never here: mounts (`interpret`), cgroups.
"""

import os
import resource

from controller.linux import capabilities, libc, namespaces, process
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace

_OPEN_FILES = (1024, 524288)
"""As systemd sets them: select(2) fails above 1024, so more must be asked for."""
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2


def become(user_namespace_fd: int, sandbox_uid: int, sandbox_gid: int) -> None:
    """Enter the user namespace as this user of it, without groups but with all rights over the namespace so far.

    Raises:
        OSError: a step was refused: end the process.
    """
    namespaces.enter(user_namespace_fd, LinuxNamespace.USER)  # Fills the bounding set again.
    os.setgroups([])
    os.setresgid(sandbox_gid, sandbox_gid, sandbox_gid)
    # Else leaving uid 0 would clear the capabilities that dropping them takes.
    libc.syscall("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0, purpose="keep capabilities over setuid")
    os.setresuid(sandbox_uid, sandbox_uid, sandbox_uid)


def bound_rights(keep: frozenset[Capability]) -> None:
    """Do of `give_up_rights` what may be done while this process still needs its rights: no exec adds any to `keep`.

    Raises:
        OSError: a step was refused: end the process.
    """
    capabilities.bound(keep)
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


def limit_process() -> None:
    """Set the process limits that a job starts with: no core files, and the usual number of open files at most.

    Raises:
        OSError: a limit was refused.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = _OPEN_FILES
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY:
        hard = min(hard, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard), hard))
