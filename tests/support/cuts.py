"""Cuts work short at its n-th point, as a crash would."""

from collections.abc import Callable
from typing import Any


class Cut(BaseException):
    """Not an Exception, so that nothing handles it: the process ends here."""


class Scissors:
    """Counts the points that work goes through and calls `cut` at the n-th."""

    def __init__(self, at: int, cut: Callable[[], None]) -> None:
        self.at = at
        self.cut = cut
        self.points = 0

    def point(self) -> None:
        self.points += 1
        if self.points == self.at:
            self.cut()


def with_scissors(inner: Any, scissors: Scissors, *methods: str) -> Any:
    """Return `inner` with a point before and one after each of `methods`."""

    class Cuttable:
        def __getattr__(self, name: str) -> Any:
            found = getattr(inner, name)
            if name not in methods:
                return found

            def call(*args: Any, **named: Any) -> Any:
                scissors.point()
                result = found(*args, **named)
                scissors.point()
                return result

            return call

    return Cuttable()


def raise_cut() -> None:
    raise Cut
