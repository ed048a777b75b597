"""One writer for each version under a runtime root, across threads and processes.

The kernel lets go of a lock when its holder dies, so a crash leaves none behind. The lock files
themselves stay: removing one while somebody waits for it would make two locks of it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.engine.errors import TransientError
from controller.runtime.trees.origin import RECORDS


@contextmanager
def exclusive(root: Path, key: str, *, wait: bool) -> Iterator[None]:
    """Hold the lock of the version `key`, making `root` if need be.

    Raises:
        TransientError: InstallInProgress, somebody holds it and `wait` is False.
    """
    directory = root / RECORDS
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise TransientError("InstallInProgress", f"cannot change {key}: it is being changed already") from None
        yield
    finally:
        os.close(descriptor)
