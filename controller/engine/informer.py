"""List, then watch: turns changes in the store into keys to look at. It caches nothing.

At start, after a gap in the journal, and once in a while as a backstop, every object is listed. In
between only changes count that a reconciler could act on: its own status writes wake nobody, or it
would never rest.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from api.errors import Expired
from api.meta import ObjectKey
from api.ports import Change, ChangeType, Storage
from controller.engine.backoff import Backoff
from controller.engine.clock import Clock
from controller.engine.log import keys

_log = logging.getLogger(__name__)
_WATCHED_METADATA = ("labels", "annotations", "ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds")
_LOOK_ANYWAY_SECONDS = 5.0  # A wake-up is only a hint.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """Changes of one kind, and the keys that each makes due."""

    kind: str
    keys: Callable[[Change], Iterable[ObjectKey]]


def own_keys(finalizer: str | None) -> Callable[[Change], Iterable[ObjectKey]]:
    """Return the keys that changes of a kind make due for its own controller."""
    return lambda change: (change.key,) if matters(change, finalizer) else ()


def matters(change: Change, finalizer: str | None) -> bool:
    """Whether a reconciler could have anything to do about `change`. Pure.

    Not for status and managedFields alone, nor for finalizers, unless its own was taken away.
    """
    if change.type is not ChangeType.MODIFIED or change.previous is None:
        return True
    old, new = change.previous["metadata"], change.document["metadata"]
    if old.get("uid") != new.get("uid") or old.get("generation") != new.get("generation"):
        return True
    lost = finalizer in old.get("finalizers", ()) and finalizer not in new.get("finalizers", ())
    return lost or any(old.get(name) != new.get(name) for name in _WATCHED_METADATA)


def _due(source: Source, change: Change) -> Iterable[ObjectKey]:
    """Return the keys that a change makes due; a change that its source cannot tell of holds up no other."""
    try:
        return tuple(source.keys(change))
    except Exception:  # noqa: BLE001 -- whatever is wrong with one object, the others go on.
        _log.exception("cannot say what a change makes due: it is looked at with the next listing")
        return ()


class Informer:
    """Feeds a queue from the store, in a thread of its own."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        kind: str,
        sources: Sequence[Source],
        enqueue: Callable[[ObjectKey], None],
        resync: Callable[[ObjectKey], None] | None = None,
        resync_seconds: float = 600.0,
        chance: Callable[[], float] | None = None,
        rest_seconds: float = 0.0,
    ) -> None:
        """List objects of `kind`, watch `sources`; `resync` takes the keys of the periodic listing.

        After each look it rests for `rest_seconds`, and then reads what was written meanwhile in one go.
        """
        self._rest_seconds = rest_seconds
        self._storage = storage
        self._clock = clock
        self._kind = kind
        self._sources = sources
        self._kinds = frozenset(source.kind for source in sources)
        self._enqueue = enqueue
        self._resync = resync or enqueue
        self._resync_seconds = resync_seconds
        self._chance = chance or Random().random
        self._seen: int | None = None  # The newest revision that was dealt with; None: list first.
        self._resync_at = 0.0
        self._head_at = 0.0
        self._condition = threading.Condition()
        self._is_woken = False
        self._is_stopped = False
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{kind.lower()}-informer", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_alive(self) -> bool:
        """Whether it is watching."""
        return self._thread.is_alive()

    def is_synced(self) -> bool:
        """Whether every object that was there at the start was enqueued."""
        return self._synced.is_set()

    def wake(self) -> None:
        """Look for changes now. Quick, never raises: the store calls it after each commit."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def step(self) -> float:
        """Enqueue what is due now; return in how many seconds to look again if nobody wakes us."""
        now = self._clock.monotonic()
        if self._seen is not None:
            try:
                self._seen = self._watch(self._seen)
            except Expired:
                self._seen = None  # Changes were compacted away before we read them: list again.
        if self._seen is None:
            self._seen = self._list(self._enqueue)
            self._plan_resync(now)
            self._synced.set()
        elif now >= self._resync_at:
            self._list(self._resync)
            self._plan_resync(now)
        return min(_LOOK_ANYWAY_SECONDS, max(self._resync_at - now, 0.0))

    def _watch(self, seen: int) -> int:
        """Deal with the changes after `seen`; return the revision up to which there are no others."""
        head = self._head(seen)
        while True:
            changes = self._storage.changes(seen, kind=self._kinds, limit=_PAGE)
            for change in changes:
                for source in self._sources:
                    if source.kind == change.key.kind:
                        self._enqueue_all(_due(source, change))
            seen = changes[-1].revision if changes else seen
            if len(changes) < _PAGE:
                return max(seen, head)

    def _head(self, seen: int) -> int:
        """Return the newest revision, of other kinds too, for `seen` not to be compacted away; asked once in a while.

        While changes come their own revisions do.
        """
        now = self._clock.monotonic()
        if now < self._head_at:
            return seen
        self._head_at = now + _LOOK_ANYWAY_SECONDS
        return self._storage.revision()

    def _enqueue_all(self, keys: Iterable[ObjectKey]) -> None:
        for key in keys:
            self._enqueue(key)

    def _list(self, enqueue: Callable[[ObjectKey], None]) -> int:
        revision = self._storage.revision()  # First: what changes meanwhile is read again.
        for key in self._storage.keys(self._kind):
            enqueue(key)
        return revision

    def _plan_resync(self, now: float) -> None:
        # Up to a tenth earlier, so that the kinds of one daemon do not all list at once.
        self._resync_at = now + self._resync_seconds * (1.0 - 0.1 * self._chance())

    def _run(self) -> None:
        unsubscribe = self._storage.subscribe(
            self.wake, self._kinds
        )  # First subscribe, then list: nothing falls between.
        backoff = Backoff(chance=self._chance)
        try:
            while not self._is_stopped:
                try:
                    seconds = self.step()
                    backoff.forget(self._kind)
                except Exception:  # noqa: BLE001 -- the thread must outlive any failure of the store.
                    seconds = backoff.failed(self._kind)
                    _log.exception(
                        "cannot read changes from the store", extra=keys(kind=self._kind, retry_seconds=seconds)
                    )
                if self._rest_seconds:
                    self._stopping.wait(self._rest_seconds)
                self._wait(seconds)
        finally:
            unsubscribe()

    def _wait(self, seconds: float) -> None:
        with self._condition:
            if not self._is_woken and not self._is_stopped:
                self._condition.wait(seconds)
            self._is_woken = False
