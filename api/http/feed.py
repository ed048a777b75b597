"""The newest changes, read from the store once for all who watch.

The journal is the queue: a watcher remembers a revision and reads on from there, so nothing grows
while a client is slow. This keeps the last few changes at hand, and wakes watchers; whoever is
further behind reads the store. Invariant: a wake-up lost or doubled costs time and no change.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import NamedTuple, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from api.errors import ApiError
from api.http.load import Load
from api.ports import Change, Storage

log = logging.getLogger(__name__)

_KEPT = 256
_LINES = 64  # As large as objects are, each; so not many.
_BATCH = 500
_POLL_SECONDS = 1.0
_AFTER_FAILURE_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking calls beside the event loop, so many at a time."""

    def __init__(self, most: int, *, abandoning: bool = False, load: Load | None = None) -> None:
        """Allow `most` calls at once, counted in `load`; `abandoning` ones do not hold up a caller who is cancelled."""
        self.load = load or Load()
        self._limiter = anyio.CapacityLimiter(most)
        self._is_abandoning = abandoning

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns."""
        with self.load.counted():
            return await anyio.to_thread.run_sync(
                lambda: function(*args, **kwargs), limiter=self._limiter, abandon_on_cancel=self._is_abandoning
            )

    @property
    def are_busy(self) -> bool:
        """Whether a further call would have to wait."""
        return self._limiter.available_tokens <= 0


class Batch(NamedTuple):
    """Changes in order, and the revision up to which there are no others."""

    changes: Sequence[Change]
    revision: int


class Lines:
    """What was written for one watcher, for the others who are to be sent the same. Belongs to one event loop."""

    def __init__(self, most: int = _LINES) -> None:
        """Keep the newest `most` lines."""
        self._most = most
        self._lines: dict[Hashable, bytes] = {}

    def of(self, key: Hashable, write: Callable[[], bytes]) -> bytes:
        """Return the line called `key`, written by `write` if it is not there."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = write()
            if len(self._lines) > self._most:
                del self._lines[next(iter(self._lines))]
        return line


class Feed:
    """The newest changes of the store. Belongs to one event loop."""

    def __init__(self, storage: Storage, threads: Threads) -> None:
        """Read `storage`; call `run` to follow it."""
        self._storage = storage
        self._threads = threads
        self._wakes: set[asyncio.Event] = set()
        self._newest: deque[Change] = deque(maxlen=_KEPT)
        self._floor: int | None = None
        self._revision = 0
        self._woken = asyncio.Event()
        self.lines = Lines()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if self._wakes:  # Who comes to watch wakes it too, and reads what there was before.
                loop.call_soon_threadsafe(self._woken.set)

        unsubscribe = self._storage.subscribe(wake)
        try:
            while True:
                await self._wait()
                try:
                    await self._read_on()
                except Exception as error:
                    if isinstance(error, ApiError):
                        log.warning("cannot follow the store", extra={"error": error.message})
                    else:  # Whatever it is: nobody else would go on, and all watches would be silent.
                        log.exception("cannot follow the store")
                    self._forget()
                    await anyio.sleep(_AFTER_FAILURE_SECONDS)
        finally:
            unsubscribe()

    def end(self) -> None:
        """Make every watch end, cleanly, for the server is about to stop."""
        self.ended.set()
        self._wake_all()

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever there may be more to read."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        self._woken.set()
        try:
            yield wake
        finally:
            self._wakes.discard(wake)
            self._woken.set()  # When nobody watches any more, what is at hand is forgotten: it is not kept up to date.

    async def after(self, revision: int, kind: str) -> Batch:
        """Return the changes of a kind after `revision`; empty when there are none yet.

        Raises:
            Expired: some of them were compacted away, or `revision` was never reached.
        """
        if self._floor is not None and self._floor <= revision <= self._revision:
            newer = list(takewhile(lambda change: change.revision > revision, reversed(self._newest)))
            return Batch([change for change in newer[::-1] if change.key.kind == kind], self._revision)
        return await self._threads.call(self._read, revision, kind)

    def _read(self, since: int, kind: str) -> Batch:
        newest = self._storage.revision()
        changes = self._storage.changes(since, kind=kind, limit=_BATCH)
        is_all = len(changes) < _BATCH
        last = changes[-1].revision if changes else since
        return Batch(changes, max(last, newest) if is_all else last)

    async def _wait(self) -> None:
        """Wait for a commit; while somebody watches, no longer than a poll, in case a wake-up was lost."""
        try:
            async with asyncio.timeout(_POLL_SECONDS if self._wakes else None):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _read_on(self) -> None:
        if not self._wakes:
            self._forget()
            return
        if self._floor is None:
            self._revision = self._floor = await self._threads.call(self._storage.revision)
            self._wake_all()
        changes = await self._threads.call(self._storage.changes, self._revision, limit=_BATCH)
        if not changes:
            return
        for change in changes:
            if len(self._newest) == _KEPT:
                self._floor = self._newest[0].revision
            self._newest.append(change)
        self._revision = changes[-1].revision
        if len(changes) == _BATCH:
            self._woken.set()
        self._wake_all()

    def _forget(self) -> None:
        self._newest.clear()
        self._floor = None

    def _wake_all(self) -> None:
        for wake in self._wakes:
            wake.set()
