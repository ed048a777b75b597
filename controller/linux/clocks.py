"""Time namespaces: clocks that do not tell how long the host has been running.

Here: making one for the processes to come. Never here: the wall clock, which no namespace changes.
Source: time_namespaces(7), Linux 5.6.
"""

import os
import time

from controller.linux import namespaces
from controller.linux.namespaces import LinuxNamespace

_OFFSETS = "/proc/self/timens_offsets"


def are_separable() -> bool:
    """Say whether this kernel has time namespaces."""
    return os.path.exists(_OFFSETS)


def separable() -> LinuxNamespace:
    """Return the flag of time namespaces, or none on a kernel without them."""
    return LinuxNamespace.TIME if are_separable() else LinuxNamespace(0)


def begin_anew() -> bool:
    """Have this process' next children count CLOCK_MONOTONIC and CLOCK_BOOTTIME from now; False if the kernel cannot.

    It goes on with its own clocks itself. Without CAP_SYS_TIME, which some services are without, the children have
    clocks of their own that go as the host's do.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, EACCES if a child is in the new namespace already.
    """
    if not are_separable():
        return False
    namespaces.unshare(LinuxNamespace.TIME)
    offsets = f"monotonic -{int(time.monotonic())} 0\nboottime -{int(time.clock_gettime(time.CLOCK_BOOTTIME))} 0\n"
    fd = os.open(_OFFSETS, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, offsets.encode())
    except PermissionError:
        return False
    finally:
        os.close(fd)
    return True
