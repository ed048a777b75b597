"""A log as JSON: a document for each line, with the pod that wrote it, when, and what. Several logs, one output.

Invariant: each line that was written is one document, whatever bytes it has; what is no UTF-8 in it becomes U+FFFD.
"""

import json
import re
import sys
import threading
from dataclasses import replace

from api.cli import run_log
from api.client import LogRequest

_TIMED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) (.*)", re.ASCII | re.DOTALL)


def request_of(request: LogRequest) -> LogRequest:
    """Return the request that is made for it: each line is to say when it was."""
    return replace(request, timestamps=True)


class JsonLines:
    """What writes each line of several logs as a document."""

    def __init__(self, write: run_log.Write, stream: str = "") -> None:
        """Write with `write`; all lines are of `stream`, or of both if it is empty."""
        self._write = write
        self._stream = stream
        self._lock = threading.Lock()

    def of(self, pod: str) -> run_log.Copy:
        """Return the copy that one log goes to."""
        return run_log.in_lines(lambda lines: self._put(pod, lines))

    def _put(self, pod: str, lines: list[bytes]) -> None:
        text = "".join(f"{json.dumps(self._document(pod, line))}\n" for line in lines)
        with self._lock:
            self._write(text.encode())

    def _document(self, pod: str, line: bytes) -> dict[str, str]:
        text = line.decode(errors="replace")
        timed = _TIMED.fullmatch(text)
        about = {"pod": pod} | ({"stream": self._stream} if self._stream else {})
        return about | ({"time": timed[1], "line": timed[2]} if timed else {"line": text})


def to_stdout(stream: str = "") -> JsonLines:
    """Return lines that go to standard output."""
    return JsonLines(run_log.writer(sys.stdout.buffer), stream)
