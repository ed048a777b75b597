"""How many runs there may be at once on this host, and which jobs wait for room.

The end of a run wakes some of those that wait longest, so that none has to ask again and again. It is
not a queue of places: who is woken looks again, like any job. Workers that look at the same moment may
begin some runs more than `most`, as many as there are workers at the worst.
"""

import threading
from collections.abc import Callable

from api.meta import ObjectKey

_WOKEN_AT_ONCE = 4  # More than one: a job that waited may not want to run any more.


class Crowd:
    """Counts and remembers; safe to use from several threads."""

    def __init__(self, active: Callable[[], int], most: int) -> None:
        """Allow `most` runs at once; `active` counts those there are."""
        self._active = active
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[ObjectKey, None] = {}  # In the order they came.

    def why_full(self, key: ObjectKey) -> str:
        """Say why there is no room for a run of this job, which waits from now on; empty if there is."""
        active = self._active()
        with self._lock:
            if active < self._most:
                self._waiting.pop(key, None)
                return ""
            self._waiting.setdefault(key)
        return f"{active} runs are active on this host, jobs.max_active is {self._most}"

    def woken(self) -> tuple[ObjectKey, ...]:
        """Return the jobs to look at now that a run has ended; they do not wait any more."""
        with self._lock:
            woken = tuple(self._waiting)[:_WOKEN_AT_ONCE]
            for key in woken:
                del self._waiting[key]
        return woken
