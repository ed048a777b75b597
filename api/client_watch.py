"""Watching and waiting: list, then watch from there, and go on after a break without losing a change.

Here: the watch that resumes, and waiting for a fact about one object. Never here: rendering.
Invariant: whatever breaks meanwhile, the last state of every object is seen at least once.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from api.client import TABLE, Client, Selection
from api.client_paths import field_selector, path_of_all
from api.client_transport import Silence, Unreachable, error_of
from api.errors import Expired
from api.kinds import Kind
from api.meta import Document

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
GIVE_UP_AFTER_SECONDS = 30.0


class TimedOut(Exception):
    """What was waited for did not come in time."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change: ADDED, MODIFIED or DELETED, and the object (or its one-row Table) after it."""

    type: str
    document: Document


class Watch:
    """One watch of a kind: iterate over it, from the state at its start on, for ever.

    A broken connection is made again and the watch goes on where it was; when the server has
    forgotten that place, everything is listed again, as ADDED, and what vanished meanwhile as DELETED.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str | None,
        selection: Selection | None = None,
        *,
        tables: bool = False,
        deadline: float | None = None,
    ) -> None:
        """Watch `kind`; `deadline` is a time of the monotonic clock at which `TimedOut` is raised."""
        self._client, self._kind = client, kind
        self._path = path_of_all(kind, namespace)
        self._namespace, self._selection = namespace, selection or Selection()
        self._accept = TABLE if tables else "application/json"
        self._tables = tables
        self._deadline = deadline
        self._revision = ""
        self._known: dict[str, Document] = {}

    def __iter__(self) -> Iterator[WatchEvent]:
        """Yield what is there as ADDED, then every change; raises as `changes` does."""
        yield from self.begin()
        yield from self.changes()

    def begin(self) -> list[WatchEvent]:
        """Return what is there now; `changes` goes on from here. Raises Unreachable, ApiError."""
        return list(self._relist())

    def changes(self) -> Iterator[WatchEvent]:
        """Yield every change since `begin`, until the client is closed.

        Raises:
            TimedOut: the deadline passed.
            Unreachable: the server did not come back in half a minute.
            ApiError: the server refused.
        """
        pause, lost_at, forgotten = FIRST_PAUSE_SECONDS, 0.0, False
        while not self._client.closed.is_set():
            self._check_deadline()
            try:
                for event in self._relist() if forgotten else self._stream():
                    pause, lost_at = FIRST_PAUSE_SECONDS, 0.0
                    yield event
                forgotten = False
                self._pause(FIRST_PAUSE_SECONDS)
            except Expired:
                forgotten = True
            except Silence:
                continue
            except Unreachable:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > GIVE_UP_AFTER_SECONDS or self._client.closed.is_set():
                    raise
                self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _relist(self) -> Iterator[WatchEvent]:
        if self._tables:
            listing = self._client.table(self._kind, self._namespace, selection=self._selection)
            self._revision = listing.get("metadata", {}).get("resourceVersion", "")
            yield WatchEvent("ADDED", listing)
            return
        listing = self._client.list(self._kind, self._namespace, self._selection)
        self._revision = listing["metadata"]["resourceVersion"]
        gone, self._known = self._known, {_identity(item): item for item in listing["items"]}
        for identity, item in gone.items():
            if identity not in self._known:
                yield WatchEvent("DELETED", item)
        for item in listing["items"]:
            yield WatchEvent("ADDED", item)

    def _stream(self) -> Iterator[WatchEvent]:
        params = self._selection.params() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._revision,
        }
        silence = None if self._deadline is None else max(0.01, self._deadline - time.monotonic())
        with self._client.transport.stream(
            self._path, params=params, accept=self._accept, silence_seconds=silence
        ) as chunks:
            for line in _lines(chunks):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_of(event["object"].get("code", 500), json.dumps(event["object"]).encode())
                yield from self._take(event["type"], event["object"])
                self._check_deadline()

    def _take(self, type_: str, document: Document) -> Iterator[WatchEvent]:
        self._revision = _revision_of(document) or self._revision
        if type_ == "BOOKMARK":
            return
        if not self._tables:
            if type_ == "DELETED":
                self._known.pop(_identity(document), None)
            else:
                self._known[_identity(document)] = document
        yield WatchEvent(type_, document)

    def _pause(self, seconds: float) -> None:
        left = seconds if self._deadline is None else min(seconds, max(0.0, self._deadline - time.monotonic()))
        self._client.closed.wait(left)

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimedOut("timed out")


def wait_for(
    client: Client,
    kind: Kind,
    namespace: str,
    name: str,
    *,
    until: Callable[[Document | None], bool],
    timeout_seconds: float | None,
) -> Document | None:
    """Return the object as soon as `until(object)` holds; `until` is given None while there is none.

    Raises:
        TimedOut: it did not come true within `timeout_seconds`; None waits for ever.
        BadName: it is not named.
        Whatever `until` raises.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    watch = Watch(client, kind, namespace, Selection(fields=field_selector(kind, name)), deadline=deadline)
    present = [event.document for event in watch.begin()]
    seen: Document | None = present[0] if present else None
    if until(seen):
        return seen
    for event in watch.changes():
        seen = None if event.type == "DELETED" else event.document
        if until(seen):
            return seen
    raise AssertionError("unreachable: a watch does not end")


def condition(document: Document, type_: str) -> Document | None:
    """Return the condition of that type, whatever its case, if it is about the present generation."""
    status = document.get("status", {})
    for found in status.get("conditions", ()):
        stale = found.get("observedGeneration", 0) and found["observedGeneration"] < document["metadata"].get(
            "generation", 0
        )
        if found.get("type", "").lower() == type_.lower() and not stale:
            return dict(found)
    return None


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        raise Unreachable("cannot go on watching: the connection broke in the middle of an event: try again")


def _identity(document: Document) -> str:
    metadata: dict[str, Any] = document["metadata"]
    return str(metadata.get("uid") or f"{metadata.get('namespace', '')}/{metadata['name']}")


def _revision_of(document: Document) -> str:
    if document.get("kind") == "Table":
        rows = document.get("rows") or [{}]
        row = rows[-1].get("object", {}).get("metadata", {})
        return str(row.get("resourceVersion") or document.get("metadata", {}).get("resourceVersion", ""))
    return str(document.get("metadata", {}).get("resourceVersion", ""))
