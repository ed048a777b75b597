"""Cycles of things that wait for each other, found and put into words. Pure.

Here: names and whom each waits for. Never here: what they are, jobs or parts of a workflow, and what becomes of them.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

MOST_STEPS = 1000
"""How many are looked at, at the most, where each look is a read: longer cycles are found later on."""


def through(start: str, waits_for: Callable[[str], Iterable[str]], most: int | None = None) -> tuple[str, ...]:
    """Return a shortest cycle from `start` back to it, or nothing if there is none among the first `most` looked at.

    >>> through("a", {"a": ["b"], "b": ["c"], "c": ["a"]}.__getitem__)
    ('a', 'b', 'c', 'a')
    """
    came_from: dict[str, str] = {}
    going = [start]
    for looked, name in enumerate(going):
        if most is not None and looked >= most:
            return ()
        for other in waits_for(name):
            if other == start:
                return (*_way(came_from, start, name), start)
            if other not in came_from:
                came_from[other] = name
                going.append(other)
    return ()


def _way(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


def first(waits_for: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return a cycle among these, a shortest one of the first name in order that is in any; nothing if there is none.

    >>> first({"a": ["b"], "b": ["c"], "c": ["b"]})
    ('b', 'c', 'b')
    """
    inside = _in_cycles(waits_for)
    if not inside:
        return ()
    narrowed = {name: [other for other in waits_for[name] if other in inside] for name in inside}
    found = (through(name, narrowed.__getitem__) for name in sorted(inside))
    return next((cycle for cycle in found if cycle), ())


def _in_cycles(waits_for: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return those that are left when everybody who waits for nobody left is taken away, again and again."""
    left = {name: {other for other in others if other in waits_for} for name, others in waits_for.items()}
    wanted_by: dict[str, list[str]] = {name: [] for name in left}
    for name, others in left.items():
        for other in others:
            wanted_by[other].append(name)
    free = [name for name, others in left.items() if not others]
    for name in free:
        for waiter in wanted_by[name]:
            left[waiter].discard(name)
            if not left[waiter]:
                free.append(waiter)
    return frozenset(left) - frozenset(free)


def told(cycle: Iterable[str]) -> str:
    """Return a cycle as a person reads it.

    >>> told(("a", "b", "a"))
    'a waits for b, b waits for a'
    """
    names = tuple(cycle)
    return ", ".join(f"{name} waits for {other}" for name, other in pairwise(names))
