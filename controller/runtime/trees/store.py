"""Files by what they hold, under ROOT/.runwright/store, each hard-linked into all trees that have such a file.

A file's name in the store is its sha256, an x if it is executable, and its time where that matters (`content.py`):

    store/3f/9ac…               store/3f/9ac…x               store/3f/9ac…-1700000000

Nothing is copied: the first tree that has a file gives it a name here, later ones drop theirs for a link to it. A
name here that no tree shares is rubbish, which `collect` removes. No locks: all of it is atomic calls, any of which
may fail because somebody else was first, and then the file stays as it is, whole and not shared.
Invariants: what has a name here is whole and on the disk; a file that was changed through any of its names is given
to no other tree.
"""

import contextlib
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE, S_ISREG

from controller.runtime.trees import digest
from controller.runtime.trees.origin import RECORDS

STORE = "store"
NORMAL_TIME = 946_684_800
"""The time of every file whose time does not matter: 2000-01-01, which also ZIP files can have."""

_UNSHARED = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTSUP)


@dataclass(frozen=True, slots=True)
class Content:
    """What makes two files one: their bytes, whether they are executable, and the time that they must show."""

    sha256: str
    executable: bool
    size: int
    time: int = NORMAL_TIME

    @property
    def mode(self) -> int:
        """The permissions of such a file."""
        return 0o755 if self.executable else 0o644

    @property
    def name(self) -> str:
        """Its name in the store."""
        time = "" if self.time == NORMAL_TIME else f"-{self.time}"
        return f"{self.sha256[:2]}/{self.sha256[2:]}{'x' if self.executable else ''}{time}"


class Store:
    """The shared files of one runtime root."""

    def __init__(self, root: Path, spare: Path, *, distrust: bool = False) -> None:
        """Share files below `root`.

        Args:
            spare: a name, on the file system of `root`, that is the caller's alone and free.
            distrust: read every file of the store again before it is used.
        """
        self._directory = os.fsencode(root / RECORDS / STORE)
        self._spare = os.fsencode(spare)
        self._distrust = distrust

    def reuse(self, path: bytes, status: os.stat_result, content: Content) -> bool:
        """Make `path`, a file of `content` with `status`, a link to the store's; say whether it is one now."""
        stored = self._path(content)
        try:
            there = os.lstat(stored)
            if (there.st_ino, there.st_dev) == (status.st_ino, status.st_dev):
                return True
            if not self._is_sound(stored, there, content):
                # Its other trees keep it, and are told of by their own verification; nobody else gets it.
                self._drop(stored)
                return False
            os.link(stored, self._spare)
        except OSError as error:
            if error.errno == errno.EMLINK:  # As many names as a file may have: the next ones share another copy.
                self._drop(stored)
            if error.errno in _UNSHARED:
                return False
            raise
        os.rename(self._spare, path)
        return True

    def offer(self, path: bytes, content: Content) -> None:
        """Give `path`, whole and on the disk, its name in the store, or make it a link to what has that already."""
        stored = self._path(content)
        for _ in range(2):
            try:
                os.link(path, stored)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(stored), mode=0o700, exist_ok=True)
            except FileExistsError:
                self.reuse(path, os.lstat(path), content)
                return
            except OSError as error:
                if error.errno in _UNSHARED:
                    return
                raise
            else:
                return

    def separate(self, path: bytes) -> None:
        """Give the name `path`, a file, a copy of its own, which no other name has.

        The copy is made outside of the tree, as a new file: names in the tree are somebody else's words.

        Raises:
            OSError: it is no file, or cannot be copied.
        """
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(source, "rb") as reader:
            copy = os.open(self._spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with open(copy, "wb") as writer:
                    shutil.copyfileobj(reader, writer)
                    os.fchmod(copy, S_IMODE(os.fstat(source).st_mode))
                os.rename(self._spare, path)
            except BaseException:
                os.unlink(self._spare)
                raise

    def _path(self, content: Content) -> bytes:
        return os.path.join(self._directory, content.name.encode())

    def _is_sound(self, stored: bytes, there: os.stat_result, content: Content) -> bool:
        """Whether a file of the store is what its name says: who writes to a file changes its time, as a rule."""
        shown = (there.st_size, S_IMODE(there.st_mode), there.st_mtime_ns, there.st_uid, S_ISREG(there.st_mode))
        if shown != (content.size, content.mode, content.time * 10**9, os.geteuid(), True):
            return False
        return not self._distrust or digest.hash_file(stored) == content.sha256

    def _drop(self, stored: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stored)


def collect(root: Path) -> int:
    """Remove the files of the store that no tree has any more; return how many. Installs may go on meanwhile.

    Who links to a file in the instant before it goes has it still: then only its name here is gone.
    """
    files = 0
    for directory in _directories(root / RECORDS / STORE):
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 and S_ISREG(status.st_mode):
                        os.unlink(entry.path)
                        files += 1
    return files


def _directories(store: Path) -> list[str]:
    try:
        with os.scandir(store) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
