"""The audit log as files: JSON lines in `audit.log`, older ones in `audit.log.1` and on.

Invariant: an entry is with the kernel when `write` returns, whole or not at all; one that cannot be written is kept
and written first once that works again, and until then `problem` says so. Of those that there was no memory to keep,
the number is on record; and who is unknown displaces no record of somebody known.
"""

import json
import logging
import os
import threading
from collections import deque
from pathlib import Path

from api.meta import Document

_log = logging.getLogger(__name__)
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MOST_KEPT = 1000
_FILES_OF_UNKNOWN = 2
_encode = json.JSONEncoder(separators=(",", ":")).encode


class AuditFile:
    """Implements `api.ports.AuditLog`; safe to use from several threads."""

    def __init__(self, path: Path, most_bytes: int, most_files: int) -> None:
        """Write to `path`, and keep so many files of so many bytes."""
        self._last_lost = ""
        self._path = path
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._problem = ""

    def write(self, entry: Document) -> None:
        """Write one entry, after those that could not be written before it."""
        with self._lock:
            if len(self._waiting) < _MOST_KEPT:
                self._waiting.append(_line(entry))
            else:  # The first that waits may be of a change; since then, nothing is changed.
                self._lost += 1
                self._last_lost = str(entry.get("time", ""))
            self._flush()

    def problem(self) -> str:
        """Return why entries cannot be written, after another try; empty if they can."""
        if self._problem:
            with self._lock:
                self._flush()
        return self._problem

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
            self._fd = None

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._append(self._waiting[0])
                self._waiting.popleft()
            if self._lost:
                self._append(_line({"time": self._last_lost, "lost": self._lost}))
                self._lost = 0
        except OSError as error:
            if not self._problem:
                _log.error("cannot write the audit log", extra={"path": str(self._path), "problem": str(error)})
            self._problem = f"{self._path}: {error.strerror}"
            return
        self._problem = ""

    def _append(self, line: bytes) -> None:
        if self._fd is not None and self._size and self._size + len(line) > self._most_bytes:
            os.close(self._fd)
            self._fd = None
            self._rotate()
        if self._fd is None:
            self._fd = os.open(self._path, _FLAGS, 0o600)
            self._size = os.fstat(self._fd).st_size
            if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":  # A host that went down cut it off.
                self._size += os.write(self._fd, b"\n")
        written = os.write(self._fd, line)
        if written != len(line):  # The disk is full: take the half line back.
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "No space left on device")
        self._size += written

    def _rotate(self) -> None:
        """Give each file the next number; the oldest is replaced. Cut short, it leaves a gap, and loses nothing."""
        for number in range(self._most_files - 1, 0, -1):
            source = self._numbered(number - 1)
            if source.exists():
                source.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class AuditFiles:
    """Implements `api.ports.AuditLog`: what known users do in one log, what is refused to unknown ones in another.

    Whoever reaches the network may make as many entries of the second kind as he likes, and rotate them out.
    """

    def __init__(self, known: Path, unknown: Path, most_bytes: int, most_files: int) -> None:
        """Write to these two, and keep so many files of so many bytes of the first."""
        self._known = AuditFile(known, most_bytes, most_files)
        self._unknown = AuditFile(unknown, most_bytes, min(most_files, _FILES_OF_UNKNOWN))

    def write(self, entry: Document) -> None:
        """Write one entry to its log."""
        (self._known if "user" in entry else self._unknown).write(entry)

    def problem(self) -> str:
        """Return why what known users do cannot be written; empty if it can."""
        return self._known.problem()

    def close(self) -> None:
        """Close both."""
        self._known.close()
        self._unknown.close()


def _line(entry: Document) -> bytes:
    return _encode(entry).encode() + b"\n"
