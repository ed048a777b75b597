"""The status of a runtime, built from what is there now. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from api import conditions, runtime_spec
from api.conditions import Condition, ConditionStatus
from api.meta import wire_time
from api.runtime_spec import LATEST
from api.types.runtime import CONDITIONS, Runtime, RuntimeReason, RuntimeStatus, RuntimeVersion, VersionState
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.runtime import contents, requests
from controller.runtime.contents import MOST_PROBLEMS, say
from controller.runtime.keeping import Kept, current, keep, kept_because
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.trees import origin as origins
from controller.runtime.trees.origin import Origin


def report(runtime: Runtime, observed: ObservedRuntime, plan: Plan, now: datetime) -> RuntimeStatus:
    """Return what the runtime's status is, given what was observed after `plan` was carried out."""
    heard = requests.heard(runtime, observed, plan, now)
    gone = observed.in_vain()  # What is about to be asked for no longer is no trouble.
    observed = replace(observed, wanted=tuple(wanted for wanted in observed.wanted if wanted.asked not in gone))
    # What its entries mean, and so what is kept of it, is that of the history as it goes on.
    runtime = runtime.model_copy(update={"status": runtime.status.model_copy(update={"history": heard.history})})
    kept = keep(runtime, observed)
    usable = [tree.version for tree in observed.trees if not tree.problem]
    found = [_ready(runtime, observed, plan), *_healthy(observed, kept), *contents.conditions(observed, kept.wanted)]
    return RuntimeStatus(
        observed_generation=runtime.meta.generation,
        conditions=conditions.merge(runtime.status.conditions, found, now, ours=CONDITIONS),
        versions=tuple(_there(tree, observed, kept) for tree in observed.trees) + _not_there(observed),
        latest=runtime_spec.latest(usable) or "",
        history=heard.history,
        requests_heard=dict(heard.values),
        request_results=dict(heard.results),
    )


def _there(tree: Tree, observed: ObservedRuntime, kept: Kept) -> RuntimeVersion:
    origin = tree.origin
    state = VersionState.FAILED if tree.problem else VersionState.INSTALLED
    told = RuntimeVersion(
        version=tree.version,
        state=VersionState.REMOVING if tree in kept.going else state,
        path=tree.path,
        reason=RuntimeReason.INVALID_RUNTIME if tree.problem else "",
        message=tree.problem,
        kept_because=kept_because(kept, observed, tree),
        last_used_at=wire_time(tree.last_used) if tree.last_used else None,
        shared_bytes=tree.shared_bytes,
    )
    if origin is None:
        return told
    former = tree.former
    was = {"former_digest": former.digest, "former_since": former.since} if former is not None else {}
    return told.model_copy(update=_recorded(origin) | was)


def _recorded(origin: Origin) -> dict[str, Any]:
    return {
        "checksum": f"sha256:{origin.sha256}" if origin.sha256 else "",
        "registry": origin.registry,
        "installed_at": origin.installed_at,
        "size_bytes": origin.archive_bytes or None,
        "source": origin.kind,
        "digest": origin.digest,
        "health": origin.health,
        "health_message": origin.health_message,
        "checked_at": origin.checked_at or None,
        "verified_at": origin.verified_at or None,
        "drift": origin.drift,
        "reproducible": contents.reproducible(origin.bound) if origin.bound else "",
        "reproducible_message": origin.bound_message,
        "disk_bytes": origin.disk_bytes or None,
    }


def _not_there(observed: ObservedRuntime) -> tuple[RuntimeVersion, ...]:
    """Return an entry for each wanted version of which there is no tree at all."""
    listed = {tree.version for tree in observed.trees}
    missing = {wanted.version or wanted.asked: wanted for wanted in observed.lacking() if wanted.version not in listed}
    return tuple(
        RuntimeVersion(
            version=version,
            state=VersionState.FAILED if wanted.problem else VersionState.INSTALLING,
            reason=wanted.reason if wanted.problem else "",
            message=wanted.problem,
        )
        for version, wanted in missing.items()
    )


