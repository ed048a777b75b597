"""Being told, by a readable descriptor, that one file was modified; the kernel's own files in cgroups too."""

import os

from controller.linux import libc

_IN_MODIFY = 0x2
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC


def watch_modified(path: str) -> int:
    """Return a descriptor that polls readable once the file at `path` was modified. The caller closes it.

    Raises:
        SyscallError: ENOENT if there is no such file, ENOSPC or EMFILE at the limits in /proc/sys/fs/inotify.

    Source: inotify(7).
    """
    fd = libc.syscall("inotify_init1", _IN_NONBLOCK | _IN_CLOEXEC, purpose=f"watch {path}")
    try:
        libc.syscall("inotify_add_watch", fd, os.fsencode(path), _IN_MODIFY, purpose=f"watch {path}")
    except OSError:
        os.close(fd)
        raise
    return fd
