"""Giving up everything a job must not have, for good: the last thing a process does before it runs somebody's code.

Here: user namespace, ids, limits of the process, capabilities, no_new_privs, system calls, in the
order in which each still may be done. Never here: mounts (`interpret`), cgroups.
"""

import os
import resource
from dataclasses import dataclass

from controller.linux import capabilities, libc, namespaces, process
from controller.linux.capabilities import Capability
from controller.linux.namespaces import LinuxNamespace

_OPEN_FILES = (1024, 524288)
"""As systemd sets them: select(2) fails above 1024, so more must be asked for."""
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2


@dataclass(frozen=True, slots=True)
class Confinement:
    """Who the process becomes (ids inside the user namespace) and what it keeps."""

    user_namespace_fd: int
    sandbox_uid: int = 0
    sandbox_gid: int = 0
    keep: frozenset[Capability] = frozenset()
    seccomp: bytes | None = None


def confine(confinement: Confinement) -> None:
    """Confine this process. Not to be undone, and not to be trusted half done: on an error, end the process.

    Raises:
        OSError: a step was refused.
    """
    namespaces.enter(confinement.user_namespace_fd, LinuxNamespace.USER)  # Fills the bounding set again.
    os.setgroups([])
    uid, gid = confinement.sandbox_uid, confinement.sandbox_gid
    os.setresgid(gid, gid, gid)
    # Else leaving uid 0 would clear the capabilities that dropping them takes.
    libc.syscall("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0, purpose="keep capabilities over setuid")
    os.setresuid(uid, uid, uid)
    capabilities.drop_all_except(confinement.keep)
    process.no_new_privs()
    if confinement.seccomp is not None:
        process.load_seccomp(confinement.seccomp)


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
