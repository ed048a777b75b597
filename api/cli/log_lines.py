"""A log as JSON: a document for each line, with its pod, its stream, when it was, and what. Several logs, one output.

Invariant: each line that was written is one document, whatever bytes it has and whatever came between its parts; what
is no UTF-8 in it becomes U+FFFD.
"""

import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from api.cli import run_log
from api.client import LogRequest

_PIECE = re.compile(rb"(\S+) (stdout|stderr) ([FP]) (.*)", re.DOTALL)
_TIMED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) (.*)", re.DOTALL)


def request_of(request: LogRequest) -> LogRequest:
    """Return the request that is made for it: each piece is to say when it was and of which stream."""
    return replace(request, cri=True, timestamps=True)  # A daemon that cannot tell the streams tells times.


class JsonLines:
    """What writes each line of several logs as a document."""

    def __init__(self, write: run_log.Write, stream: str = "") -> None:
        """Write with `write`; `stream` is which one was asked for, empty is both."""
        self._write = write
        self._stream = stream
        self._lock = threading.Lock()

    def of(self, pod: str) -> run_log.Copy:
        """Return the copy that one log goes to."""
        log = _OneLog(pod, self._stream, self._put)
        return run_log.in_lines(log.take, log.end)

    def _put(self, text: str) -> None:
        with self._lock:
            self._write(text.encode())


class _OneLog:
    """The documents of one run's log; a line that comes in parts is told when its last one is here."""

    def __init__(self, pod: str, stream: str, put: Callable[[str], None]) -> None:
        self._pod, self._stream, self._put = pod, stream, put
        self._open: dict[str, tuple[str, list[bytes]]] = {}

    def take(self, lines: list[bytes]) -> None:
        """Tell what these complete."""
        if text := "".join(map(self._told, lines)):
            self._put(text)

    def end(self) -> None:
        """Tell what no end came of."""
        for stream in [*self._open]:
            self._put(self._close(stream))

    def _told(self, line: bytes) -> str:
        piece = _PIECE.fullmatch(line)
        if piece is None:
            timed = _TIMED.fullmatch(line)
            return self._document(self._stream, timed[1].decode() if timed else "", timed[2] if timed else line)
        stream = piece[2].decode()
        self._open.setdefault(stream, (piece[1].decode(errors="replace"), []))[1].append(piece[4])
        return self._close(stream) if piece[3] == b"F" else ""

    def _close(self, stream: str) -> str:
        time, parts = self._open.pop(stream)
        return self._document(stream, time, b"".join(parts))

    def _document(self, stream: str, time: str, line: bytes) -> str:
        about = {"pod": self._pod, "stream": stream, "time": time}
        told = {name: text for name, text in about.items() if text} | {"line": line.decode(errors="replace")}
        return f"{json.dumps(told)}\n"


def to_stdout(stream: str = "") -> JsonLines:
    """Return lines that go to standard output."""
    return JsonLines(run_log.writer(sys.stdout.buffer), stream)