def _ready(runtime: Runtime, observed: ObservedRuntime, plan: Plan) -> Condition:
    if runtime.meta.is_deleting:
        if plan.waiting is not None:
            return say(ConditionStatus.FALSE, plan.waiting.reason, f"to be removed: {plan.waiting.message}")
        return say(ConditionStatus.FALSE, RuntimeReason.REMOVING, "it is being removed")
    if not observed.enabled:
        return say(ConditionStatus.FALSE, RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    if conflict := observed.conflict():
        return say(ConditionStatus.FALSE, RuntimeReason.CONFLICT, conflict)
    if lacking := observed.lacking():
        return _not_ready(lacking, plan)
    if useless := [w for w in observed.wanted if not _works(runtime, observed, w)]:
        tree = observed.tree(useless[0].version)
        why = tree.origin.health_message if tree is not None and tree.origin is not None else ""
        return say(ConditionStatus.FALSE, RuntimeReason.UNHEALTHY, f"{useless[0].version} does not work: {why}")
    if plan.waiting is not None:
        return say(ConditionStatus.TRUE, plan.waiting.reason, plan.waiting.message)
    if not observed.wanted:
        return say(ConditionStatus.TRUE, RuntimeReason.NOTHING_WANTED, "spec.versions is empty")
    return _installed(runtime, observed)


def _works(runtime: Runtime, observed: ObservedRuntime, wanted: Wanted) -> bool:
    """Whether jobs get a version that works for an entry: the one that it is to mean, or the one before."""
    return current(runtime, observed, wanted.asked) is not None


def _healthy(observed: ObservedRuntime, kept: Kept) -> list[Condition]:
    """Return the condition Healthy, of the versions that are wanted and were looked at; nothing if none was."""
    looked = [t for t in observed.trees if t.origin and t.origin.health and t.version in kept.wanted]
    sick = [f"{t.version} does not work: {t.origin.health_message}" for t in looked if t.unhealthy and t.origin]
    if sick:
        told = "; ".join(sick[:MOST_PROBLEMS])
        return [say(ConditionStatus.FALSE, RuntimeReason.UNHEALTHY, told, "Healthy")]
    if partly := [f"{t.version} works, but {t.origin.health_message}" for t in looked if t.degraded and t.origin]:
        told = "; ".join(partly[:MOST_PROBLEMS])
        return [say(ConditionStatus.FALSE, RuntimeReason.DEGRADED, told, "Healthy")]
    names = ", ".join(t.version for t in looked)
    return [say(ConditionStatus.TRUE, RuntimeReason.HEALTHY, f"{names} works", "Healthy")] if looked else []


def _not_ready(lacking: tuple[Wanted, ...], plan: Plan) -> Condition:
    failed = [wanted for wanted in lacking if wanted.problem]
    if failed:
        problems = "; ".join(dict.fromkeys(wanted.problem for wanted in failed[:MOST_PROBLEMS]))
        return say(ConditionStatus.FALSE, failed[0].reason, problems)
    if plan.waiting is not None:
        return say(ConditionStatus.FALSE, plan.waiting.reason, plan.waiting.message)
    names = ", ".join(wanted.version or wanted.asked for wanted in lacking)
    return say(ConditionStatus.FALSE, RuntimeReason.INSTALLING, f"{names} is being installed")


def _installed(runtime: Runtime, observed: ObservedRuntime) -> Condition:
    versions = {str(wanted.version) for wanted in observed.wanted}
    message = f"{', '.join(sorted(versions, key=runtime_spec.version_order))} installed"
    for wanted in observed.wanted:
        if stays := staying(runtime, observed, wanted):
            message += f"; {stays}"
        if wanted.problem:  # It is there; what is not known is whether there is a later one.
            message += f"; {_unsure(wanted)}: {wanted.problem}"
    return say(ConditionStatus.TRUE, RuntimeReason.INSTALLED, message)


def staying(runtime: Runtime, observed: ObservedRuntime, wanted: Wanted) -> str:
    """Say what an entry goes on to mean where what it is to mean does not work; nothing where it does."""
    serving, tree = current(runtime, observed, wanted.asked), observed.tree(wanted.version)
    if serving in (None, wanted.version) or tree is None or tree.origin is None or not tree.unhealthy:
        return ""
    return f"{wanted.asked} goes on to mean {serving}: {tree.version} does not work: {tree.origin.health_message}"


def newly_sick(runtime: Runtime, observed: ObservedRuntime, after: RuntimeStatus) -> tuple[str, ...]:
    """Return what a person should hear of versions that are found not to work, and did, or were not there, before."""
    before = {each.version for each in runtime.status.versions if each.health == origins.UNHEALTHY}
    sick = [v for v in after.versions if v.health == origins.UNHEALTHY and v.version not in before]
    now = runtime.model_copy(update={"status": after})
    stays = {w.version: said for w in observed.wanted if (said := staying(now, observed, w))}
    return tuple(stays.get(v.version) or f"{v.version} does not work: {v.health_message}" for v in sick)


def _unsure(wanted: Wanted) -> str:
    if wanted.outdated:
        return f"{wanted.version} is outdated and cannot be made anew"
    if wanted.asked == LATEST:
        return "cannot tell whether it is still the latest"
    return f"cannot tell whether {wanted.version} is still what {wanted.asked} means"


def report_failure(runtime: Runtime, error: TransientError | TerminalError, now: datetime) -> RuntimeStatus:
    """Return the status of a runtime that a pass failed for: what was installed still is."""
    failed = say(ConditionStatus.FALSE, error.reason, error.message)
    why = {"reason": error.reason, "message": error.message}
    failure = {"state": VersionState.FAILED, "done_bytes": None, **why}
    versions = tuple(
        version.model_copy(update=failure) if version.state is VersionState.INSTALLING else version
        for version in runtime.status.versions
    )
    update = {
        "observed_generation": runtime.meta.generation,
        "conditions": _with_ready(runtime, failed, now),
        "versions": versions,
    }
    return runtime.status.model_copy(update=update)


def with_progress(runtime: Runtime, going: tuple[RuntimeVersion, ...], now: datetime) -> RuntimeStatus:
    """Return the status while the versions `going` are being installed."""
    names = {entry.version for entry in going}
    others = tuple(entry for entry in runtime.status.versions if entry.version not in names)
    message = f"{', '.join(entry.version for entry in going)} is being installed"
    ready = say(ConditionStatus.FALSE, RuntimeReason.INSTALLING, message)
    update = {
        "observed_generation": runtime.meta.generation,
        "conditions": _with_ready(runtime, ready, now),
        "versions": (*others, *going),
    }
    return runtime.status.model_copy(update=update)


def _with_ready(runtime: Runtime, ready: Condition, now: datetime) -> tuple[Condition, ...]:
    """Return the conditions with another Ready; what was known of the rest still is."""
    others = [each for each in runtime.status.conditions if each.type in CONDITIONS - {ready.type}]
    return conditions.merge(runtime.status.conditions, [ready, *others], now, ours=CONDITIONS)
