"""One writer for each version under a runtime root, across threads and processes.

The kernel lets go of a lock when its holder dies, so a crash leaves none behind. The file of a version that has no
tree goes with the lock of who leaves it so. Who waited for it then holds a lock of a file that nobody finds any more,
sees that, and takes the one that is there now.
Invariant: who holds a lock, holds that of the file that its name leads to, until it removes that file or lets go.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from controller.engine.errors import TransientError
from controller.runtime.trees.origin import RECORDS

_SUFFIX = ".lock"


@contextmanager
def exclusive(root: Path, key: str, *, wait: bool) -> Iterator[None]:
    """Hold the lock of the version `key`, making `root` if need be.

    Raises:
        TransientError: InstallInProgress, somebody holds it and `wait` is False.
    """
    directory = root / RECORDS
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{key}{_SUFFIX}"
    descriptor = _locked(file, key, wait=wait)
    try:
        yield
    finally:
        with suppress(OSError):  # Then it stays, as that of a version with a tree does.
            if not os.path.lexists(root / key) and _is_named(descriptor, file):
                os.unlink(file)  # Before it is let go: from then on it may be somebody else's.
        os.close(descriptor)


def clean(root: Path) -> None:
    """Remove the lock files of versions that have no tree, which nobody holds."""
    try:
        names = sorted(os.listdir(root / RECORDS))
    except FileNotFoundError:
        return
    for name in names:
        key = name.removesuffix(_SUFFIX)
        if key != name and not os.path.lexists(root / key):
            with suppress(TransientError), exclusive(root, key, wait=False):
                pass  # Leaving it so removes the file.


def _locked(file: Path, key: str, *, wait: bool) -> int:
    """Return the descriptor of the file that has the name `file` while we hold its lock."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_named(descriptor, file):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise TransientError("InstallInProgress", f"cannot change {key}: it is being changed already") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except FileNotFoundError:
        return False
