"""The supervisors kept ready, and what is to be done so that the next run finds the right one. Decides only.

Most are told to make the sandbox that was asked for last, ahead of need. One at least is kept for any run.
Invariant: what has made one sandbox is never given a run of another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from controller.launcher.children import Child

KEEP_SECONDS = 300.0
"""So long after it was asked for last, a sandbox is made ahead; so long a supervisor keeps it for a run."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 60.0
"""Between one that ended while it was ready and the next fork: doubled each time, until a run is given to one."""
_MOST_BYTES = 1 << 16
"""Of a longer one, it is not known to be taken at once by who is told to make it: so none is told."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Make one more supervisor ready."""


@dataclass(frozen=True, slots=True)
class Make:
    """Have this one make that sandbox."""

    child: Child
    shared: bytes


@dataclass(frozen=True, slots=True)
class Retire:
    """Have this one end: what it has made is not asked for any more."""

    child: Child


Step: TypeAlias = Fork | Make | Retire


class Pool:
    """Ready supervisors, `size` of them if there is time to make them ready."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: list[Child] = []
        self._wanted: bytes | None = None
        self._wanted_until = 0.0
        self._again = False
        self._ended_early = 0
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._ready)

    def __contains__(self, child: Child) -> bool:
        return child in self._ready

    def count_made(self) -> int:
        """Return how many have made a sandbox, or are at it."""
        return sum(child.made is not None for child in self._ready)

    def add(self, child: Child) -> None:
        """Take up one that was just forked."""
        self._ready.append(child)

    def remove(self, child: Child) -> None:
        """Forget one, if it is here: it has ended, or is about to."""
        if child in self._ready:
            self._ready.remove(child)

    def ended(self, child: Child, now: float) -> None:
        """Forget one that has ended. If it was ready, so may the next end at once: the pauses get longer."""
        if child not in self._ready:
            return
        self._ready.remove(child)
        pause_seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._ended_early, 16))
        self._ended_early += 1
        self._paused_until = now + pause_seconds

    def pause_seconds(self, now: float) -> float:
        """Return how long no other is to be forked ahead of need."""
        return max(0.0, self._paused_until - now)

    def candidates(self, shared: bytes) -> Iterator[Child]:
        """Take out, one after another, those that can have a run of this sandbox, the best first."""
        for made in (shared, None):
            for child in [child for child in self._ready if child.made == made]:
                self._ready.remove(child)
                self._ended_early = 0
                yield child

    def note(self, shared: bytes, now: float, *, ahead: bool) -> None:
        """Note what was asked for, before a supervisor for it is taken."""
        if not ahead or len(shared) > _MOST_BYTES:
            return
        self._again = shared == self._wanted
        self._wanted, self._wanted_until = shared, now + KEEP_SECONDS

    def forget(self, shared: bytes | None) -> list[Child]:
        """Take out those that have made this sandbox, and have no other make it until it is asked for again.

        What it was made of has changed, or is not there.
        """
        if shared == self._wanted:
            self._wanted = None
        stale = [child for child in self._ready if shared is not None and child.made == shared]
        self._ready = [child for child in self._ready if child not in stale]
        return stale

    def next_step(self, now: float) -> Step | None:
        """Return what there is to do, if there is time; None if all is as it should be."""
        if len(self._ready) < self._size:
            return Fork()
        if self._wanted is None or now > self._wanted_until:
            return None
        free = [child for child in self._ready if child.made is None]
        if len(free) > 1:
            return Make(free[0], self._wanted)
        others = [child for child in self._ready if child.made not in (None, self._wanted)]
        if self._again and others:
            self._again = False  # One each time it is asked for: so kinds of runs that come by turns keep theirs.
            return Retire(others[0])
        return None
