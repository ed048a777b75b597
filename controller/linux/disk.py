"""Writing whole, making what was written durable, and swapping two names at once. No policy."""

import os
from enum import IntFlag
from pathlib import Path

from controller.linux.libc import AT_FDCWD, syscall


class RenameFlag(IntFlag):
    """How a rename treats what bears the new name. Source: include/uapi/linux/fs.h, RENAME_*."""

    NOREPLACE = 1
    EXCHANGE = 2


def write_whole(fd: int, content: bytes) -> None:
    """Write all of `content`, where the file is at: one write on a disk that fills up writes a part, and no error.

    Raises:
        OSError: it cannot be written; a part of it may have been.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


def sync_file_system(path: Path) -> None:
    """Write all that the file system holding `path` has in memory to its disk; return when it is there.

    One call for a tree of thousands of files, where fsync of each waits for the disk as often.

    Raises:
        SyscallError: the disk failed, since Linux 5.8 also for a write before this call.

    Source: syncfs(2).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall("syncfs", descriptor, purpose=f"write the file system of {path} to its disk")
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Write the names in the directory `path` to the disk.

    Source: fsync(2): fsync of a file says nothing of the directory entry that names it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path, flags: RenameFlag) -> None:
    """Give `source` the name `target` as `flags` say; with EXCHANGE each gets the other's, in one step.

    Raises:
        SyscallError: EEXIST for NOREPLACE and a name that is taken, ENOENT for EXCHANGE and one that is not.

    Source: rename(2), renameat2, Linux 3.15.
    """
    purpose = f"rename {source} to {target} ({flags.name})"
    syscall("renameat2", AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), int(flags), purpose=purpose)
