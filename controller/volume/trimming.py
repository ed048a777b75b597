"""Keeping a directory that jobs write to below a size: the files longest out of use go first.

Invariant: what lies in it was written by jobs: nothing of it is followed, opened or believed here.
"""

import contextlib
import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from controller.linux.removal import remove_tree

_MOST_DEPTH = 100
_MOST_ENTRIES = 1_000_000
_BLOCK_BYTES = 512  # Source: stat(2), st_blocks.
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def trim(directory: Path, most_bytes: int, aside: Path) -> int | None:
    """Remove the oldest files until there are no more than `most_bytes`; return how many, or None for all.

    What cannot be made small otherwise begins anew: it is moved to `aside`, on the same file system, and removed there.
    Runs that are at it are shut out of the old one but for what they have open.

    Raises:
        OSError: it cannot be read, or not be moved.
    """
    removed = _shrink(directory, most_bytes)
    if removed is None:
        remove_tree(aside)  # If it could not be, the last time.
        directory.rename(aside)
        os.chown(aside, 0, 0, follow_symlinks=False)
        remove_tree(aside)
    return removed


def usage(directory: Path) -> int:
    """Return how much there is, in bytes; as much as there could ever be, where that cannot be counted.

    Raises:
        OSError: it cannot be read.
    """
    found = _Found()
    top = os.open(directory, _DIRECTORY)
    try:
        _look(top, (), found)
    except _TooMuch:
        return 1 << 62
    finally:
        os.close(top)
    return found.total_bytes


@dataclass(slots=True)
class _Found:
    """What is in a cache: its files by age, each by the names that lead to it."""

    total_bytes: int = 0
    files: list[tuple[float, int, tuple[str, ...]]] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    entries: int = 0

    def add(self, names: tuple[str, ...], status: os.stat_result) -> None:
        """Note a file or directory; of several names of one, the first bears its size."""
        self.entries += 1
        if self.entries > _MOST_ENTRIES:
            raise _TooMuch
        size = status.st_blocks * _BLOCK_BYTES
        is_directory = stat.S_ISDIR(status.st_mode)
        if status.st_nlink > 1 and not is_directory:
            size = 0 if status.st_ino in self.counted else size
            self.counted.add(status.st_ino)
        self.total_bytes += size
        if not is_directory:
            self.files.append((max(status.st_atime, status.st_mtime), size, names))


class _TooMuch(Exception):
    """More or deeper than any package manager leaves."""


def _shrink(directory: Path, most_bytes: int) -> int | None:
    """Remove the oldest files; return how many. None if it cannot be made small so."""
    found = _Found()
    top = os.open(directory, _DIRECTORY)
    try:
        _look(top, (), found)
        heapq.heapify(found.files)
        removed = 0
        while found.total_bytes > most_bytes and found.files:
            _, size, names = heapq.heappop(found.files)
            removed += _unlink(top, names)
            found.total_bytes -= size
    except _TooMuch:
        return None
    finally:
        os.close(top)
    return removed if found.total_bytes <= most_bytes else None


def _look(parent: int, above: tuple[str, ...], found: _Found) -> None:
    if len(above) > _MOST_DEPTH:
        raise _TooMuch
    with os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # A job is at it as well.
                found.add((*above, entry.name), entry.stat(follow_symlinks=False))
            if entry.is_dir(follow_symlinks=False):
                _look_below(parent, entry.name, above, found)


def _look_below(parent: int, name: str, above: tuple[str, ...], found: _Found) -> None:
    try:
        below = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError:  # It was one a moment ago.
        return
    try:
        _look(below, (*above, name), found)
    finally:
        os.close(below)


def _unlink(top: int, names: tuple[str, ...]) -> int:
    """Remove one file, unless it is not there any more; the way to it leads through no link."""
    with contextlib.suppress(OSError), _way(top, names[:-1]) as parent:
        os.unlink(names[-1], dir_fd=parent)
        return 1
    return 0


@contextlib.contextmanager
def _way(top: int, names: tuple[str, ...]) -> Iterator[int]:
    at = os.dup(top)
    try:
        for name in names:
            below = os.open(name, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)
