"""The line of those that wait for room: who comes before whom. Pure; it decides nothing and knows no time but theirs.

Order: by tiers first. A tier is a priority in a period of waiting, so who has waited a period longer comes before those
of the next higher priority that came later: none waits for ever behind such as keep coming. In a tier the namespace
that has the least of the host comes next; of a namespace, who came first. Those of one namespace that want the same
are kept together, as what one of them cannot have, none of the others can.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from api.meta import ObjectKey
from controller.capacity import amounts
from controller.capacity.amounts import Amounts, Need

Tier = tuple[int, int]
"""Comes before those that are larger."""

_MICRO = 1_000_000
_MOST_COUNTED_ANEW = 500  # What is too low for long costs a walk along the line, which is bounded too.


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that wants to begin a run: since when, in microseconds, with which priority, and what it takes."""

    key: ObjectKey
    uid: str
    priority: int
    since: int
    need: Need
    preempts: bool = False
    class_name: str = ""

    @property
    def place(self) -> tuple[int, str]:
        """Its place among those of its namespace that want the same."""
        return self.since, self.uid


@dataclass(frozen=True, slots=True)
class Order:
    """How tiers are told apart: the priorities there are, lowest first, and how much waiting makes up for one step.

    Without `ageing_seconds` nothing does.
    """

    priorities: tuple[int, ...] = ()
    ageing_seconds: float = 0.0

    def tier(self, priority: int, since: int) -> Tier:
        """Return the tier of one with this priority that has waited since then."""
        if not self.ageing_seconds:
            return 0, -priority
        period = since // max(1, int(self.ageing_seconds * _MICRO))
        return period - bisect_left(self.priorities, priority), -priority


Bucket = list[Waiting]
Namespace = dict[Need, Bucket]


class Line:
    """Those that wait. Not safe for several threads: who keeps it holds a lock."""

    def __init__(self, order: Order | None = None) -> None:
        """Begin empty."""
        self._order = order or Order()
        self._by_key: dict[ObjectKey, Waiting] = {}
        self._tiers: dict[Tier, dict[str, Namespace]] = {}
        self._counts: dict[Tier, int] = {}
        self._shapes: dict[Need, int] = {}
        self._least: dict[str, int] = {}  # Of each resource, no less than this is wanted by anybody.
        self._least_is_of = 0

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[Waiting]:
        """Go through them in no order."""
        return iter(self._by_key.values())

    def get(self, key: ObjectKey) -> Waiting | None:
        """Return what waits by that key."""
        return self._by_key.get(key)

    def tier_of(self, one: Waiting) -> Tier:
        """Return the tier that it is in."""
        return self._order.tier(one.priority, one.since)

    def tier(self, priority: int, since: int) -> Tier:
        """Return the tier of one with this priority that has waited since then."""
        return self._order.tier(priority, since)

    def add(self, one: Waiting) -> None:
        """Let one wait; one of the same key is replaced."""
        self.remove(one.key)
        tier = self.tier_of(one)
        bucket = self._tiers.setdefault(tier, {}).setdefault(one.key.namespace, {}).setdefault(one.need, [])
        insort(bucket, one, key=_place)
        self._by_key[one.key] = one
        self._counts[tier] = self._counts.get(tier, 0) + 1
        self._shapes[one.need] = self._shapes.get(one.need, 0) + 1
        self._lower_least(one.need)

    def remove(self, key: ObjectKey) -> Waiting | None:
        """Let one wait no more; return it if it did."""
        one = self._by_key.pop(key, None)
        if one is None:
            return None
        tier = self.tier_of(one)
        spaces = self._tiers[tier]
        shapes = spaces[key.namespace]
        bucket = shapes[one.need]
        del bucket[bisect_left(bucket, one.place, key=_place)]
        if not bucket:
            del shapes[one.need]
        if not shapes:
            del spaces[key.namespace]
        if not spaces:
            del self._tiers[tier]
        self._counts[tier] -= 1
        if not self._counts[tier]:
            del self._counts[tier]
        self._shapes[one.need] -= 1
        if not self._shapes[one.need]:
            del self._shapes[one.need]
        return one

    def reorder(self, priorities: Sequence[int]) -> None:
        """Know these priorities from now on."""
        order = Order(tuple(sorted(set(priorities))), self._order.ageing_seconds)
        if order == self._order:
            return
        all_ = list(self._by_key.values())
        for one in all_:
            self.remove(one.key)
        self._order = order
        for one in all_:
            self.add(one)

    def beyond(self, allocatable: Amounts) -> list[Waiting]:
        """Return those that want more than that, whatever becomes free."""
        too_much = {need for need in self._shapes if not amounts.fits(need, allocatable)}
        return [one for one in self._by_key.values() if one.need in too_much] if too_much else []

    def tiers(self) -> list[Tier]:
        """Return the tiers that somebody is in, first ones first."""
        return sorted(self._tiers)

    def namespaces(self, tier: Tier) -> Mapping[str, Namespace]:
        """Return who waits in a tier, by namespace and need."""
        return self._tiers.get(tier, {})

    def may_fit(self, free: Amounts) -> bool:
        """Say False only if nobody's need can be had of `free`: cheap, however many wait."""
        if not self._by_key:
            return False
        if len(self._shapes) * 2 < self._least_is_of and len(self._shapes) <= _MOST_COUNTED_ANEW:
            for number, shape in enumerate(self._shapes):
                self._lower_least(shape, is_first=not number)
            self._least_is_of = len(self._shapes)
        return all(free.get(name, 0) >= least for name, least in self._least.items())

    def ahead_of(self, one: Waiting) -> int:
        """Return how many come before it, in its own tier by the time that they came."""
        tier = self.tier_of(one)
        earlier = sum(count for other, count in self._counts.items() if other < tier)
        spaces = self._tiers.get(tier, {}).values()
        return earlier + sum(bisect_left(bucket, one.place, key=_place) for all_ in spaces for bucket in all_.values())

    def _lower_least(self, need: Need, *, is_first: bool = False) -> None:
        """Keep `_least` no larger than any need; it may be smaller, when those that wanted least have gone."""
        wanted = dict(need)
        if is_first or len(self._by_key) <= 1:
            self._least = wanted
        else:
            self._least = {name: min(least, wanted[name]) for name, least in self._least.items() if name in wanted}
        self._least_is_of = max(self._least_is_of, len(self._shapes))


def _place(one: Waiting) -> tuple[int, str]:
    return one.place
