"""Tells users what happens to their objects: Events, written aside so that nobody waits for them.

Events are a courtesy: they are bounded in memory and in number, and one that cannot be written is
logged and dropped. Nothing may depend on one. How long they are kept is the store's business.

Source: client-go tools/record, events_cache.go: 25 events at once for an object, then one in 300 s.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from prometheus_client import Counter

from api.errors import AlreadyExists, Conflict, NotFound
from api.meta import Document
from api.model import Resource
from api.ports import Storage
from controller.engine import events
from controller.engine.clock import Clock
from controller.engine.events import Also, EventType, Saying
from controller.engine.log import keys

__all__ = ["EventType", "Recorder"]

_log = logging.getLogger(__name__)
_MOST_PENDING = 1000
_BURST = 25.0
_TOKENS_A_SECOND = 1.0 / 300.0
_MOST_BUCKETS = 4096
_SETTLE_SECONDS = 0.1  # What is said meanwhile is written after the launch that it is about, in one go.
_MOST_TRIES = 3


class EventResult(StrEnum):
    """What became of an event."""

    WRITTEN = "written"
    COUNTED = "counted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class _Pending:
    count: int
    first: datetime
    last: datetime


class Recorder:
    """Records events from any thread; one thread of its own writes them."""

    def __init__(
        self, storage: Storage, clock: Clock, counter: Counter, component: str = "runwrightd", host: str = ""
    ) -> None:
        """Write to `storage`; `counter` has the label `result`."""
        self._storage = storage
        self._clock = clock
        self._counts = {result: counter.labels(result.value) for result in EventResult}
        self._component = component
        self._host = host
        self._pending: OrderedDict[Saying, _Pending] = OrderedDict()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # uid: tokens, as of when.
        self._condition = threading.Condition()
        self._writing = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="event-recorder", daemon=True)

    def record(self, obj: Document | Resource, type_: str, reason: str, message: str, also: Also | None = None) -> None:
        """Say `message` about `obj`, and about `also`; `reason` is one CamelCase word.

        Never waits, never raises for the store.
        """
        said = events.saying(obj, type_, reason, message, also)
        now = self._clock.now()
        with self._condition:
            before = self._pending.get(said)
            if before is not None:
                self._pending[said] = replace(before, count=before.count + 1, last=now)
            elif len(self._pending) >= _MOST_PENDING:
                self._counts[EventResult.DROPPED].inc()
            else:
                self._pending[said] = _Pending(1, now, now)
                if len(self._pending) == 1:
                    self._condition.notify()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is pending and end the thread."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write what is pending now, in the caller's thread."""
        with self._writing:
            with self._condition:
                batch, self._pending = self._pending, OrderedDict()
            allowed = {said: pending for said, pending in batch.items() if self._has_token(said.uid or said.name)}
            news = self._write_news(allowed)
            for said, pending in batch.items():
                result = EventResult.DROPPED
                if said in allowed:
                    result = EventResult.WRITTEN if said in news else self._write(said, pending)
                self._counts[result].inc(pending.count)

    def _write_news(self, allowed: Mapping[Saying, _Pending]) -> frozenset[Saying]:
        """Write, all in one go, what was not said before; return which that was. What is left, others write."""
        first = [self._first(said, pending) for said, pending in allowed.items()]
        try:
            outcomes = self._storage.create_all(first)
        except Exception:  # noqa: BLE001 -- each is tried by itself next, and told of.
            return frozenset()
        return frozenset(said for said, made in zip(allowed, outcomes, strict=True) if not isinstance(made, Exception))

    def _first(self, said: Saying, pending: _Pending) -> Document:
        return events.event(said, pending.count, pending.first, pending.last, self._component, self._host)

    def _write(self, said: Saying, pending: _Pending) -> EventResult:
        for _ in range(_MOST_TRIES):
            try:
                return self._store(said, pending)
            except (Conflict, AlreadyExists, NotFound):
                continue  # Another writer was between our read and our write.
            except Exception:  # noqa: BLE001 -- an event is a courtesy: whatever the store has against it, work goes on.
                _log.exception("cannot record an event", extra=keys(event=said.key, reason=said.reason))
                break
        return EventResult.DROPPED

    def _store(self, said: Saying, pending: _Pending) -> EventResult:
        existing = self._storage.get(said.key)
        if existing is None:
            self._storage.create(self._first(said, pending))
            return EventResult.WRITTEN
        self._storage.update(events.counted_again(existing, pending.count, pending.last))
        return EventResult.COUNTED

    def _has_token(self, who: str) -> bool:
        now = self._clock.monotonic()
        tokens, since = self._buckets.pop(who, (_BURST, now))
        tokens = min(_BURST, tokens + (now - since) * _TOKENS_A_SECOND)
        self._buckets[who] = (max(tokens - 1.0, 0.0) if tokens >= 1.0 else tokens, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return tokens >= 1.0

    def _run(self) -> None:
        while not self._is_stopped:
            self._wait()
            self.flush()

    def _wait(self) -> None:
        with self._condition:
            if not self._pending and not self._is_stopped:
                self._condition.wait()
            if not self._is_stopped:
                self._condition.wait(_SETTLE_SECONDS)
