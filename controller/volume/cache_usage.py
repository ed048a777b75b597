"""How much caches hold, which is for people and for trimming: up to a million files are looked at for it.

So each is looked at once in a while, and nobody else waits for that. Never here: making them smaller (`trimming.py`).
"""

import threading
from pathlib import Path
from typing import NamedTuple

from controller.engine.clock import Clock
from controller.volume import trimming

LOOK_EVERY_SECONDS = 60.0


class Usage(NamedTuple):
    """What a cache held when it was last looked at, and when it is looked at again; None if it was just now."""

    used_bytes: int
    anew_in_seconds: float | None


class CacheUsage:
    """What is known of caches, by their volumes' uids; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        """Know nothing so far."""
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def of(self, uid: str, directory: Path) -> Usage:
        """Return how much a cache holds.

        Raises:
            OSError: it cannot be read.
        """
        now = self._clock.monotonic()
        with self._lock:
            at, used_bytes = self._seen.get(uid, (now - LOOK_EVERY_SECONDS, 0))
        if (left := at + LOOK_EVERY_SECONDS - now) > 0:
            return Usage(used_bytes, left)
        used_bytes = trimming.usage(directory)
        with self._lock:
            self._seen[uid] = self._clock.monotonic(), used_bytes
        return Usage(used_bytes, None)

    def forget(self, uid: str) -> None:
        """Look at it the next time: it was changed here, or is gone."""
        with self._lock:
            self._seen.pop(uid, None)
