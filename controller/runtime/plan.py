"""What a runtime needs next: versions to install, to make again, to look at, to remove. Pure: no I/O, no clock.

Nothing is removed that a run uses, that we did not install, or while something that is wanted is not
there: a registry that cannot be read, and a version that cannot be had, take nothing away.
"""

from dataclasses import dataclass

from api.runtime_requests import Request, digests_in, is_about
from api.types.runtime import Runtime, RuntimeReason
from controller.engine.plan import Plan, Waiting
from controller.runtime.keeping import keep, named
from controller.runtime.meaning import unheard
from controller.runtime.observed import ObservedRuntime
from controller.runtime.trees.source import TreeSource

CHECK_SECONDS = 60.0
"""How often the trees are looked at though nothing is said to have changed: one may have been broken by hand."""

IN_USE_CHECK_SECONDS = 5.0
GOING_CHECK_SECONDS = 0.5
"""How soon to look whether something that is being looked at in the background is done."""


@dataclass(frozen=True, slots=True)
class InstallVersions:
    """Install what these sources make; one that fails keeps no other from being installed.

    With `over`, what is there serves until it is replaced.
    """

    sources: tuple[TreeSource, ...]
    over: bool = False


@dataclass(frozen=True, slots=True)
class HealVersions:
    """Install these again over trees that drifted; runs that use those go on with what they have."""

    sources: tuple[TreeSource, ...]


@dataclass(frozen=True, slots=True)
class RemoveVersion:
    """Remove the tree of a version that we installed."""

    version: str


@dataclass(frozen=True, slots=True)
class RemoveRetired:
    """Remove trees that were replaced, and that no run uses any more."""


@dataclass(frozen=True, slots=True)
class CollectStore:
    """Remove stored files that no tree has any more."""


