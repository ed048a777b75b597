"""The runtime trees on disk, looked at before every use and read again only when something in them changed.

An install and a removal change a directory, which is looked at each time: the root, and those that hold trees of
several versions. That a runtime.yml was changed in its place, which nothing here ever does, takes a look at each of
them: that is done so often that a person who edits one sees no delay, and not for each pass of each job.
Never here: what is read (`tree.py`), what need not be read again (`scans.py`).
Invariant: what was put into its place or removed before `scan` was asked is seen by it.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from controller.runtime.trees import tree
from controller.runtime.trees.records import Records
from controller.runtime.trees.scans import SETTLED_NS, Scans
from controller.runtime.trees.tree import InstalledRuntime

LOOK_AGAIN_SECONDS = 0.2
"""How long a change of a runtime.yml in its place may go unseen."""

_Mark = tuple[str, int, int]
_ABSENT = 0


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What an install, a removal or an edit of a runtime.yml changes, in any layout."""

    directories: tuple[_Mark, ...]
    manifests: tuple[_Mark, ...]


class InstalledTrees:
    """The trees under one root, and their records. Safe from many threads."""

    def __init__(self, root: Path) -> None:
        """Read below `root`."""
        self._root = root
        self.records = Records(root)
        self._scans = Scans(root)
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._found: tuple[InstalledRuntime, ...] = ()
        self._look_again = float("-inf")

    def scan(self) -> tuple[InstalledRuntime, ...]:
        """Return what is installed now. Raises TransientError when the root cannot be read."""
        with self._lock:
            if time.monotonic() < self._look_again and self._are_directories_as_they_were():
                return self._found
            now, then = time.clock_gettime_ns(time.CLOCK_REALTIME), time.monotonic()
            stamp = _stamp(self._root)
            if stamp is None or stamp != self._stamp:
                self._found = self._scans.scan()
                # One that is broken may be whole in a moment, deeper down than we look for changes; and of a file that
                # was changed this moment the next look may not tell that it was changed again.
                is_passing = any(found.problems for found in self._found) or not _are_settled(stamp, now)
                self._stamp = None if is_passing else stamp
            self._look_again = then + LOOK_AGAIN_SECONDS if self._stamp is not None else float("-inf")
            return self._found

    def _are_directories_as_they_were(self) -> bool:
        assert self._stamp is not None
        marks = self._stamp.directories
        return all(_mark(os.path.join(self._root, mark[0])) == (mark[1], mark[2]) for mark in marks)


def _are_settled(stamp: _Stamp | None, now: int) -> bool:
    marks = (*stamp.directories, *stamp.manifests) if stamp is not None else ()
    return all(at + SETTLED_NS < now for _, _, at in marks)


def _stamp(root: Path) -> _Stamp | None:
    """Return the marks of what is below `root`; None if they cannot be told. One system call for each tree, not two."""
    try:
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            directories, manifests = [(".", *_mark(".", directory))], []
            for name in os.listdir(directory):
                if name.startswith("."):
                    continue
                mark = _mark(f"{name}/{tree.MANIFEST}", directory)
                manifests.append((name, *mark))
                if mark[0] == _ABSENT:
                    directories.append((name, *_mark(name, directory)))
                    manifests += _marks_below(name, directory)
        finally:
            os.close(directory)
    except OSError:
        return None
    return _Stamp(tuple(directories), tuple(manifests))


def _marks_below(name: str, root: int) -> list[_Mark]:
    """Return the marks of what is in a directory that is no runtime itself."""
    try:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except OSError:
        return []  # A file, a link, or gone.
    try:
        paths = [path for below in os.listdir(directory) for path in (below, f"{below}/{tree.MANIFEST}")]
        return [(f"{name}/{path}", *_mark(path, directory)) for path in paths]
    finally:
        os.close(directory)


def _mark(path: str, directory: int | None = None) -> tuple[int, int]:
    try:
        status = os.stat(path, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return _ABSENT, 0
    return status.st_ino, status.st_mtime_ns
