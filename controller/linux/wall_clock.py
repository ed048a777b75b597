"""Waiting for a moment of the wall clock, however that is set meanwhile.

Source: clock_nanosleep(2): with TIMER_ABSTIME, a change of CLOCK_REALTIME counts for those that sleep already.
"""

import struct
import time

from controller.linux import libc

_SECOND = 1_000_000_000
_TIMESPEC = struct.Struct("=qq")
_TIMER_ABSTIME = 1


def sleep_until(nanoseconds: int) -> int:
    """Return once it is so many nanoseconds after 1970; return what the clock says then, which is no less.

    Raises:
        SyscallError: EINTR, after a signal with a handler that raises nothing.
    """
    while (now := time.time_ns()) < nanoseconds:
        moment = _TIMESPEC.pack(*divmod(nanoseconds, _SECOND))
        libc.syscall(
            "clock_nanosleep", time.CLOCK_REALTIME, _TIMER_ABSTIME, moment, None, purpose="wait for its moment"
        )
    return now
