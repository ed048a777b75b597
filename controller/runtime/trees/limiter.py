"""How fast something may be read that nobody waits for: so many bytes a second, a second's worth at once at most."""

import threading

from controller.engine.clock import Clock


class Stopped(Exception):
    """Nobody wants it any more."""


class Limiter:
    """A bucket of bytes that fills at a rate; whoever takes from it waits until there was enough. For many threads."""

    def __init__(self, bytes_per_second: float, clock: Clock) -> None:
        """Let `bytes_per_second` through, by `clock`."""
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._left = bytes_per_second
        self._looked_at = clock.monotonic()

    def spend(self, count: int) -> None:
        """Take `count` bytes, waiting until the rate allows for them.

        Raises:
            Stopped: `stop` was called.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._left = min(self._rate, self._left + (now - self._looked_at) * self._rate) - count
            self._looked_at = now
            behind_seconds = -self._left / self._rate
        if self._stopped.wait(max(behind_seconds, 0.0)):
            raise Stopped

    def stop(self) -> None:
        """Let nothing through any more: those who wait are told at once."""
        self._stopped.set()
