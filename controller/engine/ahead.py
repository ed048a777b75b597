"""Getting ready ahead of time: from when on, for very many things that are due at known moments.

Each has a place of its own in the time before its moment, the latest that is free, so that all of them are ready by
then, and none much sooner than it must be. Few that are due together are begun then: they are quick enough by
themselves. Whether they are few is known a second before.
"""

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LONGEST_SECONDS = 60.0
"""No place is further ahead of its moment: what has none by then is begun when it is due."""
_CPU_SECONDS_EACH = 0.1  # Four times what it takes to make a job and a run of it ready, for hosts that do more.
_FEW = 8
_KNOWN = timedelta(seconds=1)
_LEAST_PRUNED = 128


@dataclass(frozen=True, slots=True)
class _Place:
    moment: datetime
    number: int


class Ahead:
    """Places in time, one after another; safe to use from several threads."""

    def __init__(self, cpus: int) -> None:
        """Reckon with what a host of so many CPUs gets ready in a second."""
        self._each_seconds = _CPU_SECONDS_EACH / max(1, cpus)
        self._most = int(LONGEST_SECONDS / self._each_seconds)
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place] = {}
        self._taken: set[int] = set()
        self._prune_at = _LEAST_PRUNED

    def __len__(self) -> int:
        return len(self._places)

    def begins_at(self, key: Hashable, moment: datetime, now: datetime) -> datetime | None:
        """Return from when on to get ready what is due at `moment`, which may be over; None if not ahead of it.

        Whoever is told of a time to come asks again then: of those that came first, it is known by then whether they
        are few.
        """
        with self._lock:
            place = self._places.get(key)
            if place is None or place.moment != moment:
                self._forget(key)
                place = self._take(key, moment, now)
            if place is None:
                return None
            last = self._number(moment)
            if last - place.number > _FEW:
                return datetime.fromtimestamp(place.number * self._each_seconds, UTC)
            known_at = moment - _KNOWN
            return known_at if now < known_at or last - _FEW - 1 in self._taken else None

    def forget(self, key: Hashable) -> None:
        """Know that `key` is due at no moment to come."""
        if key in self._places:
            with self._lock:
                self._forget(key)

    def _take(self, key: Hashable, moment: datetime, now: datetime) -> _Place | None:
        if len(self._places) >= self._prune_at:
            for each in [each for each, place in self._places.items() if place.moment < now]:
                self._forget(each)
            self._prune_at = max(_LEAST_PRUNED, 2 * len(self._places))
        last = self._number(moment)
        number = next((each for each in range(last - 1, last - self._most, -1) if each not in self._taken), None)
        if number is None:
            return None
        self._taken.add(number)
        self._places[key] = _Place(moment, number)
        return self._places[key]

    def _forget(self, key: Hashable) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._taken.discard(place.number)

    def _number(self, moment: datetime) -> int:
        return int(moment.timestamp() / self._each_seconds)
