"""Being told by the kernel that the wall clock was set, or jumped while the machine slept.

A timer of CLOCK_REALTIME far in the future is cancelled whenever that clock is changed other than by running: that is
what is waited for. Never here: what follows from it.
Source: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET, Linux 3.0; fs/timerfd.c, timerfd_clock_was_set and timerfd_resume.
"""

import errno
import os
import struct
import time
from enum import IntFlag

from controller.linux import libc

_NEVER_SECONDS = 9_000_000_000  # In the year 2255.
_ITIMERSPEC = struct.Struct("=qqqq")


class TimerFdFlag(IntFlag):
    """Flags of timerfd_create and timerfd_settime. Source: include/uapi/linux/timerfd.h."""

    ABSTIME = 1
    CANCEL_ON_SET = 2
    NONBLOCK = os.O_NONBLOCK
    CLOEXEC = os.O_CLOEXEC


def open_watch() -> int:
    """Return a file that can be read, for poll, once the wall clock was set after this; the caller closes it.

    Raises:
        SyscallError: the kernel gives no such timer.
    """
    purpose = "watch for steps of the wall clock"
    flags = TimerFdFlag.NONBLOCK | TimerFdFlag.CLOEXEC
    fd = libc.syscall("timerfd_create", time.CLOCK_REALTIME, flags, purpose=purpose)
    try:
        never = _ITIMERSPEC.pack(0, 0, _NEVER_SECONDS, 0)
        how = TimerFdFlag.ABSTIME | TimerFdFlag.CANCEL_ON_SET
        libc.syscall("timerfd_settime", fd, how, never, None, purpose=purpose)
    except BaseException:
        os.close(fd)
        raise
    return fd


def was_set(fd: int) -> bool:
    """Say whether the clock was set since `open_watch`, or since this was last asked."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.ECANCELED:
            raise
    return True
