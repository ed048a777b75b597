"""Which jobs wait for which, kept at hand: so that the end of one wakes the others at once, without a look at all jobs.

It learns of each job when that is looked at, before those are that it waits for, and forgets what was deleted: an end
either wakes the waiter or is seen by it. Never here: what a job may wait for, and whether it was met (`after.py`).
"""

import threading
from collections import defaultdict
from collections.abc import Callable

from api import cycles
from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType, Storage
from api.types.job import Reason
from api.types.job_after import AfterState, outcome

_CYCLE = Reason.DEPENDENCY_CYCLE.value
_WORDS = ('"after":[{',)


class Waiters:
    """Safe to use from several threads."""

    def __init__(self, get: Callable[[ObjectKey], Document | None]) -> None:
        """Read jobs with `get`."""
        self._get = get
        self._lock = threading.Lock()
        self._awaited: dict[ObjectKey, frozenset[ObjectKey]] = {}
        self._waiters: dict[ObjectKey, set[ObjectKey]] = defaultdict(set)

    def start_over(self, storage: Storage) -> None:
        """Learn of all jobs there are."""
        for job in storage.each(JOB.name, words=_WORDS):
            self.learn(job)

    def learn(self, job: Document) -> None:
        """Note what a job waits for; of one that has ended, but for a cycle, or is being deleted, that is nothing."""
        self._note(ObjectKey.of(job), awaited_by(job))

    def changed(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return the jobs that a change of a job matters to, as they wait for that."""
        if change.key.kind != JOB.name:
            return ()
        if change.type is ChangeType.DELETED:
            self._note(change.key, frozenset())
        waiting = self.of(change.key)
        if waiting and change.previous is not None and change.type is not ChangeType.DELETED:
            return waiting if _told(change.previous) != _told(change.document) else ()  # Its end is all they wait for.
        return waiting

    def of(self, key: ObjectKey) -> tuple[ObjectKey, ...]:
        """Return the jobs that wait for this one."""
        with self._lock:
            return tuple(sorted(self._waiters.get(key, ())))

    def is_awaited(self, key: ObjectKey) -> bool:
        """Whether a job that is there waits for this one, and has not noted how it ended."""
        return any(key in awaited_by(job) for job in map(self._get, self.of(key)) if job is not None)

    def cycle(self, key: ObjectKey) -> tuple[str, ...]:
        """Return the jobs that wait for each other with this one, from it back to it; mostly there are none."""
        while names := self._cycle(key):
            stale = [each for each in (_sibling(key, name) for name in names[:-1]) if not self._is_still(each)]
            if not stale:
                return names
        return ()

    def _cycle(self, key: ObjectKey) -> tuple[str, ...]:
        with self._lock:
            if not self._waiters.get(key):
                return ()  # Which is so of most jobs, and costs nothing.
            return cycles.through(
                key.name, lambda name: sorted(each.name for each in self._awaited.get(_sibling(key, name), ()))
            )

    def _is_still(self, key: ObjectKey) -> bool:
        """Whether what is noted of a job is so; it is from now on."""
        with self._lock:
            noted = self._awaited.get(key, frozenset())
        job = self._get(key)
        now = awaited_by(job) if job is not None else frozenset[ObjectKey]()
        self._note(key, now)
        return now == noted

    def _note(self, key: ObjectKey, awaited: frozenset[ObjectKey]) -> None:
        with self._lock:
            for other in self._awaited.pop(key, frozenset()) - awaited:
                self._waiters[other].discard(key)
                if not self._waiters[other]:
                    del self._waiters[other]
            if awaited:
                self._awaited[key] = awaited
            for other in awaited:
                self._waiters[other].add(key)


def awaited_by(job: Document) -> frozenset[ObjectKey]:
    """Return the jobs that a job waits for: those of its `spec.after` that are not met so far."""
    status, metadata = job.get("status", {}), job["metadata"]
    if "deletionTimestamp" in metadata or _is_over(status, metadata):
        return frozenset()
    met = {(each["job"], each["condition"]) for each in status.get("after", ()) if each["state"] == AfterState.MET}
    wanted = job.get("spec", {}).get("after") or ()
    names = [each["job"] for each in wanted if (each["job"], each.get("condition", "Complete")) not in met]
    return frozenset(_sibling(ObjectKey.of(job), name) for name in names)


def _is_over(status: Document, metadata: Document) -> bool:
    """Whether it has ended for good; one of a cycle tells the others of it for as long as it is one."""
    has_ended = status.get("phase") in ("Succeeded", "Failed")
    is_seen = status.get("observedGeneration") == metadata.get("generation")
    return has_ended and is_seen and status.get("reason") != _CYCLE


def _told(job: Document) -> tuple[object, ...]:
    return job["metadata"].get("uid"), outcome(job), job.get("status", {}).get("reason") == _CYCLE


def _sibling(key: ObjectKey, name: str) -> ObjectKey:
    return ObjectKey(JOB.name, key.namespace, name)
