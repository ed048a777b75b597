"""How urgent the reads and writes of a thread are to the disk. No policy: one call."""

from enum import IntEnum

from controller.linux.libc import syscall

_WHO_PROCESS = 1
_CLASS_SHIFT = 13


class IoClass(IntEnum):
    """Classes of I/O. Source: include/uapi/linux/ioprio.h, IOPRIO_CLASS_*."""

    NONE = 0
    BEST_EFFORT = 2
    IDLE = 3


def set_of_this_thread(io_class: IoClass) -> None:
    """Make the I/O of the calling thread of `io_class`; the lowest level in it.

    Source: ioprio_set(2): 0 means the calling thread, not its process. Only some disk schedulers care.
    """
    level = 7 if io_class is IoClass.BEST_EFFORT else 0
    syscall("ioprio_set", _WHO_PROCESS, 0, (io_class << _CLASS_SHIFT) | level, purpose="set the priority of I/O")


def forget_of_this_thread() -> None:
    """Have the I/O of the calling thread be as urgent as its niceness says, which is so if nobody says otherwise."""
    syscall("ioprio_set", _WHO_PROCESS, 0, IoClass.NONE << _CLASS_SHIFT, purpose="forget the priority of I/O")
