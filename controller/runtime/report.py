"""The status of a runtime, built from what is there now. Pure."""

from datetime import datetime

from api import conditions, runtime_spec
from api.conditions import Condition, ConditionStatus
from api.types.runtime import Runtime, RuntimeReason, RuntimeStatus, RuntimeVersion, VersionState
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.plan import unwanted

_MOST_PROBLEMS = 5


def report(runtime: Runtime, observed: ObservedRuntime, plan: Plan, now: datetime) -> RuntimeStatus:
    """Return what the runtime's status is, given what was observed after `plan` was carried out."""
    going = unwanted(runtime, observed)
    usable = [tree.version for tree in observed.trees if not tree.problem]
    return RuntimeStatus(
        observed_generation=runtime.meta.generation,
        conditions=conditions.merge(runtime.status.conditions, [_ready(runtime, observed, plan)], now),
        versions=tuple(_there(tree, is_going=tree in going) for tree in observed.trees) + _not_there(observed),
        latest=runtime_spec.latest(usable) or "",
    )


def _there(tree: Tree, *, is_going: bool) -> RuntimeVersion:
    origin = tree.origin
    state = VersionState.FAILED if tree.problem else VersionState.INSTALLED
    return RuntimeVersion(
        version=tree.version,
        state=VersionState.REMOVING if is_going else state,
        path=tree.path,
        checksum=f"sha256:{origin.sha256}" if origin else "",
        registry=origin.registry if origin else "",
        installed_at=origin.installed_at if origin else None,
        size_bytes=origin.archive_bytes if origin else None,
        message=tree.problem,
    )


def _not_there(observed: ObservedRuntime) -> tuple[RuntimeVersion, ...]:
    """Return an entry for each wanted version of which there is no tree at all."""
    listed = {tree.version for tree in observed.trees}
    missing = {wanted.version or wanted.asked: wanted for wanted in observed.lacking() if wanted.version not in listed}
    return tuple(
        RuntimeVersion(
            version=version,
            state=VersionState.FAILED if wanted.problem else VersionState.INSTALLING,
            message=wanted.problem,
        )
        for version, wanted in missing.items()
    )


def _ready(runtime: Runtime, observed: ObservedRuntime, plan: Plan) -> Condition:
    if runtime.meta.is_deleting:
        if plan.waiting is not None:
            return _say(ConditionStatus.FALSE, plan.waiting.reason, f"to be removed: {plan.waiting.message}")
        return _say(ConditionStatus.FALSE, RuntimeReason.REMOVING, "it is being removed")
    if not observed.enabled:
        return _say(ConditionStatus.FALSE, RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    if conflict := observed.conflict():
        return _say(ConditionStatus.FALSE, RuntimeReason.CONFLICT, conflict)
    if lacking := observed.lacking():
        return _not_ready(lacking, plan)
    if plan.waiting is not None:
        return _say(ConditionStatus.TRUE, plan.waiting.reason, plan.waiting.message)
    if not observed.wanted:
        return _say(ConditionStatus.TRUE, RuntimeReason.NOTHING_WANTED, "spec.versions is empty")
    return _installed(observed)


def _not_ready(lacking: tuple[Wanted, ...], plan: Plan) -> Condition:
    failed = [wanted for wanted in lacking if wanted.problem]
    if failed:
        problems = "; ".join(dict.fromkeys(wanted.problem for wanted in failed[:_MOST_PROBLEMS]))
        return _say(ConditionStatus.FALSE, failed[0].reason, problems)
    if plan.waiting is not None:
        return _say(ConditionStatus.FALSE, plan.waiting.reason, plan.waiting.message)
    names = ", ".join(wanted.version or wanted.asked for wanted in lacking)
    return _say(ConditionStatus.FALSE, RuntimeReason.INSTALLING, f"{names} is being installed")


def _installed(observed: ObservedRuntime) -> Condition:
    versions = {str(wanted.version) for wanted in observed.wanted}
    message = f"{', '.join(sorted(versions, key=runtime_spec.version_order))} installed"
    for wanted in observed.wanted:
        if wanted.problem:  # It is there; what is not known is whether there is a later one.
            message += f"; cannot tell whether it is still the latest: {wanted.problem}"
    return _say(ConditionStatus.TRUE, RuntimeReason.INSTALLED, message)


def _say(status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type="Ready", status=status, reason=reason, message=message)


def report_failure(runtime: Runtime, error: TransientError | TerminalError, now: datetime) -> RuntimeStatus:
    """Return the status of a runtime that a pass failed for: what was installed still is."""
    failed = _say(ConditionStatus.FALSE, error.reason, error.message)
    versions = tuple(
        version.model_copy(update={"state": VersionState.FAILED, "message": error.message, "done_bytes": None})
        if version.state is VersionState.INSTALLING
        else version
        for version in runtime.status.versions
    )
    update = {
        "observed_generation": runtime.meta.generation,
        "conditions": conditions.merge(runtime.status.conditions, [failed], now),
        "versions": versions,
    }
    return runtime.status.model_copy(update=update)


def with_progress(runtime: Runtime, going: tuple[RuntimeVersion, ...], now: datetime) -> RuntimeStatus:
    """Return the status while the versions `going` are being installed."""
    names = {entry.version for entry in going}
    others = tuple(entry for entry in runtime.status.versions if entry.version not in names)
    message = f"{', '.join(entry.version for entry in going)} is being installed"
    ready = _say(ConditionStatus.FALSE, RuntimeReason.INSTALLING, message)
    update = {
        "observed_generation": runtime.meta.generation,
        "conditions": conditions.merge(runtime.status.conditions, [ready], now),
        "versions": (*others, *going),
    }
    return runtime.status.model_copy(update=update)
