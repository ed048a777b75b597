"""Processes held by descriptor, so that a pid used again is never mistaken for the process before.

`os.pidfd_open`, `signal.pidfd_send_signal` and `os.waitid(os.P_PIDFD, …)` are the standard library's;
here is what it lacks.
"""

import os
import select

from controller.linux import libc, process


def open_identified(pid: int, start_time_ticks: int) -> int:
    """Return a descriptor of `pid`, made sure to be the process that started then. The caller closes it.

    Raises:
        ProcessLookupError: that process is no more, though its pid may be another's now.
    """
    fd = os.pidfd_open(pid)
    try:
        # Read after the open: if the one we hold were another, so would be what is in /proc.
        same = process.start_time(pid) == start_time_ticks
    except (FileNotFoundError, ProcessLookupError):
        same = False
    if not same:
        os.close(fd)
        raise ProcessLookupError(f"cannot hold process {pid}: the one started at {start_time_ticks} is no more")
    return fd


def has_exited(fd: int) -> bool:
    """Say whether the process has ended, reaped or not."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def take_descriptor(fd: int, number: int) -> int:
    """Return a copy of that process' descriptor `number`, closed on exec. The caller closes it.

    Raises:
        SyscallError: EPERM if we may not ptrace it, EBADF if it has no such descriptor.

    Source: pidfd_getfd(2), Linux 5.6.
    """
    return libc.syscall("pidfd_getfd", fd, number, 0, purpose=f"take descriptor {number} of a process")
