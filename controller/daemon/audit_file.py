"""The audit log as files: JSON lines in `audit.log`, older ones in `audit.log.1` and on.

Invariant: an entry is with the kernel when `write` returns, whole or not at all; one that cannot be written is kept
and written first once that works again, and until then `problem` says so.
"""

import json
import logging
import os
import threading
from collections import deque
from pathlib import Path

from api.meta import Document

_log = logging.getLogger(__name__)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MOST_KEPT = 1000
_encode = json.JSONEncoder(separators=(",", ":")).encode


class AuditFile:
    """Implements `api.ports.AuditLog`; safe to use from several threads."""

    def __init__(self, path: Path, most_bytes: int, most_files: int) -> None:
        """Write to `path`, and keep so many files of so many bytes."""
        self._path = path
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._size = 0
        self._waiting: deque[bytes] = deque(maxlen=_MOST_KEPT)
        self._problem = ""

    def write(self, entry: Document) -> None:
        """Write one entry, after those that could not be written before it."""
        with self._lock:
            self._waiting.append(_encode(entry).encode() + b"\n")
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
