"""Reading files that somebody else wrote, no more of them than fits in memory.

Invariant: only regular files are read, none by way of a link in its last part, none that is larger than said.
"""

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 8 << 20
"""More than any file that describes something: lists, manifests, metadata, reports, caches."""


def read_bounded(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what is in the file `path`.

    Raises:
        OSError: it cannot be read; ELOOP for a link, EINVAL for what is no file, EFBIG for more than `most` bytes.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return read_descriptor(fd, path, most)
    finally:
        os.close(fd)


def read_descriptor(fd: int, path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what is in the file that `fd` is open on; `path` is for errors.

    Raises:
        OSError: as `read_bounded`.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    with open(fd, "rb", closefd=False) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return content
