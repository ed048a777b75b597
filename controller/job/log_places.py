"""Where in a run's log a record is, so that who was cut off can go on after it, whatever was rotated meanwhile.

A place is `FILE.BYTES`: which of all files that the log ever had, from 1, and how many bytes of it come before.
Finished files keep their number in their name, and the newest has the next one. Here: places, and records with theirs.
Invariant: going on after the place of a record gives each later record that is still there, once.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.job.log_files import Line, LogFiles, parse
from controller.launcher import log_writer

_BLOCK = 1 << 16
_TRIES = 100
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How far a log was read."""

    file: int
    end: int

    def __str__(self) -> str:
        """Return it as clients have it.

        >>> str(Place(3, 1024))
        '3.1024'
        """
        return f"{self.file}.{self.end}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Return the place that a client gives back.

        >>> Place.read("3.1024")
        Place(file=3, end=1024)

        Raises:
            ValueError: it is none.
        """
        numbers = text.split(".")
        if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < _MOST_DIGITS for n in numbers):
            raise ValueError(f'"{text[:40]}" is no place in a log')
        return cls(int(numbers[0]), int(numbers[1]))


@dataclass(frozen=True, slots=True)
class PlacedLine(Line):
    """A record, and the place after it."""

    place: Place


class PlacedLogFiles(LogFiles):
    """A log that may grow, from a place on."""

    def __init__(self, directory: Path, after: Place | None) -> None:
        """Read the log in `directory`, all of it or what comes after a place."""
        super().__init__(directory)
        self._after = after or Place(0, 0)
        self._numbers: dict[int, int] = {}
        self._newest = 0
        self.lacks_some = False
        """Whether something was removed that comes before what was read last."""

    def fresh_placed(self) -> Iterator[PlacedLine]:
        """Yield what was written since the last call."""
        return (line for line in self.fresh() if isinstance(line, PlacedLine))

    def _forget(self, fd: int) -> None:
        super()._forget(fd)
        self._numbers.pop(fd, None)

    def _read(self, fd: int) -> Iterator[Line]:
        number = self._numbers.get(fd)
        if number is None:
            before = self._newest
            number = self._newest = self._numbers[fd] = _number_of(fd, self._directory, before + 1)
            self.lacks_some = self.lacks_some or number > before + 1
            self._skip(fd, number)
        while block := os.read(fd, _BLOCK):
            *whole, rest = (self._rest.get(fd, b"") + block).split(b"\n")
            end = os.lseek(fd, 0, os.SEEK_CUR) - len(rest) - sum(map(len, whole)) - len(whole)
            self._rest[fd] = rest
            for raw in whole:
                end += len(raw) + 1
                if (line := parse(raw)) is not None:
                    yield PlacedLine(line.time, line.stream, line.ends, line.content, Place(number, end))

    def _skip(self, fd: int, number: int) -> None:
        """Go to where reading is to begin. A place that no record ends at is of another log: the whole file is read."""
        if number < self._after.file:
            os.lseek(fd, 0, os.SEEK_END)
        elif number == self._after.file and self._after.end and os.pread(fd, 1, self._after.end - 1) == b"\n":
            os.lseek(fd, self._after.end, os.SEEK_SET)


def _number_of(fd: int, directory: Path, otherwise: int) -> int:
    """Return which of all files of the log the open one is; `otherwise` if it has no name any more."""
    inode = os.fstat(fd).st_ino
    for _ in range(_TRIES):
        names = _names(directory)
        inodes = {_inode(directory / name): name for name in names}
        if names != _names(directory):
            continue  # It was rotated while we looked.
        name = inodes.get(inode)
        if name is None:
            return otherwise
        finished = [int(each.rpartition(".")[2]) for each in names if each != log_writer.CURRENT]
        return max(finished, default=0) + 1 if name == log_writer.CURRENT else int(name.rpartition(".")[2])
    return otherwise


def _names(directory: Path) -> list[str]:
    try:
        return log_writer.in_order(os.listdir(directory))
    except FileNotFoundError:
        return []


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
