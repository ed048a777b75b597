"""Copying a run's log to this process's output, and going on after a break where it was.

A log that is read from its start is the same each time, so after a break what was already written is
skipped by counting bytes. Never here: which run.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, Protocol

from api.client import Client, LogRequest
from api.client_transport import Unreachable
from api.client_watch import FIRST_PAUSE_SECONDS, GIVE_UP_AFTER_SECONDS, LONGEST_PAUSE_SECONDS

Write = Callable[[bytes], None]


def writer(stream: BinaryIO) -> Write:
    """Return what writes to `stream` and flushes, so that a reader sees each line when it comes."""

    def write(chunk: bytes) -> None:
        stream.write(chunk)
        stream.flush()

    return write


def to_stdout() -> "Copy":
    """Return a copy that goes to standard output."""
    return Copy(writer(sys.stdout.buffer))


def to_stderr() -> "Copy":
    """Return a copy that goes to standard error."""
    return Copy(writer(sys.stderr.buffer))


class Copy:
    """One log on its way to one output; what two readers of it bring is written once."""

    def __init__(self, write: Write, end: Callable[[], None] = lambda: None) -> None:
        """Write with `write`; when there is no more, call `end`."""
        self._write = write
        self._end = end
        self._lock = threading.Lock()
        self.written = 0

    def end(self) -> None:
        """Know that there is no more."""
        with self._lock:
            self._end()

    def take(self, offset: int, chunk: bytes) -> None:
        """Write what of `chunk`, which is at `offset` of the log, was not written yet."""
        with self._lock:
            fresh = chunk[max(0, self.written - offset) :]
            if fresh:
                self._write(fresh)
                self.written += len(fresh)


def in_lines(put: Callable[[list[bytes]], None], ended: Callable[[], None] = lambda: None) -> Copy:
    """Return a copy that gives whole lines to `put`, without their ends; the last need not have one. Then `ended`."""
    rest = b""

    def write(chunk: bytes) -> None:
        nonlocal rest
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            put(whole)

    def end() -> None:
        nonlocal rest
        if rest:
            put([rest])
        rest = b""
        ended()

    return Copy(write, end)


class Output(Protocol):
    """Where several logs go together; safe to use from several threads."""

    def of(self, pod: str) -> Copy:
        """Return the copy that the log of one pod goes to."""
        ...


def copy(client: Client, namespace: str, pod: str, request: LogRequest, out: Copy) -> None:
    """Copy a log until its end; when following, until the run's end, whatever breaks meanwhile.

    Raises:
        ApiError: there is no such log.
        Unreachable: the server did not come back, or what was asked for cannot be taken up again.
    """
    pause, lost_at = FIRST_PAUSE_SECONDS, 0.0
    resumable = request.follow and request.tail_lines is None and request.since_seconds is None
    while True:
        try:
            with client.logs(namespace, pod, request) as chunks:
                offset = 0
                for chunk in chunks:
                    lost_at, pause = 0.0, FIRST_PAUSE_SECONDS
                    out.take(offset, chunk)
                    offset += len(chunk)
            return
        except Unreachable:
            lost_at = lost_at or time.monotonic()
            if not resumable or client.closed.is_set() or time.monotonic() - lost_at > GIVE_UP_AFTER_SECONDS:
                raise
            client.closed.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
