"""What went wrong in a thread that has to go on: told in the log, however often it happens, once in a while.

Invariant: what somebody else sends fills no log.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 60.0


class Mishaps:
    """Keeps what goes wrong from ending a thread. Safe to use from several of them."""

    def __init__(self, doing: str) -> None:
        """Say in the log that it went wrong while `doing`."""
        self._doing = doing
        self._lock = threading.Lock()
        self._told_at: float | None = None
        self._untold = 0

    @contextmanager
    def survived(self) -> Iterator[None]:
        """Go on, whatever goes wrong within."""
        try:
            yield
        except Exception:  # noqa: BLE001  whatever it is, the next one is not its fault
            if untold := self._to_be_told():
                found = {"doing": self._doing, "times": untold}
                _log.exception("something went wrong in a thread that goes on", extra={"keys": found})

    def _to_be_told(self) -> int:
        """Return how often it went wrong, if that is to be told now."""
        with self._lock:
            self._untold += 1
            now = time.monotonic()
            if self._told_at is not None and now < self._told_at + _EVERY_SECONDS:
                return 0
            self._told_at = now
            untold, self._untold = self._untold, 0
        return untold
