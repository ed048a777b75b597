"""The files of one run's log, oldest first, while the supervisor writes and rotates them.

A file that was opened is read to its end, whatever becomes of its name. Here: files to records.
Never here: which records somebody wants. Invariant: however the writer rotates meanwhile, records
come in the order they were written; those that it has removed by then are left out, no others.
Source: CRI log format, `TIME STREAM TAGS CONTENT`, tag P for a part of a line, F for its end.
"""

import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.launcher import log_writer
from controller.linux import inotify, ofd_lock

_BLOCK = 1 << 16
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a log; `ends` is False for a part of a longer line."""

    time: bytes
    stream: bytes
    ends: bool
    content: bytes


def parse(raw: bytes) -> Line | None:
    """Return the record that `raw`, without its newline, holds; None if it is torn.

    >>> parse(b"2026-01-02T03:04:05Z stdout F hello").content
    b'hello'
    """
    parts = raw.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(parts[0], parts[1], parts[2] != b"P", parts[3])


class LogFiles:
    """A log that may grow: what is there, then what comes. Use it in `with`."""

    def __init__(self, directory: Path) -> None:
        """Read the log in `directory`."""
        self._directory = directory
        self._open: list[int] = []
        self._rest: dict[int, bytes] = {}
        self._changes: int | None = None

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files."""
        for fd in (*self._open, *(() if self._changes is None else (self._changes,))):
            os.close(fd)

    def watch(self) -> None:
        """Have `wait` wait for what is written from now on. Raises OSError: there is no such log, or no watch left."""
        self._changes = inotify.watch_modified(str(self._directory))

    def fresh(self) -> Iterator[Line]:
        """Yield what was written since the last call."""
        self._open += open_after(self._directory, self._open[-1] if self._open else None)
        for fd in list(self._open):
            yield from self._read(fd)
        while len(self._open) > 1:  # All but the newest are complete: the writer has moved on.
            done = self._open.pop(0)
            self._forget(done)
            os.close(done)

    def wait(self, seconds: float) -> None:
        """Wait until there is more, at most `seconds`."""
        changes = select.poll()  # Unlike select, it takes any descriptor number.
        if self._changes is not None:
            changes.register(self._changes, select.POLLIN)
        for fd, _ in changes.poll(seconds * 1000):
            os.read(fd, _BLOCK)

    def _forget(self, fd: int) -> None:
        """Forget what is known of a file that is about to be closed: its number may be another's soon."""
        self._rest.pop(fd, None)

    def _read(self, fd: int) -> Iterator[Line]:
        while block := os.read(fd, _BLOCK):
            *whole, rest = (self._rest.get(fd, b"") + block).split(b"\n")
            self._rest[fd] = rest
            yield from (line for raw in whole if (line := parse(raw)) is not None)


def open_after(directory: Path, last: int | None) -> list[int]:
    """Open the files that are newer than the open file `last`, oldest first; None is all.

    The newest is opened first, and then looked for among the names: a rotation between the two neither
    hides a file nor turns their order round. While `last` is open, no other file has its inode number.
    """
    last_inode = None if last is None else os.fstat(last).st_ino
    for _ in range(_TRIES):
        newest = _opened(directory / log_writer.CURRENT)
        names = _names(directory)
        inodes = [_inode(directory / name) for name in names]
        end = len(names)
        if newest is not None:
            inode = os.fstat(newest).st_ino
            if inode not in inodes:  # It was rotated since, under a name that is newer than the list.
                os.close(newest)
                continue
            end = inodes.index(inode)
        begin = inodes.index(last_inode) + 1 if last_inode in inodes else 0
        found = [_opened(directory / name) for name in names[begin:end] if name != log_writer.CURRENT]
        if newest is not None and os.fstat(newest).st_ino == last_inode:
            os.close(newest)
            newest = None
        return [fd for fd in (*found, newest) if fd is not None]
    return []


def remove_surplus(directory: Path, kept: int) -> None:
    """Remove the oldest files of a log that nobody writes any more, but for `kept`, up to the first that is read."""
    for name in _names(directory)[: -max(1, kept)]:
        try:
            fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # Another reader was faster.
        try:
            if ofd_lock.is_taken(fd, log_writer.READING):
                return
            (directory / name).unlink(missing_ok=True)
        finally:
            os.close(fd)


def _names(directory: Path) -> list[str]:
    try:
        return log_writer.in_order(os.listdir(directory))
    except FileNotFoundError:
        return []  # The job was deleted, and its log with it.


def _opened(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # Rotated away this moment.
    ofd_lock.take(fd, log_writer.READING, shared=True)  # So that it, and what comes after it, stays for a while.
    return fd


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
