"""Which runtimes the jobs that have not ended ask for, kept at hand: nobody has to look at all jobs for each pass.

It is told of each change of a job, and looks at all of them now and then, for what it may have missed.
"""

import threading
from collections import Counter
from collections.abc import Iterable

from api import runtime_spec
from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType, Storage
from controller.engine.clock import Clock
from controller.runtime.users import released_by

LOOK_SECONDS = 600.0
_WORDS = ('"runtime"', '"resolvedRuntime"')

Ask = tuple[str | None, str]
"""The name of a runtime, None for any of a language, and the entry of its spec.versions."""


class JobAsks:
    """Safe to use from several threads."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        """Look at the jobs in `storage`; `clock` says when again."""
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._asks: dict[ObjectKey, frozenset[Ask]] = {}
        self._count: Counter[Ask] = Counter()
        self._changed: set[ObjectKey] = set()

    def changed(self, change: Change) -> tuple[ObjectKey, ...]:
        """Note what a job that changed asks for now; return the runtimes that it set free, or asks for no more."""
        is_there = change.type is not ChangeType.DELETED
        with self._lock:
            self._note(change.key, asks_of(change.document) if is_there else frozenset())
            self._changed.add(change.key)
        return released_by(change)

    def unwanted(self, name: str, entries: Iterable[str]) -> tuple[str, ...]:
        """Return those of `entries`, of spec.versions of the runtime `name`, that no job asks for."""
        self._look_now_and_then()
        with self._lock:
            return tuple(each for each in entries if not (self._count[name, each] or self._count[None, each]))

    def _look_now_and_then(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now - self._looked_at < LOOK_SECONDS:
                return
            self._changed.clear()
        seen = {ObjectKey.of(job): asks_of(job) for job in self._storage.each(JOB.name, words=_WORDS)}
        with self._lock:
            self._looked_at = now
            for key in self._asks.keys() | seen.keys():
                if key not in self._changed:  # Of those it was told something newer.
                    self._note(key, seen.get(key, frozenset()))

    def _note(self, key: ObjectKey, asks: frozenset[Ask]) -> None:
        before = self._asks.pop(key, frozenset())
        if asks:
            self._asks[key] = asks
        self._count.subtract(before - asks)
        self._count.update(asks - before)
        for ask in before - asks:
            if not self._count[ask]:
                del self._count[ask]


def asks_of(job: Document) -> frozenset[Ask]:
    """Return what a job asks for; nothing once it has ended."""
    status = job.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed") or "deletionTimestamp" in job["metadata"]:
        return frozenset()
    said = filter(None, (job["spec"].get("runtime"), status.get("resolvedRuntime")))
    specs = [runtime_spec.parse(text) for text in said]
    return frozenset((spec.name, spec.wanted) for spec in specs)