@dataclass(frozen=True, slots=True)
class AcceptContent:
    """Have what these versions hold now be what they are to hold, whatever they held before."""

    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestParents:
    """Ask for runtimes that this one is made of: each a name and a version, a range or latest."""

    wanted: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WithdrawRequests:
    """Ask for these entries of spec.versions no longer: who asked for them in passing has gone."""

    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look at `versions` in the background: whether they are what was installed, or whether they work.

    `value` is the request's that asked for it; empty if nobody did.
    """

    request: Request
    versions: tuple[str, ...]
    value: str = ""


def plan(runtime: Runtime, observed: ObservedRuntime) -> Plan:
    """Return the steps from `observed` to `runtime.spec`, or to nothing if it is being deleted."""
    if runtime.meta.is_deleting:
        return _plan_removal(runtime, observed, None)
    if not observed.enabled:
        return Plan.wait(RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    if in_vain := observed.in_vain():
        return Plan.do(WithdrawRequests(in_vain))  # The next pass has the spec without them.
    if Request.ROLLBACK in unheard(runtime):
        return Plan.do(again=True)  # The report does it: what entries mean is in the status.
    if Request.ACCEPT in unheard(runtime):
        return Plan.do(AcceptContent(_to_accept(runtime, observed)), again=True)
    if conflict := observed.conflict():
        return Plan.wait(RuntimeReason.CONFLICT, conflict, CHECK_SECONDS)
    looks = _inspections(runtime, observed)
    if observed.lacking():
        return _with(looks, _plan_install(observed))
    if observed.healing:
        return Plan.do(HealVersions(observed.healing), again=True)
    fresh = {w.version: w.source for w in observed.outdated() if w.source and w.version not in observed.in_use}
    if fresh:
        return Plan.do(InstallVersions(tuple(s for s in fresh.values() if s), over=True), again=True)
    return _with(looks, _plan_removal(runtime, observed, _recheck_seconds(observed)))


def _plan_install(observed: ObservedRuntime) -> Plan:
    lacking = observed.lacking()
    # A broken tree that runs still use is replaced once they have ended; versions asked for twice come once.
    sources = {w.version: w.source for w in lacking if w.source and w.version not in observed.in_use}
    if sources:
        return Plan.do(InstallVersions(tuple(source for source in sources.values() if source)), again=True)
    if used := [w.version for w in lacking if w.source and w.version]:
        return Plan((), _waiting_for_users(used, observed), IN_USE_CHECK_SECONDS)
    waiting = Waiting(lacking[0].reason, lacking[0].problem)
    parents = tuple(w.parent for w in lacking if w.parent is not None)
    return Plan((RequestParents(parents),) if parents else (), waiting, _recheck_seconds(observed))


def _inspections(runtime: Runtime, observed: ObservedRuntime) -> tuple[Inspect, ...]:
    """Return what is to be looked at in the background, and is not already being looked at."""
    asked = unheard(runtime)
    ours = tuple(tree.version for tree in observed.trees if tree.origin is not None and not tree.problem)
    steps = []
    for request in (Request.VERIFY, Request.TEST):
        value = asked.get(request)
        done = observed.inspected.get(request)
        if value is None or (done is not None and done.value == value) or _is_going(observed, request, value):
            continue
        steps.append(Inspect(request, tuple(version for version in ours if is_about(value, version)), value))
    due = tuple(version for version in observed.due if version in ours)
    if due and not steps and not observed.going:
        steps.append(Inspect(Request.VERIFY, due))
    untested = tuple(version for version in observed.untested if version in ours)
    if untested and not steps and not observed.going:
        steps.append(Inspect(Request.TEST, untested[:1]))  # One at a time: nothing ends a test for who waits.
    return tuple(steps)


def _to_accept(runtime: Runtime, observed: ObservedRuntime) -> tuple[str, ...]:
    """Return the versions that hold another content than before, of those that the request is about.

    Where it names contents, only what holds one of them: what was made again since is another than was looked at.
    """
    asked = unheard(runtime)[Request.ACCEPT]
    seen = digests_in(asked)
    differing = [tree for tree in observed.trees if tree.former is not None and is_about(asked, tree.version)]
    return tuple(t.version for t in differing if seen is None or (t.origin is not None and t.origin.digest in seen))


def _is_going(observed: ObservedRuntime, request: Request, value: str) -> bool:
    return f"{request}={value}" in observed.going


def _with(looks: tuple[Inspect, ...], rest: Plan) -> Plan:
    if not looks:
        return rest
    soon = min(GOING_CHECK_SECONDS, rest.check_again_seconds or GOING_CHECK_SECONDS)
    return Plan((*looks, *rest.steps), rest.waiting, soon, rest.again)


def _plan_removal(runtime: Runtime, observed: ObservedRuntime, check_seconds: float | None) -> Plan:
    kept = keep(runtime, observed)
    going, collects = kept.going, Request.GC in unheard(runtime) and not runtime.meta.is_deleting
    if collects:
        for_now = kept.retained.keys() | kept.idle.keys()
        going += tuple(t for t in observed.trees if t.version in for_now and t.origin and t not in going)
    steps: list[object] = [RemoveVersion(tree.version) for tree in going if tree.version not in observed.in_use]
    steps += [RemoveRetired()] if observed.retired else []
    steps += [CollectStore()] if collects else []
    if used := [tree.version for tree in going if tree.version in observed.in_use]:
        return Plan(tuple(steps), _waiting_for_users(used, observed), IN_USE_CHECK_SECONDS)
    if old := [str(w.version) for w in observed.outdated() if w.source and w.version in observed.in_use]:
        message = f"{_waiting_for_users(old, observed).message}; it is made anew when they have ended"
        return Plan(tuple(steps), Waiting(RuntimeReason.OUTDATED, message), IN_USE_CHECK_SECONDS)
    if runtime.meta.is_deleting and observed.retired_in_use:
        message = f"{observed.retired_in_use} of its trees that were replaced may be in use by runs"
        return Plan(tuple(steps), Waiting(RuntimeReason.IN_USE, message), IN_USE_CHECK_SECONDS)
    if any(tree.version in kept.idle for tree in going):
        check_seconds = 0.0  # What asked for it is withdrawn as soon as what became of this is on record.
    return Plan.do(*steps, check_again_seconds=check_seconds)


def _waiting_for_users(versions: list[str], observed: ObservedRuntime) -> Waiting:
    users = sorted({user for version in versions for user in observed.in_use[version]})
    return Waiting(RuntimeReason.IN_USE, f"{', '.join(versions)} in use by {named(users)}")


def _recheck_seconds(observed: ObservedRuntime) -> float:
    soonest = [CHECK_SECONDS, *(w.retry_seconds for w in observed.wanted if w.retry_seconds is not None)]
    return min([*soonest, GOING_CHECK_SECONDS]) if observed.going else min(soonest)
