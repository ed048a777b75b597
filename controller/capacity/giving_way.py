"""Whose run gives way to a job of a higher priority that waits. Pure.

A run gives way only to who comes before it in the line as well: so one that has waited long, and begun because of it,
is not stopped for what came after, and what is stopped does not come back in front of whom it was stopped for.
Lowest priority first, and of those the youngest: what is lost is least. Invariant: no run is stopped whose stop is not
needed for the one that waits, and none at all if it could not begin even then.
"""

from collections.abc import Callable, Iterable, Sequence

from controller.capacity import amounts
from controller.capacity.amounts import Amounts
from controller.capacity.line import Tier, Waiting
from controller.capacity.turns import Promised


def victims(
    one: Waiting,
    promised: Iterable[Promised],
    free: Amounts,
    leaving: Iterable[Promised],
    tier: Callable[[int, int], Tier],
) -> Sequence[Promised]:
    """Return the runs that give way to `one`; none if it fits when those that are `leaving` have gone, or never would.

    `tier` says where one of that priority that has waited since then is in the line.
    """
    left = dict(free)
    for run in leaving:
        amounts.plus(left, run.need)
    if amounts.fits(one.need, left):
        return ()
    gone = {(run.key, run.attempt) for run in leaving}
    mine = tier(one.priority, one.since)
    lower = [
        run
        for run in promised
        if run.priority < one.priority and tier(run.priority, run.queued) > mine and (run.key, run.attempt) not in gone
    ]
    lower.sort(key=lambda run: (run.priority, -run.since, run.key))
    chosen = []
    for run in lower:
        if amounts.fits(one.need, left):
            break
        if any(name in amounts.lacking(one.need, left) for name, _ in run.need):
            chosen.append(run)
            amounts.plus(left, run.need)
    if not amounts.fits(one.need, left):
        return ()
    return _needed(one, chosen, left)


def _needed(one: Waiting, chosen: Sequence[Promised], left: dict[str, int]) -> Sequence[Promised]:
    """Spare whom it is not about after all: the highest priority first, and of those the oldest."""
    needed = list(chosen)
    for run in reversed(chosen):
        amounts.minus(left, run.need)
        if amounts.fits(one.need, left):
            needed.remove(run)
        else:
            amounts.plus(left, run.need)
    return tuple(needed)
