"""Whose turn it is: of those that wait, who begins now, and for whom room is kept. Pure.

In the order of the line, each begins whose need is free. The first that does not fit has room kept for it: nobody after
it takes what it needs. That is strict order where runs end; but it must not stop a host for a run that never ends. So
room is kept only for what can begin once the runs have ended that are expected to end: those with a deadline, and
those that are younger than half the time that it has waited. The longer it has waited, the longer runs are
expected to end: for whatever ends at all, room is kept sooner or later.
Invariant: what is given is never more than what is free.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from api.meta import ObjectKey
from controller.capacity import amounts
from controller.capacity.amounts import Amounts, Need
from controller.capacity.line import Line, Namespace, Waiting

MOST_PASSED_OVER = 250
"""Needs that cannot be had now, of which so many are looked at and no more: a bound for the time of a decision."""


@dataclass(frozen=True, slots=True)
class Promised:
    """What a run has been promised: whose it is, since when, and what is known of its end."""

    key: ObjectKey
    attempt: int
    need: Need
    priority: int
    queued: int
    """Since when it wanted to begin, in microseconds, as those that wait have it."""
    since: int
    """Since when it has the promise."""
    has_deadline: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a run without a deadline is expected to end in any case."""

    reserve_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Turns:
    """Who begins, in order; who has room kept from others that would fit; and the first that does not fit."""

    begin: tuple[Waiting, ...] = ()
    kept_for: Waiting | None = None
    blocked: Waiting | None = None


def decide(
    line: Line,
    promised: Iterable[Promised],
    allocatable: Amounts,
    used: Mapping[str, Amounts],
    now: int,
    rules: Rules,
) -> Turns:
    """Return whose turn it is, at `now` in microseconds. `used` is what each namespace has been promised."""
    free = dict(allocatable)
    for each in used.values():
        amounts.minus(free, tuple(each.items()))
    if not line.may_fit(free):
        return Turns(blocked=first_of(line, used, allocatable))
    walk = _Walk(line, free, allocatable, used, lambda one: _can_wait(one, promised, allocatable, now, rules))
    walk.go()
    return Turns(tuple(walk.begin), walk.kept_for, walk.blocked)


def first_of(line: Line, used: Mapping[str, Amounts], allocatable: Amounts) -> Waiting | None:
    """Return whose turn it would be next, if there were room."""
    for tier in line.tiers():
        spaces = line.namespaces(tier)
        space = min(spaces, key=lambda name: (amounts.share(used.get(name, {}), allocatable), _first(spaces[name])))
        return min((bucket[0] for bucket in spaces[space].values()), key=lambda one: one.place)
    return None


def _first(space: Namespace) -> tuple[int, str]:
    return min(bucket[0].place for bucket in space.values())


def _can_wait(one: Waiting, promised: Iterable[Promised], allocatable: Amounts, now: int, rules: Rules) -> bool:
    """Whether it could begin once all runs have ended that are expected to end."""
    left = dict(allocatable)
    patience = max(rules.reserve_seconds * 1_000_000, (now - one.since) / 2)
    for run in promised:
        if not run.has_deadline and now - run.since > patience:
            amounts.minus(left, run.need)
    return amounts.fits(one.need, left)


class _Walk:
    """One look along the line."""

    def __init__(
        self,
        line: Line,
        free: dict[str, int],
        allocatable: Amounts,
        used: Mapping[str, Amounts],
        can_wait: Callable[[Waiting], bool],
    ) -> None:
        self._line = line
        self._free = free
        self._allocatable = allocatable
        self._used = {name: dict(each) for name, each in used.items()}
        self._can_wait = can_wait
        self._passed_over = 0
        self._unfit: set[Need] = set()
        self.begin: list[Waiting] = []
        self.kept_for: Waiting | None = None
        self.blocked: Waiting | None = None

    def go(self) -> None:
        """Go on for as long as anybody might fit."""
        for tier in self._line.tiers():
            self._go_through(self._line.namespaces(tier))
            if self._passed_over >= MOST_PASSED_OVER or (self.blocked and not self._line.may_fit(self._free)):
                return

    def _go_through(self, spaces: Mapping[str, Namespace]) -> None:
        """Look at one tier: always at the first of the namespace that has least."""
        heads = {name: _Heads(space) for name, space in spaces.items()}
        next_ = [(self._share(name), head.first().place, name) for name, head in heads.items()]
        heapq.heapify(next_)
        while next_ and self._passed_over < MOST_PASSED_OVER:
            _, _, name = heapq.heappop(next_)
            head = heads[name]
            if self._gets(head.first()):
                head.go_on()
            else:
                head.drop()
                if not self._line.may_fit(self._free):
                    return
            if head:
                heapq.heappush(next_, (self._share(name), head.first().place, name))

    def _gets(self, one: Waiting) -> bool:
        """Give it what it needs, if that is free."""
        if one.need not in self._unfit and amounts.fits(one.need, self._free):
            self.begin.append(one)
            amounts.minus(self._free, one.need)
            amounts.plus(self._used.setdefault(one.key.namespace, {}), one.need)
            return True
        self._unfit.add(one.need)  # What is free only ever becomes less.
        self._passed_over += 1
        self.blocked = self.blocked or one
        if self.kept_for is None and self._can_wait(one):
            self.kept_for = one
            # Kept is what it needs, as far as it is there; of the rest there may be something for others.
            for name, amount in one.need:
                self._free[name] = max(0, self._free.get(name, 0) - amount)
        return False

    def _share(self, namespace: str) -> float:
        return amounts.share(self._used.get(namespace, {}), self._allocatable)


class _Heads:
    """Those of one namespace and tier, first come first, while needs that cannot be had are left out."""

    def __init__(self, space: Namespace) -> None:
        self._heap = [(bucket[0].place, number, 0, bucket) for number, bucket in enumerate(space.values())]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def first(self) -> Waiting:
        _, _, at, bucket = self._heap[0]
        return bucket[at]

    def go_on(self) -> None:
        _, number, at, bucket = self._heap[0]
        if at + 1 < len(bucket):
            heapq.heapreplace(self._heap, (bucket[at + 1].place, number, at + 1, bucket))
        else:
            heapq.heappop(self._heap)

    def drop(self) -> None:
        heapq.heappop(self._heap)
