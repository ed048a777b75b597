"""Files made before their place is known, without a name: giving them one is cheap, and making them is not.

A new file costs some 0.04 ms on ext4, but 0.3 ms where much was removed lately: looking for a free inode, it passes
over those freed a moment ago. Where a blank is not to be had, or is of another file system than its place, the file is
made there and then, as ever.
"""

import contextlib
import os


def make(directory: str, *, append: bool = False) -> int | None:
    """Return a file of the file system of `directory` to write to, or None where there are no nameless ones."""
    flags = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC | (os.O_APPEND if append else 0)
    try:
        return os.open(directory, flags, 0o600)
    except OSError:
        return None


def give_name(fd: int | None, name: str, directory_fd: int) -> bool:
    """Name the blank; False if there is none, or it cannot be there: then it is closed.

    Raises:
        FileExistsError: there is something of that name: it is kept.
    """
    if fd is None:
        return False
    try:
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory_fd, follow_symlinks=True)
    except FileExistsError:
        raise
    except OSError:
        with contextlib.suppress(OSError):
            os.close(fd)
        return False
    return True
