"""What runs hold of the host, devices or volumes say, until nothing of them is left on it; kept at hand.

What a run holds is in its record, which is stored before the run is started. Between the choice and the record it is
held here, for as long as the object is the one that the choice was made from: its record can be stored no later than
that. Whoever looks may be the first to see that a run holds something no more: whom that concerns is woken all the
same. Jobs are read anew only when they have changed: a look costs no more with many runs.
Never here: what is held, and who may have it beside whom.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.errors import Expired
from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.ports import ChangeType, Storage
from api.types.job import Job, RunState
from controller.job.run_dirs import RunDirs

T = TypeVar("T")

_MOST_CHANGES = 100  # Of more, reading the few jobs that matter is cheaper.


@dataclass(frozen=True, slots=True)
class Holding(Generic[T]):
    """What one run holds, as chosen from the object of that version; of what was on record before us it is empty."""

    uid: str
    attempt: int
    key: ObjectKey
    version: str
    what: T


class Held(Generic[T]):
    """Knows who holds what. All but `alone` is called within `alone`, which makes it safe to use from several threads.

    `freed` is what was seen to be held no more since that began.
    """

    def __init__(
        self,
        storage: Storage,
        dirs: RunDirs,
        words: Sequence[str],
        read: Callable[[Document], T | None],
        concerned: Callable[[Sequence[Holding[T]]], Iterable[ObjectKey]],
        wake: Callable[[ObjectKey], None],
        *,
        outlives_job: bool = False,
    ) -> None:
        """Runs are on record in `storage`, where jobs with `words` may hold something, and on the host in `dirs`.

        `read` returns what a run on record holds; `concerned` tells who is to know that something is held no more, and
        they are told by `wake`. What `outlives_job` is held though the job is gone, while its run's directory is there.
        """
        self._storage = storage
        self._dirs = dirs
        self._words = words
        self._read = read
        self._concerned = concerned
        self._wake = wake
        self._outlives_job = outlives_job
        self._lock = threading.Lock()
        self._jobs = _Jobs(storage)
        self._held: dict[tuple[str, int], Holding[T]] | None = None
        self.freed: list[Holding[T]] = []

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be alone in here; afterwards wake whomever it concerns that something was freed, whoever came to know it."""
        woken: tuple[ObjectKey, ...] = ()
        try:
            with self._lock:
                try:
                    yield
                finally:
                    freed, self.freed = self.freed, []
                    woken = tuple(self._concerned(freed)) if freed else ()
        finally:
            for key in woken:
                self._wake(key)

    def all(self) -> tuple[Holding[T], ...]:
        """Return what is held now."""
        held = self._loaded()
        self._jobs.look({each.key for each in held.values()})
        for run, each in tuple(held.items()):
            if not self._is_held(each):
                self.freed.append(held.pop(run))
        return tuple(held.values())

    def others(self, job: Job) -> tuple[Holding[T], ...]:
        """Return what is held now, but for what was chosen for `job` as it is."""
        own = (job.key, job.meta.resource_version)
        return tuple(each for each in self.all() if (each.key, each.version) != own)

    def known(self) -> tuple[Holding[T], ...]:
        """Return what was held when that was last looked at."""
        return tuple(self._loaded().values())

    def hold(self, job: Job, attempt: int, what: T) -> None:
        """Have run `attempt` hold this, until it is on record that it does."""
        self._loaded()[job.meta.uid, attempt] = Holding(job.meta.uid, attempt, job.key, job.meta.resource_version, what)

    def let_go(self, uid: str, attempt: int) -> bool:
        """Know that nothing of a run is left on the host; return whether that was not seen before."""
        gone = self._loaded().pop((uid, attempt), None)
        if gone is None:
            return False
        self.freed.append(gone)
        return True

    def _is_held(self, one: Holding[T]) -> bool:
        job = self._jobs.get(one.key)
        if job is None or job.uid != one.uid:
            return self._outlives_job and self._is_on_host(one)
        if job.version == one.version:
            return True
        has_ended = job.has_ended.get(one.attempt)
        if has_ended is None:
            return False  # It was never put on record, and cannot be any more; or was taken off it when it was gone.
        return not has_ended or self._is_on_host(one)

    def _is_on_host(self, one: Holding[T]) -> bool:
        return self._dirs.path(one.uid, one.attempt).exists()  # Its processes may be there.

    def _loaded(self) -> dict[tuple[str, int], Holding[T]]:
        if self._held is None:
            self._held = {(each.uid, each.attempt): each for each in self._on_record()}
        return self._held

    def _on_record(self) -> Iterator[Holding[T]]:
        for job in self._storage.each(JOB.name, words=self._words):
            uid = job["metadata"]["uid"]
            for run in job.get("status", {}).get("runs", ()):
                has_ended = run.get("state") == RunState.ENDED.value
                if has_ended and not self._dirs.path(uid, run["attempt"]).exists():
                    continue  # As most have on a host that has run jobs for long: they hold nothing.
                if (what := self._read(run)) is not None:
                    yield Holding(uid, run["attempt"], ObjectKey.of(job), "", what)


@dataclass(frozen=True, slots=True)
class _SeenJob:
    """What matters of a job: which object it is, of which version, and which of its runs on record have ended."""

    uid: str
    version: str
    has_ended: dict[int, bool]


class _Jobs:
    """Some jobs as they were at one moment, each read once for as long as it does not change."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._revision = 0
        self._seen: dict[ObjectKey, _SeenJob | None] = {}

    def look(self, keys: set[ObjectKey]) -> None:
        """Know these, and no others, as they are now."""
        if not keys:
            self._seen.clear()
            return
        newest = self._storage.revision()
        self._follow(newest)
        self._revision = newest  # What is read below may be newer: then its change is seen once more.
        self._seen = {key: self._seen[key] if key in self._seen else _seen(self._storage.get(key)) for key in keys}

    def get(self, key: ObjectKey) -> _SeenJob | None:
        """Return one of them; None if there is no such job."""
        return self._seen[key]

    def _follow(self, newest: int) -> None:
        """Know what became of them until then; forget them if that is not told, or much has happened."""
        if newest == self._revision:
            return
        if not 0 < newest - self._revision <= _MOST_CHANGES:
            self._seen.clear()
        if not self._seen:
            return
        try:
            changes = self._storage.changes(self._revision, kind=JOB.name, limit=0)
        except Expired:
            self._seen.clear()
            return
        for change in changes:
            if change.key in self._seen:
                self._seen[change.key] = None if change.type is ChangeType.DELETED else _seen(change.document)


def _seen(job: Document | None) -> _SeenJob | None:
    if job is None:
        return None
    runs = job.get("status", {}).get("runs", ())
    ended = {run["attempt"]: run.get("state") == RunState.ENDED.value for run in runs}
    return _SeenJob(job["metadata"]["uid"], job["metadata"]["resourceVersion"], ended)
