"""What can be done to a file system that is mounted: held still for a moment, made larger. No policy: one call each.

Source: include/uapi/linux/fs.h; fs/ext4/ioctl.c, EXT4_IOC_RESIZE_FS.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from struct import Struct

_FREEZE = 0xC0045877
_THAW = 0xC0045878
_CLONE = 0x40049409
_EXT4_RESIZE = 0x40086610
_BLOCKS = Struct("Q")


@contextmanager
def held_still(path: Path) -> Iterator[None]:
    """Hold the file system that `path` is on still while this lasts: who writes waits, and its disk is whole.

    Who is killed meanwhile leaves it so, until somebody calls `thaw`.

    Raises:
        OSError: it cannot be held still, or somebody else does that already (EBUSY).
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ioctl(fd, _FREEZE, 0)
        try:
            yield
        finally:
            ioctl(fd, _THAW, 0)
    finally:
        os.close(fd)


def thaw(path: Path) -> bool:
    """Let the file system that `path` is on go on; return whether it was held still."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ioctl(fd, _THAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    finally:
        os.close(fd)
    return True


def grow_ext4(path: Path, blocks: int) -> None:
    """Have the mounted ext4 that `path` is on use `blocks` blocks of its device; those that it uses stay used.

    Raises:
        OSError: the device is not that large, or the kernel refused.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ioctl(fd, _EXT4_RESIZE, _BLOCKS.pack(blocks))
    finally:
        os.close(fd)


def clone_file(source_fd: int, target_fd: int) -> bool:
    """Have the file `target_fd` share all blocks of `source_fd`, at once; False where the file system cannot.

    Source: ioctl_ficlone(2).
    """
    try:
        ioctl(target_fd, _CLONE, source_fd)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV):
            return False
        raise
    return True
