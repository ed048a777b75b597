"""Amounts of what a host has for runs: processor time, memory, disk, devices, and places for runs. Pure.

Amounts are whole numbers by the names that Kubernetes has for resources: cpu in thousandths of a core, sizes in bytes.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from api import quantity

CPU = "cpu"
MEMORY = "memory"
STORAGE = "ephemeral-storage"
RUNS = "pods"
"""Places for runs, of which each takes one: as Kubernetes counts pods."""

Amounts: TypeAlias = Mapping[str, int]
Need: TypeAlias = tuple[tuple[str, int], ...]
"""What a run takes, in order of the names, without zeros: equal needs are equal values."""

_MEBI = 1 << 20


def need(amounts: Amounts) -> Need:
    """Return what a run takes, in the form that can be compared and be a key.

    >>> need({"memory": 5, "cpu": 1, "pods": 0})
    (('cpu', 1), ('memory', 5))
    """
    return tuple(sorted((name, amount) for name, amount in amounts.items() if amount))


def fits(wanted: Need, free: Amounts) -> bool:
    """Whether all of `wanted` is free."""
    for name, amount in wanted:  # noqa: SIM110  Asked thousands of times a decision, and a generator takes twice the time.
        if amount > free.get(name, 0):
            return False
    return True


def lacking(wanted: Need, free: Amounts) -> dict[str, int]:
    """Return how much of what is missing.

    >>> lacking((("cpu", 3), ("memory", 1)), {"cpu": 1, "memory": 1})
    {'cpu': 2}
    """
    return {name: amount - max(0, free.get(name, 0)) for name, amount in wanted if amount > free.get(name, 0)}


def plus(amounts: dict[str, int], wanted: Need) -> None:
    """Add `wanted` to `amounts`."""
    for name, amount in wanted:
        amounts[name] = amounts.get(name, 0) + amount


def minus(amounts: dict[str, int], wanted: Need) -> None:
    """Take `wanted` from `amounts`."""
    for name, amount in wanted:
        amounts[name] = amounts.get(name, 0) - amount


def total(wanted: Iterable[Need]) -> dict[str, int]:
    """Return the sum of all of them."""
    found: dict[str, int] = {}
    for each in wanted:
        plus(found, each)
    return found


def share(used: Amounts, of: Amounts) -> float:
    """Return the largest part of anything that is used: the dominant share.

    >>> share({"cpu": 500, "memory": 1}, {"cpu": 1000, "memory": 4})
    0.5
    """
    return max((amount / of[name] for name, amount in used.items() if of.get(name)), default=0.0)


def wire(name: str, amount: int) -> str:
    """Return an amount exactly, as a Kubernetes quantity."""
    if name == CPU:
        return quantity.from_millicpu(amount)
    return quantity.from_bytes(amount) if name in (MEMORY, STORAGE) else str(amount)


def read(name: str, text: str) -> int:
    """Return the amount that `wire` wrote."""
    return quantity.to_millicpu(text) if name == CPU else quantity.to_bytes(text)


def told(name: str, amount: int) -> str:
    """Return an amount for people: sizes in whole mebibytes.

    >>> told("memory", 5000000), told("cpu", 1500), told("nvidia.com/gpu", 2)
    ('5Mi', '1500m', '2')
    """
    if name in (MEMORY, STORAGE):
        return f"{max(0, amount + _MEBI // 2) // _MEBI}Mi"
    return wire(name, max(0, amount))
