"""A run's log as server-sent events: one event a line, and the run's exit code at the end.

Each event has an id; who was cut off sends the last one back as Last-Event-ID, and the log goes on after it.
A line that is long comes in parts, as events called `part`. The last event is called `end`, and a client that sends
its id back is told that there is nothing more (204), which is what stops a browser from asking again.
Source: HTML, "Server-sent events".
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from api.errors import NotFound
from api.http import answers
from api.http.feed import Threads
from api.meta import Document
from api.ports import LogRecord

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
END_ID = "end"

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_RETRY_MILLISECONDS = 1000
_MOST_AT_ONCE = 500
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def are_wanted(request: Request) -> bool:
    """Whether the client asks for events rather than for text."""
    kinds = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return MEDIA_TYPE in kinds


def last_id(request: Request) -> str:
    """Return the id of the last event that the client has; empty if it begins."""
    return request.headers.get("last-event-id", "").strip()


def nothing_more() -> Response:
    """Return the answer to a client that has the end already."""
    return Response(status_code=204)


def follows(request: Request) -> bool:
    """Whether to wait for more: who listens for events does, unless it says otherwise."""
    return "follow" not in request.query_params


@dataclass(frozen=True, slots=True)
class Telling:
    """What a stream of events is made of: the records, and what says in the end how the run ended."""

    records: Iterator[LogRecord | None]
    timestamps: bool
    stopped: threading.Event
    pod: Callable[[], Document]


async def answer(threads: Threads, telling: Telling) -> Response:
    """Return the stream, read in `threads`.

    Raises:
        ApiError: as reading the first records does.
    """
    first = await threads.call(_take, telling.records)
    return answers.Stream(_events(threads, telling, first), MEDIA_TYPE, _HEADERS)


class _Taken(NamedTuple):
    records: list[LogRecord]
    is_all: bool


def _take(records: Iterator[LogRecord | None]) -> _Taken:
    """Return the next records, as many as come without waiting."""
    taken: list[LogRecord] = []
    for record in records:
        if record is None:
            return _Taken(taken, is_all=False)
        taken.append(record)
        if len(taken) == _MOST_AT_ONCE:
            return _Taken(taken, is_all=False)
    return _Taken(taken, is_all=True)


async def _events(threads: Threads, telling: Telling, first: _Taken) -> AsyncGenerator[bytes, None]:
    clock = asyncio.get_running_loop().time
    beat_at = clock() + HEARTBEAT_SECONDS
    taken = first
    try:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        while True:
            if taken.records:
                yield b"".join(event(record, timestamps=telling.timestamps) for record in taken.records)
                beat_at = clock() + HEARTBEAT_SECONDS
            elif clock() >= beat_at:
                yield b": heartbeat\n\n"
                beat_at = clock() + HEARTBEAT_SECONDS
            if taken.is_all:
                break
            taken = await threads.call(_take, telling.records)
        try:
            pod = await threads.call(telling.pod)
        except NotFound:
            return  # Its job was deleted meanwhile, and how it ended with it.
        yield end(pod)
    finally:
        telling.stopped.set()
        if isinstance(telling.records, Generator):
            with contextlib.suppress(ValueError):  # It is being executed, and sees by itself that it is to stop.
                telling.records.close()


def event(record: LogRecord, *, timestamps: bool) -> bytes:
    """Return one record as an event; what is no UTF-8 in it becomes a replacement character.

    >>> event(LogRecord("1.30", "2026-01-02T03:04:05Z", b"hello", whole=True), timestamps=False)
    b'id: 1.30\\ndata: hello\\n\\n'
    """
    text = record.text.decode(errors="replace")
    if timestamps:
        text = f"{record.time} {text}"
    name = "" if record.whole else "event: part\n"
    lines = "".join(f"data: {line}\n" for line in _LINE_ENDS.split(text))
    return f"id: {record.place}\n{name}{lines}\n".encode()


def end(pod: Document) -> bytes:
    """Return the last event: how the run ended; empty where it has not."""
    ended = pod["status"]["containerStatuses"][0]["state"].get("terminated")
    if ended is None:
        return b""
    told = {name: ended[name] for name in ("exitCode", "reason", "signal", "message", "finishedAt") if name in ended}
    return f"id: {END_ID}\nevent: end\ndata: {json.dumps(told)}\n\n".encode()
