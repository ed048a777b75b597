"""Locks of open files on a byte of a file: gone with the last descriptor, whoever has that. No policy.

Source: fcntl(2), "Open file description locks".
"""

import errno
import fcntl
import os
import struct

_FLOCK = struct.Struct("hhqqi4x")  # Source: fcntl(2), struct flock, as on every 64-bit Linux.


def take(fd: int, at: int, *, shared: bool = False) -> bool:
    """Lock byte `at` for this open file, alone or `shared`; False if another has a lock that is in the way.

    Raises:
        OSError: it cannot be locked.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def is_taken(fd: int, at: int) -> bool:
    """Whether another open file has a lock on byte `at`, shared or not; none is taken to tell.

    Raises:
        OSError: there is no telling.
    """
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def is_still(path: str, fd: int) -> bool:
    """Whether `path` is the name of what is open: a lock on another file is one that nobody else would see."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))
