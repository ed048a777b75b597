"""Opening paths that somebody else wrote, inside a root that they must not leave.

Everything inside a run's root or a runtime's tree is opened here, from a descriptor of that root,
and never by joining strings: symbolic links in it are somebody else's words.
Source: openat2(2), Linux 5.6. Answers CVE-2019-14271, CVE-2021-30465 and their kin.
"""

import errno
import os
from enum import IntFlag
from struct import Struct

from controller.linux import libc
from controller.linux.libc import SyscallError

_OPEN_HOW = Struct("QQQ")  # struct open_how: flags, mode, resolve.
_ATTEMPTS = 32


class Resolve(IntFlag):
    """How a path may be walked, with the kernel's names (RESOLVE_…)."""

    NO_XDEV = 0x01
    NO_MAGICLINKS = 0x02
    NO_SYMLINKS = 0x04
    BENEATH = 0x08
    IN_ROOT = 0x10


_IN_ROOT = Resolve.IN_ROOT | Resolve.NO_MAGICLINKS


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0, resolve: Resolve = _IN_ROOT) -> int:
    """Open `path` as if `root_fd` were `/`: links and `..` in it cannot lead out. The caller closes it.

    The descriptor is closed on exec. Tried again when a rename elsewhere made the walk unsure (EAGAIN).

    Raises:
        SyscallError: EXDEV if it would leave, ELOOP for a link where none may be, or open(2)'s own.
    """
    request = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, int(resolve))
    name = os.fsencode(path)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return libc.syscall("openat2", root_fd, name, request, _OPEN_HOW.size, purpose=f"open {path} in its root")
        except SyscallError as error:
            if error.errno != errno.EAGAIN or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")
