"""Patterns of paths: `*`, `?` and `[…]` within a name, `**` for any directories. Pure, and in linear time.

A path is walked name by name: a state says how far each pattern got, so that a directory that can hold nothing that
matches is not entered. What matches a directory matches all below it.
"""

import fnmatch
import re
from functools import lru_cache
from typing import TypeAlias

States: TypeAlias = frozenset[tuple[int, int]]
"""Of patterns, by number, how many of their parts are behind us."""

_EVERYTHING = (-1, -1)
ALL_BELOW: States = frozenset((_EVERYTHING,))


class Globs:
    """Some patterns, any of which may match.

    >>> globs = Globs(("out/**/*.csv", "logs"))
    >>> [globs.match(path) for path in ("out/a.csv", "out/x/y/a.csv", "out/a.txt", "logs/deep/a", "log")]
    [True, True, False, True, False]
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._parts = [tuple(pattern.split("/")) for pattern in patterns]
        self.start = self._closed({(number, 0) for number in range(len(patterns))})

    def after(self, states: States, name: str) -> States:
        """Return the states after one more name of a path."""
        if _EVERYTHING in states:
            return ALL_BELOW
        further: set[tuple[int, int]] = set()
        for number, at in states:
            parts = self._parts[number]
            if at == len(parts):
                continue
            if parts[at] == "**":
                further.add((number, at if at + 1 < len(parts) else at + 1))
            elif _matcher(parts[at]).match(name):
                further.add((number, at + 1))
        return self._closed(further)

    def matches(self, states: States) -> bool:
        """Whether a path that led to these states matches."""
        return _EVERYTHING in states or any(at == len(self._parts[number]) for number, at in states)

    def match(self, path: str) -> bool:
        """Whether a path matches, or a directory that it lies in."""
        states = self.start
        for name in path.split("/"):
            states = self.after(states, name)
            if self.matches(states):
                return True
        return False

    def _closed(self, states: set[tuple[int, int]]) -> States:
        """Add what follows without a name: `**` may be none, but at the end, where it is all that is below."""
        waiting = list(states)
        while waiting:
            number, at = waiting.pop()
            parts = self._parts[number]
            if at < len(parts) and parts[at] == "**" and at + 1 < len(parts) and (number, at + 1) not in states:
                states.add((number, at + 1))
                waiting.append((number, at + 1))
        return frozenset(states)


@lru_cache(maxsize=1024)
def _matcher(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
