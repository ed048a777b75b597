"""Sets of completion indexes as Kubernetes writes them: `0-3,5`. Pure.

Kept as ranges, so that a job of many indexes costs what its gaps do, and not what it has completed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Indexes:
    """Whole numbers from 0 on, as ranges of which none touches the next: each is its first and its last."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Indexes":
        """Return what a text means; none, or an empty one, is no index.

        Raises:
            ValueError: it is no such text.

        >>> Indexes.parse("0-3,5").ranges
        ((0, 3), (5, 5))
        """
        if not text:
            return cls()
        found = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            found.append((int(first), int(last if dash else first)))
        if any(first > last or first < 0 for first, last in found):
            raise ValueError(f'cannot read the indexes "{text[:40]}": write them as 0-3,5')
        return cls(_joined(found))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Indexes":
        """Return the set of these numbers."""
        return cls(_joined([(number, number) for number in numbers]))

    def __str__(self) -> str:
        """Print as Kubernetes does.

        >>> str(Indexes.of([5, 0, 2, 1]))
        '0-2,5'
        """
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, number: int) -> bool:
        """Whether it is one of them."""
        at = bisect_right(self.ranges, (number, number))
        near = self.ranges[max(0, at - 1) : at + 1]
        return any(first <= number <= last for first, last in near)

    def __or__(self, other: "Indexes") -> "Indexes":
        """Return those of both."""
        return Indexes(_joined([*self.ranges, *other.ranges])) if other.ranges else self

    def below(self, end: int) -> "Indexes":
        """Return those that are less than `end`.

        >>> str(Indexes.parse("0-3,5").below(2))
        '0-1'
        """
        return Indexes(tuple((first, min(last, end - 1)) for first, last in self.ranges if first < end))

    def lacking(self, end: int) -> Iterator[int]:
        """Yield those less than `end` that are not among them, in order.

        >>> list(Indexes.parse("0-1,4").lacking(6))
        [2, 3, 5]
        """
        begin = 0
        for first, last in self.ranges:
            yield from range(begin, min(first, end))
            begin = last + 1
        yield from range(begin, end)


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)
