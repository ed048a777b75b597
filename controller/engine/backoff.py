"""How long a key that failed waits before it is tried again: exponential, jittered, with a ceiling.

One count a key; success forgets it. The jitter only ever shortens a wait, so that the ceiling holds
and keys that failed together do not come back together.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The numbers of a backoff; `jitter` is the part of a wait that chance may take off.

    Source: client-go's DefaultControllerRateLimiter starts at 5 ms and doubles; its ceiling of
        1000 s is far too long for a host that a person is watching.
    """

    base_seconds: float = 0.005
    ceiling_seconds: float = 60.0
    jitter: float = 0.2

    def seconds(self, failures: int, chance: float) -> float:
        """Return the wait after `failures` earlier failures; `chance` is in [0, 1).

        >>> [BackoffPolicy().seconds(n, 0.0) for n in (0, 1, 4, 60)]
        [0.005, 0.01, 0.08, 60.0]
        """
        # 2.0 ** 1024 overflows, and the ceiling was reached long before that.
        whole = min(self.base_seconds * 2.0 ** min(failures, 64), self.ceiling_seconds)
        return whole * (1.0 - self.jitter * chance)


class Backoff:
    """Counts failures by key. A key is used by one thread at a time; different keys by any."""

    def __init__(self, policy: BackoffPolicy | None = None, chance: Callable[[], float] | None = None) -> None:
        """Wait as `policy` says; `chance` gives numbers in [0, 1) for the jitter."""
        self._policy = policy or BackoffPolicy()
        self._chance = chance or Random().random
        self._failures: dict[Hashable, int] = {}

    def failed(self, key: Hashable) -> float:
        """Count one more failure of `key` and return how many seconds it should wait."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return self._policy.seconds(failures, self._chance())

    def failures(self, key: Hashable) -> int:
        """Return how often `key` failed since it was last forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: Hashable) -> None:
        """Start `key` afresh: it worked, or it is gone."""
        self._failures.pop(key, None)
