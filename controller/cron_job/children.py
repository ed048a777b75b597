"""Which jobs are whose: the names of each CronJob's jobs, kept up from the journal.

Names alone are remembered, and whoever asks looks at the jobs themselves. Invariant: no job of a CronJob is missing for
longer than it takes to read the journal on; a name that stands for nothing by now costs a look.
"""

import threading
from collections import defaultdict

from api.conditions import ConditionStatus
from api.kinds import CRON_JOB, JOB
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType, Storage
from controller.engine.clock import Clock

_READ_AGAIN_SECONDS = 600.0
_WORDS = (f'"{CRON_JOB.name}"',)


class Children:
    """Remembers; safe to use from several threads."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        """Read `storage` when first asked, and now and then, should a part of the journal have been missed."""
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, set[ObjectKey]] = defaultdict(set)
        self._read_at: float | None = None

    def of(self, uid: str) -> tuple[ObjectKey, ...]:
        """Return the keys of the jobs of the CronJob with that uid, in order."""
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now >= self._read_at + _READ_AGAIN_SECONDS:
                self._keys = self._read()
                self._read_at = now
            return tuple(sorted(self._keys.get(uid, ())))

    def woken(self, change: Change) -> tuple[ObjectKey, ...]:
        """Learn from the change of a job; return the CronJob that it may matter to."""
        owner = owner_of(change.document)
        if owner is None:
            return ()
        uid, name = owner
        with self._lock:
            if change.type is ChangeType.DELETED:
                self._forget(uid, change.key)
            else:
                self._keys[uid].add(change.key)
        return (ObjectKey(CRON_JOB.name, change.key.namespace, name),) if _is_news(change) else ()

    def _read(self) -> dict[str, set[ObjectKey]]:
        found: dict[str, set[ObjectKey]] = defaultdict(set)
        for job in self._storage.each(JOB.name, words=_WORDS):
            if owner := owner_of(job):
                found[owner[0]].add(ObjectKey.of(job))
        return found

    def _forget(self, uid: str, key: ObjectKey) -> None:
        self._keys[uid].discard(key)
        if not self._keys[uid]:
            del self._keys[uid]


def owner_of(job: Document) -> tuple[str, str] | None:
    """Return uid and name of the CronJob that a job is of, if it is of one."""
    for reference in job["metadata"].get("ownerReferences") or ():
        if reference.get("kind") == CRON_JOB.name and reference.get("controller"):
            return str(reference.get("uid", "")), str(reference.get("name", ""))
    return None


def ending(job: Document) -> str:
    """Return Complete or Failed of a job that has ended, empty of one that has not."""
    said = job.get("status", {}).get("conditions") or ()
    true = ConditionStatus.TRUE.value
    return next((c["type"] for c in said if c["type"] in ("Complete", "Failed") and c["status"] == true), "")


def _is_news(change: Change) -> bool:
    """Whether a job came, went, ended or runs again: how its run goes is no news."""
    if change.type is not ChangeType.MODIFIED or change.previous is None:
        return True
    return ending(change.previous) != ending(change.document)
