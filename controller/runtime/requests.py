"""What becomes of the requests of people, and so of what entries of spec.versions mean: the memory in a status. Pure.

A request is heard when it was carried out, or cannot be; what became of it is told in status.requestResults.
Invariant: a value that was heard is never carried out again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from api.meta import wire_time
from api.runtime_requests import NOTHING_NEWER, Request, is_about, version_in, versions_in
from api.types.runtime import HistoryEntry, Runtime, RuntimeReason, RuntimeStatus
from controller.engine.plan import Plan
from controller.runtime import meaning
from controller.runtime.meaning import is_updating, unheard
from controller.runtime.observed import ObservedRuntime
from controller.runtime.plan import AcceptContent, CollectStore, RemoveVersion


@dataclass(frozen=True, slots=True)
class Heard:
    """The memory of a runtime after a pass: what its entries meant, and which requests were heard with what result."""

    history: tuple[HistoryEntry, ...]
    values: Mapping[str, str]
    results: Mapping[str, str]


def heard(runtime: Runtime, observed: ObservedRuntime, plan: Plan, now: datetime) -> Heard:
    """Return the memory of `runtime` after `plan` was carried out."""
    status = runtime.status
    if runtime.meta.is_deleting or not observed.enabled:
        return Heard(status.history, status.requests_heard, status.request_results)
    asked, results = unheard(runtime), dict[str, str]()
    history = status.history
    if Request.ROLLBACK in asked:
        sick = [tree.version for tree in observed.trees if tree.unhealthy]
        to = version_in(asked[Request.ROLLBACK])
        if to is not None and _is_unknown(to, observed):
            why = f"cannot roll back: {to} is unknown: it is not installed, and no registry offers it"
            done = meaning.RolledBack(history, why, refused=True)
        else:
            done = meaning.rolled_back(runtime.spec, history, to, sick, wire_time(now))
        history, results[Request.ROLLBACK] = done.history, done.message
    else:
        history = meaning.moved(
            runtime.spec, history, observed.usable(), wire_time(now), ignoring_holds=is_updating(runtime)
        )
    if Request.UPDATE in asked and not observed.conflict() and _is_settled(observed):
        results[Request.UPDATE] = _updated(status.history, history, observed)
    for accepted in (step.versions for step in plan.steps if isinstance(step, AcceptContent)):
        results[Request.ACCEPT] = _accepted(asked.get(Request.ACCEPT, ""), accepted, observed)
    for request, inspected in observed.inspected.items():
        if asked.get(request) == inspected.value:
            results[request] = inspected.message
    if Request.GC in asked and any(isinstance(step, CollectStore) for step in plan.steps):
        gone = [step.version for step in plan.steps if isinstance(step, RemoveVersion)]
        results[Request.GC] = f"removed {', '.join(gone)}" if gone else "nothing was to be removed"
    elif Request.GC in asked and observed.lacking() and _is_settled(observed):
        missing = observed.lacking()[0]
        results[Request.GC] = f"nothing goes until {missing.version or missing.asked} is installed: {missing.problem}"
    values = status.requests_heard | {request.value: asked[request] for request in asked if request in results}
    return Heard(history, values, status.request_results | {str(name): text for name, text in results.items()})


def _accepted(asked: str, accepted: Collection[str], observed: ObservedRuntime) -> str:
    """Say what was accepted, or why nothing was; and what was not, as it is no more what was looked at."""
    only = ", ".join(versions_in(asked))
    meant = [tree for tree in observed.trees if is_about(asked, tree.version)]
    others = [t.version for t in meant if t.former is not None and t.version not in accepted]
    changed = f"{', '.join(others)} holds another content than was looked at: look again" if others else ""
    if accepted:
        return "; ".join(filter(None, (f"accepted {', '.join(accepted)}", changed)))
    nothing = f"nothing is to be accepted of {only}" if only else "nothing is to be accepted"
    unchanged = "it holds what it held before" if only else "each version holds what it held before"
    return f"{nothing}: {changed or (unchanged if meant or not only else 'it is not installed')}"


def _is_unknown(version: str, observed: ObservedRuntime) -> bool:
    """Whether there is no such version at all, as far as registries could be read."""
    is_here = any(tree.version == version for tree in observed.trees)
    return not is_here and observed.known is not None and version not in observed.known


def _is_settled(observed: ObservedRuntime) -> bool:
    """Whether what is wanted is there, or cannot be had for now: nothing more comes of this pass by itself."""
    return all(wanted.source is None or wanted.outdated for wanted in observed.lacking())


def _updated(before: tuple[HistoryEntry, ...], after: tuple[HistoryEntry, ...], observed: ObservedRuntime) -> str:
    new = _moves(before, after)
    problems = [wanted.problem for wanted in observed.wanted if wanted.problem]
    sick = [f"{t.version} does not work: {t.origin.health_message}" for t in observed.trees if t.unhealthy and t.origin]
    told = [f"{entry.asked} means {entry.version}" for entry in new]
    told = told or ([] if problems else [NOTHING_NEWER])
    partly = [f"{t.version} works, but {t.origin.health_message}" for t in observed.trees if t.degraded and t.origin]
    return "; ".join([*told, *problems, *sick, *partly])


def told(before: RuntimeStatus, after: RuntimeStatus) -> tuple[tuple[str, str], ...]:
    """Return what a person should hear of a change of the memory: reasons and messages of events."""
    moves = [entry for entry in _moves(before.history, after.history) if entry.reason != meaning.FIRST]
    events = [(_event_of(entry), f"{entry.asked} means {entry.version} from now on") for entry in moves]
    refused = after.request_results.get(Request.ROLLBACK, "")
    if before.requests_heard != after.requests_heard and refused.startswith("cannot") and not moves:
        events.append((RuntimeReason.REQUEST_REFUSED, refused))
    return tuple((str(reason), message) for reason, message in events)


def _moves(before: tuple[HistoryEntry, ...], after: tuple[HistoryEntry, ...]) -> list[HistoryEntry]:
    """Return the last entry of each that means something else now."""
    last = {entry.asked: entry for entry in after}
    return [entry for asked, entry in last.items() if meaning.meant(before, asked) != entry.version]


def _event_of(entry: HistoryEntry) -> str:
    return RuntimeReason.ROLLED_BACK if entry.reason == meaning.ROLLBACK else RuntimeReason.UPDATED
