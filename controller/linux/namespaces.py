"""Leaving and entering Linux namespaces. What they isolate, and in which order, is the sandbox's to say.

In this project a bare "namespace" is the Kubernetes one; the kernel's are `LinuxNamespace`.
"""

from enum import IntFlag

from controller.linux import libc


class LinuxNamespace(IntFlag):
    """The kernel's namespaces, by their CLONE_NEW… flags."""

    TIME = 0x00000080
    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


def unshare(flags: LinuxNamespace) -> None:
    """Put this process in new namespaces; with PID, its next child, which becomes that namespace's process 1.

    Raises:
        SyscallError: EPERM without CAP_SYS_ADMIN; ENOSPC at the limit in /proc/sys/user.
    """
    libc.syscall("unshare", int(flags), purpose=f"make new namespaces {flags!r}")


def enter(fd: int, flags: LinuxNamespace) -> None:
    """Put this process in the namespace that `fd` (of /proc/PID/ns/…, or a pidfd) stands for.

    Args:
        flags: the kind `fd` must be of; for a pidfd, the kinds to enter together.

    Raises:
        SyscallError: EINVAL if `fd` is of another kind; EPERM without CAP_SYS_ADMIN in it.
    """
    libc.syscall("setns", fd, int(flags), purpose=f"enter the namespaces {flags!r}")
