"""The status of a runtime, built from what is there now. Pure."""

from datetime import datetime

from api import conditions, runtime_spec
from api.conditions import Condition, ConditionStatus
from api.types.runtime import Runtime, RuntimeReason, RuntimeStatus, RuntimeVersion, VersionState
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.runtime.observed import ObservedRuntime, Tree


def report(runtime: Runtime, observed: ObservedRuntime, plan: Plan, now: datetime) -> RuntimeStatus:
    """Return what the runtime's status is, given what was observed after `plan` was carried out."""
    installed = [tree for tree in observed.trees if not tree.problem]
    return RuntimeStatus(
        observed_generation=runtime.meta.generation,
        conditions=conditions.merge(runtime.status.conditions, [_ready(runtime, observed, plan)], now),
        versions=tuple(_version(tree) for tree in observed.trees) + _missing(observed),
        latest=runtime_spec.latest(tree.version for tree in installed if tree.version) or "",
    )


def _version(tree: Tree) -> RuntimeVersion:
    origin = tree.origin
    return RuntimeVersion(
        version=tree.version,
        state=VersionState.FAILED if tree.problem else VersionState.INSTALLED,
        path=tree.path,
        checksum=f"sha256:{origin.sha256}" if origin else "",
        registry=origin.registry if origin else "",
        installed_at=origin.installed_at if origin else None,
        size_bytes=origin.archive_bytes if origin else None,
        message=tree.problem,
    )


def _missing(observed: ObservedRuntime) -> tuple[RuntimeVersion, ...]:
    return tuple(
        RuntimeVersion(version=wanted.version or wanted.asked, state=VersionState.FAILED, message=wanted.problem)
        for wanted in observed.wanted
        if wanted.problem and observed.tree(wanted.version) is None
    )


def _ready(runtime: Runtime, observed: ObservedRuntime, plan: Plan) -> Condition:
    def say(status: ConditionStatus, reason: str, message: str) -> Condition:
        return Condition(type="Ready", status=status, reason=reason, message=message)

    if not observed.enabled:
        return say(ConditionStatus.FALSE, RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings")
    if not observed.wanted:
        return say(ConditionStatus.TRUE, RuntimeReason.NOTHING_WANTED, "spec.versions is empty")
    lacking = [wanted for wanted in observed.wanted if observed.tree(wanted.version) is None]
    if lacking:
        reason = lacking[0].reason or RuntimeReason.INSTALLING
        return say(ConditionStatus.FALSE, reason, lacking[0].problem or f"{lacking[0].asked} is being installed")
    if plan.waiting is not None:
        return say(ConditionStatus.TRUE, plan.waiting.reason, plan.waiting.message)
    versions = ", ".join(sorted({str(wanted.version) for wanted in observed.wanted}, key=runtime_spec.version_order))
    return say(ConditionStatus.TRUE, RuntimeReason.INSTALLED, f"{versions} installed")


def report_failure(runtime: Runtime, error: TransientError | TerminalError, now: datetime) -> RuntimeStatus:
    """Return the status of a runtime that a pass failed for: what was installed still is."""
    failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=error.reason, message=error.message)
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


def with_progress(runtime: Runtime, version: str, done_bytes: int, size_bytes: int | None) -> RuntimeStatus:
    """Return the status while `version` is being installed."""
    going = RuntimeVersion(version=version, state=VersionState.INSTALLING, done_bytes=done_bytes, size_bytes=size_bytes)
    others = tuple(entry for entry in runtime.status.versions if entry.version != version)
    return runtime.status.model_copy(update={"versions": (*others, going)})
