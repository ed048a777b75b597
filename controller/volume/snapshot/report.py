"""The status of a snapshot, built from what is there now. Pure."""

from datetime import UTC, datetime

from api import conditions, quantity
from api.conditions import Condition, ConditionStatus
from api.meta import wire_time
from api.types.volume_snapshot import (
    CONDITIONS,
    SnapshotError,
    SnapshotReason,
    VolumeSnapshot,
    VolumeSnapshotStatus,
)
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.volume.snapshot.observed import ObservedSnapshot


def report(snapshot: VolumeSnapshot, observed: ObservedSnapshot, plan: Plan, now: datetime) -> VolumeSnapshotStatus:
    """Return what the snapshot's status is, given what was observed after `plan` was carried out."""
    taken, before = observed.taken, snapshot.status
    ready = _ready(snapshot, observed, plan)
    moment = wire_time(datetime.fromtimestamp(taken.at, UTC)) if taken else None
    return VolumeSnapshotStatus(
        observed_generation=snapshot.meta.generation,
        conditions=conditions.merge(before.conditions, [ready], now, ours=CONDITIONS),
        ready_to_use=taken is not None,
        creation_time=before.creation_time or moment,
        restore_size=quantity.from_bytes(taken.size_bytes) if taken else before.restore_size,
        disk_bytes=taken.disk_bytes if taken else None,
        error=before.error if taken is None and plan.waiting is None else None,
    )


def _ready(snapshot: VolumeSnapshot, observed: ObservedSnapshot, plan: Plan) -> Condition:
    def say(status: ConditionStatus, reason: str, message: str) -> Condition:
        return Condition(type="Ready", status=status, reason=reason, message=message)

    if snapshot.meta.is_deleting:
        waiting = plan.waiting.message if plan.waiting else "it is being removed"
        return say(ConditionStatus.FALSE, SnapshotReason.TERMINATING, waiting)
    if plan.waiting is not None:
        return say(ConditionStatus.FALSE, plan.waiting.reason, plan.waiting.message)
    if observed.taken is None:
        return say(ConditionStatus.FALSE, SnapshotReason.TAKING, "it is about to be taken")
    of = snapshot.spec.source.volume_name
    return say(ConditionStatus.TRUE, SnapshotReason.READY_TO_USE, f"it has what volume {of} held at its creationTime")


def report_failure(
    snapshot: VolumeSnapshot, error: TransientError | TerminalError, now: datetime
) -> VolumeSnapshotStatus:
    """Return the status of a snapshot that a pass failed for: why, as Kubernetes' snapshots say it, and as ours do."""
    before = snapshot.status
    is_failure = error.reason != SnapshotReason.TAKING  # It only has to wait for its turn.
    is_taking = is_failure and not before.ready_to_use and not snapshot.meta.is_deleting
    reason = SnapshotReason.SNAPSHOT_FAILED if is_taking else error.reason
    failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=reason, message=error.message)
    same = before.error is not None and before.error.message == error.message
    told = before.error if same else SnapshotError(time=wire_time(now), message=error.message)
    update = {
        "conditions": conditions.merge(before.conditions, [failed], now, ours=CONDITIONS),
        "observed_generation": snapshot.meta.generation,
        "error": told if is_failure else before.error,
    }
    return before.model_copy(update=update)
