"""Which versions are kept, and why; which go, and which of all runtimes go first when the disk is full. Pure.

A version that an entry of spec.versions means is wanted. One that it moved on from is retained, as many as
spec.retain says, and one that only jobs asked for which have ended is idle. One that runs use stays until they have
ended. Everything else of ours goes.
Invariants: nothing goes that is wanted or in use, or that others installed; under pressure only retained and idle
ones go, and of all runtimes those whose last use is the longest ago first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from api import runtime_spec
from api.runtime_requests import GOES_AT_GC, GOES_NOW
from api.types.runtime import Runtime
from controller.runtime import meaning
from controller.runtime.observed import ObservedRuntime, Tree

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retained:
    """A version that is kept for a rollback only, or for nobody, of any runtime: what may go under pressure."""

    name: str
    version: str
    last_used: datetime | None
    bytes: int


def under_pressure(candidates: Iterable[Retained], bytes_needed: int) -> frozenset[tuple[str, str]]:
    """Return which (name, version) go so that `bytes_needed` become free: oldest use first, and no more than needed."""
    going: set[tuple[str, str]] = set()
    for candidate in sorted(candidates, key=lambda c: (c.last_used or _NEVER, c.name, c.version)):
        if bytes_needed <= 0:
            break
        going.add((candidate.name, candidate.version))
        bytes_needed -= candidate.bytes
    return frozenset(going)


def bytes_needed(total: int, free: int, most_used_percent: float, least_free: int) -> int:
    """Return how many bytes have to become free so that neither limit is passed; 0 if they hold."""
    above = (total - free) - int(total * most_used_percent / 100)
    return max(0, above, least_free - free)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept and what is not. `wanted`, `retained` and `idle` give the entry that each version is kept for.

    `idle` are kept for an entry that nobody wants any more who asked for it in passing: while the disk has room.
    `serving` are the versions that jobs get for an entry: not one that is to be meant, and does not work.
    """

    wanted: Mapping[str, str]
    retained: Mapping[str, str]
    going: tuple[Tree, ...]
    serving: frozenset[str] = frozenset()
    idle: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def keep(runtime: Runtime, observed: ObservedRuntime) -> Kept:
    """Return what is kept of `runtime` and what is to go, once it is not used any more."""
    if runtime.meta.is_deleting:
        return Kept({}, {}, tuple(tree for tree in observed.trees if tree.origin is not None))
    # As it goes on with this very pass: what an entry moves on from, or to, was not on record as such before.
    history = meaning.moved(
        runtime.spec, runtime.status.history, observed.usable(), "", ignoring_holds=meaning.is_updating(runtime)
    )
    runtime = runtime.model_copy(update={"status": runtime.status.model_copy(update={"history": history})})
    serving = {each.asked: current(runtime, observed, each.asked) for each in observed.wanted}
    wanted, idle = _wanted(observed, serving)
    before = meaning.retained(runtime.spec, history)
    retained = {version: asked for version, asked in before.items() if version not in wanted and version not in idle}
    served = frozenset(version for version in serving.values() if version is not None)
    if observed.lacking() or not observed.enabled or observed.conflict():
        return Kept(wanted, retained, (), served, idle)
    staying = wanted.keys() | ((retained.keys() | idle.keys()) - observed.pressed)
    going = tuple(tree for tree in observed.trees if tree.version not in staying and tree.origin is not None)
    return Kept(wanted, retained, going, served, idle)


def _wanted(
    observed: ObservedRuntime, serving: Mapping[str, str | None]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the versions that entries mean, or are to mean, and the first entry that does.

    And apart those of entries alone that nobody wants any more.
    """
    wanted: dict[str, str] = {}
    idle: dict[str, str] = {}
    for each in observed.wanted:
        # What it means for jobs stays until the newer one works.
        for version in (each.version, serving[each.asked]):
            if version is not None:
                (idle if each.asked in observed.asked_in_vain else wanted).setdefault(version, each.asked)
    return wanted, {version: asked for version, asked in idle.items() if version not in wanted}


def current(runtime: Runtime, observed: ObservedRuntime, asked: str) -> str | None:
    """Return the version that jobs get for `asked`: the highest that works and is not held back."""
    held = meaning.holds(runtime.spec, runtime.status.history)
    found = meaning.target(asked, observed.usable(), held)
    return found if found in observed.usable() else None


def kept_because(kept: Kept, observed: ObservedRuntime, tree: Tree) -> str:
    """Say why a tree is kept, or that it goes and when: one sentence."""
    if tree.origin is None:
        return "it was not installed by runwright"
    if asked := kept.wanted.get(tree.version):
        if runtime_spec.is_version(asked):
            return "spec.versions names it"
        is_served = tree.version in kept.serving
        return f"it is what {asked} {'means' if is_served else 'is to mean as soon as it works'}"
    rollback = kept.retained.get(tree.version) if tree not in kept.going else None
    if users := observed.in_use.get(tree.version):
        then = f"it is kept for a rollback of {rollback} too" if rollback else "it goes when they have ended"
        return f"in use by {named(users)}; {then}"
    if tree in kept.going:
        return f"nothing wants or uses it; {GOES_NOW}"
    if tree.version in kept.idle:
        return f"jobs asked for it that have ended; it goes when the disk is full, or {GOES_AT_GC}"
    if rollback:
        return f"kept for a rollback of {rollback}; it goes when the disk is full, or {GOES_AT_GC}"
    return "it stays until everything that is wanted is installed"


def named(users: Sequence[str]) -> str:
    """Return the first few of `users`, and how many more there are."""
    more = f" and {len(users) - 3} more" if len(users) > 3 else ""
    return f"{', '.join(users[:3])}{more}"
