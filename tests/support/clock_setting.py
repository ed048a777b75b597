"""Setting the machine's wall clock, by a nanosecond, and back: for tests of who is told that it was set."""

import ctypes
import os

_ADJ_SETOFFSET, _ADJ_NANO = 0x0100, 0x2000


class _Timex(ctypes.Structure):
    """`struct timex`. Source: include/uapi/linux/timex.h."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long), ("precision", ctypes.c_long), ("tolerance", ctypes.c_long),
        ("sec", ctypes.c_long), ("nsec", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    ]  # fmt: skip


def can_step() -> bool:
    """Say whether this process may set the clock at all; it is not set."""
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return bool(held >> 25 & 1)  # CAP_SYS_TIME


def step() -> None:
    """Set the clock a nanosecond ahead, and back again."""
    _inject(0, 1)
    _inject(-1, 999_999_999)


def _inject(seconds: int, nanoseconds: int) -> None:
    wanted = _Timex(modes=_ADJ_SETOFFSET | _ADJ_NANO, sec=seconds, nsec=nanoseconds)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(wanted)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
