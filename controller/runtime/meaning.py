"""What `latest` and ranges mean now, what they meant before, and what holds them back. Pure.

An entry of spec.versions that is no exact version means one version at a time. It moves up to what is installed and
not Unhealthy; a rollback, or the update policy Manual, holds it back. Each move up and each rollback is one entry of
status.history, from which all of this is read again.
Invariant: nothing moves down but by a rollback; a rolled-back version comes again only by an update that was asked
for, while a newer one ends the rollback.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api import runtime_spec
from api.runtime_requests import PREFIX, Request
from api.types.runtime import HistoryEntry, Runtime, RuntimeSpec, UpdatePolicy

FIRST, UPDATE, ROLLBACK = "first", "update", "rollback"
LONGEST_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Hold:
    """What `asked` is held at: versions above `version` do not count, up to `ceiling`; None is all of them."""

    asked: str
    version: str
    ceiling: str | None = None

    def excludes(self, version: str) -> bool:
        """Say whether `version` does not count because of this."""
        order = runtime_spec.version_order(version)
        if order <= runtime_spec.version_order(self.version) or not runtime_spec.matches(self.asked, version):
            return False
        return self.ceiling is None or order <= runtime_spec.version_order(self.ceiling)


def movable(spec: RuntimeSpec) -> tuple[str, ...]:
    """Return the entries of spec.versions that mean different versions at different times."""
    return tuple(asked for asked in spec.versions if not runtime_spec.is_version(asked))


def meant(history: Sequence[HistoryEntry], asked: str) -> str | None:
    """Return what `asked` meant last; None if it never meant anything."""
    return next((entry.version for entry in reversed(history) if entry.asked == asked), None)


def holds(spec: RuntimeSpec, history: Sequence[HistoryEntry]) -> tuple[Hold, ...]:
    """Return what the entries of `spec` are held at."""
    found = (_hold(asked, spec.update_policy, history) for asked in movable(spec))
    return tuple(hold for hold in found if hold is not None)


def without_held(versions: Iterable[str], held: Sequence[Hold]) -> tuple[str, ...]:
    """Return those of `versions` that count; all of them if none would be left."""
    everything = tuple(versions)
    return tuple(v for v in everything if not any(hold.excludes(v) for hold in held)) or everything


def target(asked: str, known: Iterable[str], held: Sequence[Hold]) -> str | None:
    """Return the version that `asked` is to mean, of all that are `known`: installed, or offered by a registry."""
    if runtime_spec.is_version(asked):
        return asked
    own = [hold for hold in held if hold.asked == asked]
    candidates = [version for version in known if runtime_spec.matches(asked, version)]
    return runtime_spec.best(asked, without_held(candidates, own))


def moved(
    spec: RuntimeSpec, history: Sequence[HistoryEntry], usable: Iterable[str], at: str, *, ignoring_holds: bool = False
) -> tuple[HistoryEntry, ...]:
    """Return `history` as it goes on, given which versions are `usable`: installed and not Unhealthy.

    An update that was asked for ignores what holds entries back.
    """
    asked_now = movable(spec)
    kept = [entry for entry in history if entry.asked in asked_now]
    held = () if ignoring_holds else holds(spec, history)
    there = tuple(usable)
    for asked in asked_now:
        counting = [version for version in there if not any(hold.excludes(version) for hold in held)]
        now, before = runtime_spec.best(asked, counting), meant(kept, asked)
        if now is not None and (before is None or _is_above(now, before)):
            reason = FIRST if before is None else UPDATE
            kept.append(HistoryEntry(asked=asked, version=now, at=at, reason=reason))
    return tuple(kept[-LONGEST_HISTORY:])


def unheard(runtime: Runtime) -> dict[Request, str]:
    """Return the requests that the status has not heard yet, with their values."""
    asked = {request: runtime.meta.annotations.get(PREFIX + request) for request in Request}
    heard = runtime.status.requests_heard
    return {request: text for request, text in asked.items() if text is not None and heard.get(request) != text}


def is_updating(runtime: Runtime) -> bool:
    """Whether an update was asked for and has not happened yet: then nothing holds an entry back."""
    return Request.UPDATE in unheard(runtime)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback makes of a history, and how to tell it; a refused one leaves it as it was."""

    history: tuple[HistoryEntry, ...]
    message: str
    refused: bool = False


