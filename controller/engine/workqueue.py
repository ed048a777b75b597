"""The queue between what changed and who looks: one worker a key, no key twice.

A key that is added while it waits is there once; one that is added while a worker has it comes back
when that worker is done. So no change is lost and no key is ever worked on by two. A key may also be
added for later. Time comes from the clock it is given; who moves that clock by hand calls `wake`.

Source: client-go util/workqueue, queue.go and delaying_queue.go.
"""

import heapq
import itertools
import threading
from collections import deque

from api.meta import ObjectKey
from controller.engine.clock import Clock


class QueueObserver:
    """Is told what happens in a queue, under its lock: be quick. This one ignores it all."""

    def added(self) -> None:
        """A key became due that was not."""

    def taken(self, waited_seconds: float) -> None:
        """A worker took a key that had been due for `waited_seconds`."""

    def finished(self, worked_seconds: float) -> None:
        """A worker gave a key back after `worked_seconds`."""

    def retried(self) -> None:
        """A key was added for later."""


class WorkQueue:
    """Keys to look at, each by one worker at a time. All methods may be called from any thread."""

    def __init__(self, clock: Clock, observer: QueueObserver | None = None) -> None:
        """Start empty and open."""
        self._clock = clock
        self._observer = observer or QueueObserver()
        self._condition = threading.Condition()
        self._ready: deque[ObjectKey] = deque()
        self._dirty: dict[ObjectKey, float] = {}  # key: due since. All of `_ready`, and those to come back.
        self._working: dict[ObjectKey, float] = {}  # key: taken at.
        self._later: list[tuple[float, int, ObjectKey]] = []  # A heap; entries that `_due` contradicts are void.
        self._due: dict[ObjectKey, float] = {}
        self._ticket = itertools.count()
        self._is_closed = False
        self._closed = threading.Event()

    def add(self, key: ObjectKey) -> None:
        """Have `key` looked at as soon as a worker is free."""
        with self._condition:
            if not self._is_closed:
                self._add(key, self._clock.monotonic())

    def add_after(self, key: ObjectKey, seconds: float) -> None:
        """Have `key` looked at in `seconds`; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        with self._condition:
            if self._is_closed:
                return
            self._observer.retried()
            due = self._clock.monotonic() + seconds
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._later, (due, next(self._ticket), key))
                self._condition.notify()  # Somebody has to shorten the wait.

    def get(self, timeout_seconds: float | None = None) -> ObjectKey | None:
        """Take the key that is longest due, waiting for one; the caller must call `done` with it.

        Returns None when the queue is closed and nothing is left in it, or the timeout passed.
        """
        with self._condition:
            give_up = None if timeout_seconds is None else self._clock.monotonic() + timeout_seconds
            while True:
                now = self._clock.monotonic()
                self._promote(now)
                if self._ready:
                    return self._take(now)
                if self._is_closed or (give_up is not None and now >= give_up):
                    return None
                self._condition.wait(self._wait_seconds(now, give_up))

    def done(self, key: ObjectKey) -> None:
        """Give `key` back; if it was added meanwhile it is due again."""
        with self._condition:
            now = self._clock.monotonic()
            self._observer.finished(now - self._working.pop(key))
            if key in self._dirty:
                self._ready.append(key)
                self._condition.notify()

    def close(self, *, drain: bool = False) -> None:
        """Take no more keys. Those waiting are forgotten, or worked off first if `drain`.

        Forgetting is safe: what is level-triggered is listed again at the next start.
        """
        with self._condition:
            self._is_closed = True
            self._later.clear()
            self._due.clear()
            if not drain:
                self._ready.clear()
                self._dirty.clear()
            self._condition.notify_all()
        self._closed.set()

    def rest(self, seconds: float) -> None:
        """Return after `seconds`, of the machine's own clock, or as soon as the queue is closed."""
        self._closed.wait(seconds)

    def wake(self) -> None:
        """Have those who wait look at the clock again."""
        with self._condition:
            self._condition.notify_all()

    def __len__(self) -> int:
        """Return how many keys are due and not taken."""
        return len(self._ready)

    def overdue_seconds(self) -> float:
        """Return for how long the key that is longest due waits for a worker; 0 if none does."""
        with self._condition:
            return self._clock.monotonic() - self._dirty[self._ready[0]] if self._ready else 0.0

    def unfinished_seconds(self) -> float:
        """Return how long the keys that workers have now were worked on, all together."""
        with self._condition:
            now = self._clock.monotonic()
            return sum(now - since for since in self._working.values())

    def longest_seconds(self) -> float:
        """Return how long the key that a worker has had longest was worked on."""
        with self._condition:
            now = self._clock.monotonic()
            return max((now - since for since in self._working.values()), default=0.0)

    def _add(self, key: ObjectKey, now: float) -> None:
        if key in self._dirty:
            return
        self._dirty[key] = now
        self._observer.added()
        if key not in self._working:
            self._ready.append(key)
            self._condition.notify()

    def _take(self, now: float) -> ObjectKey:
        key = self._ready.popleft()
        self._observer.taken(now - self._dirty.pop(key))
        self._working[key] = now
        return key

    def _promote(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key, now)

    def _wait_seconds(self, now: float, give_up: float | None) -> float | None:
        moments = [give_up] if give_up is not None else []
        if self._later:
            moments.append(self._later[0][0])
        return max(min(moments) - now, 0.0) if moments else None