def rolled_back(
    spec: RuntimeSpec, history: Sequence[HistoryEntry], to: str | None, unhealthy: Iterable[str], at: str
) -> RolledBack:
    """Return what becomes of the entries when a rollback is asked for, `to` a version or to what they meant before."""
    unusable = set(unhealthy)
    new = list(history)
    told, refused = [], []
    for asked in movable(spec):
        now = meant(history, asked)
        earlier = _earlier(history, asked, now, unusable) if to is None else to
        if why := _why_not(asked, now, earlier, unusable):
            refused.append(why)
        elif earlier is not None:
            new.append(HistoryEntry(asked=asked, version=earlier, at=at, reason=ROLLBACK))
            told.append(f"{asked} means {earlier} again, after {now}")
    if told:
        return RolledBack(tuple(new[-LONGEST_HISTORY:]), "; ".join(told))
    why = "; ".join(refused) or _why_fixed(spec)
    return RolledBack(tuple(history), f"cannot roll back: {why}", refused=True)


def _why_fixed(spec: RuntimeSpec) -> str:
    if spec.made_by:
        return (
            f"it is made by spec.{spec.made_by}, and has no version before: apply what spec.{spec.made_by} was before"
        )
    return "spec.versions names exact versions only: name another one there"


def retained(spec: RuntimeSpec, history: Sequence[HistoryEntry]) -> dict[str, str]:
    """Return the versions that are kept for a rollback, and which entry each is kept for: `retain` of every entry."""
    kept: dict[str, str] = {}
    for asked in movable(spec):
        now = meant(history, asked)
        before = dict.fromkeys(e.version for e in reversed(history) if e.asked == asked and e.version != now)
        for version in list(before)[: spec.retain]:
            kept.setdefault(version, asked)
    return kept


def _hold(asked: str, policy: UpdatePolicy, history: Sequence[HistoryEntry]) -> Hold | None:
    own = [entry for entry in history if entry.asked == asked]
    if not own:
        return None
    if policy is UpdatePolicy.MANUAL:
        return Hold(asked, own[-1].version)
    if own[-1].reason != ROLLBACK:
        return None
    # Several in a row: none of what they came from is to come again.
    before = next((i for i in range(len(own) - 1, -1, -1) if own[i].reason != ROLLBACK), 0)
    ceiling = max((entry.version for entry in own[before:]), key=runtime_spec.version_order)
    return Hold(asked, own[-1].version, ceiling)


def _earlier(history: Sequence[HistoryEntry], asked: str, now: str | None, unusable: set[str]) -> str | None:
    return next(
        (
            entry.version
            for entry in reversed(history)
            if entry.asked == asked and now is not None and _is_above(now, entry.version)
            and entry.version not in unusable
        ),
        None,
    )  # fmt: skip


def _why_not(asked: str, now: str | None, earlier: str | None, unusable: set[str]) -> str:
    if now is None:
        return f"{asked} never meant a version yet"
    if earlier is None:
        return f"{asked} meant no earlier version than {now} that is usable: name one"
    if not runtime_spec.matches(asked, earlier):
        return f"{earlier} is not in {asked}"
    if not _is_above(now, earlier):
        return f"{earlier} is not earlier than {now}, which is what {asked} means"
    return f"{earlier} is Unhealthy" if earlier in unusable else ""


def _is_above(one: str, other: str) -> bool:
    return bool(runtime_spec.version_order(one) > runtime_spec.version_order(other))
