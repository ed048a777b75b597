"""The status of a volume, built from what is there now. Pure."""

from datetime import datetime

from api import conditions, quantity
from api.conditions import Condition, ConditionStatus
from api.types.volume import CONDITIONS, Volume, VolumeReason, VolumeStatus, VolumeType, VolumeUser
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.volume.observed import ObservedVolume
from controller.volume.plan import is_lost, named


def report(volume: Volume, observed: ObservedVolume, plan: Plan, now: datetime) -> VolumeStatus:
    """Return what the volume's status is, given what was observed after `plan` was carried out."""
    found = observed.found
    ready = _ready(volume, observed, plan)
    told = [ready]
    if observed.too_large:
        told.append(_resizing(VolumeReason.SIZE_FORBIDDEN, observed.too_large))
    return VolumeStatus(
        observed_generation=volume.meta.generation,
        phase=_phase(volume, observed, ready),
        conditions=conditions.merge(volume.status.conditions, told, now, ours=CONDITIONS),
        made=volume.status.made or found is not None,
        capacity_bytes=found.capacity_bytes if found else volume.status.capacity_bytes,
        used_bytes=volume.status.used_bytes if found is None or found.used_bytes is None else found.used_bytes,
        used_by=tuple(
            VolumeUser(job=user.job.rpartition("/")[2], attempt=user.attempt, read_only=user.read_only)
            for user in observed.users
        ),
    )


def _ready(volume: Volume, observed: ObservedVolume, plan: Plan) -> Condition:
    def say(status: ConditionStatus, reason: VolumeReason | str, message: str) -> Condition:
        return Condition(type="Ready", status=status, reason=reason, message=message)

    if volume.meta.is_deleting:
        waiting = plan.waiting.message if plan.waiting else "it is being removed"
        return say(ConditionStatus.FALSE, VolumeReason.TERMINATING, waiting)
    if plan.waiting is not None:
        return say(ConditionStatus.FALSE, plan.waiting.reason, plan.waiting.message)
    if observed.found is None and volume.spec.type is not VolumeType.HOST_PATH:
        return say(ConditionStatus.FALSE, VolumeReason.MAKING, "it is about to be made")
    if observed.users:
        return say(ConditionStatus.TRUE, VolumeReason.IN_USE, f"in use by {named(observed.users)}")
    return say(ConditionStatus.TRUE, VolumeReason.AVAILABLE, "no run has it")


def _phase(volume: Volume, observed: ObservedVolume, ready: Condition) -> str:
    if volume.meta.is_deleting:
        return "Terminating"
    if is_lost(volume, observed):
        return "Lost"
    if ready.reason == VolumeReason.DAMAGED:
        return "Damaged"
    if ready.status is not ConditionStatus.TRUE:
        return "Pending"
    return "InUse" if observed.users else "Available"


def report_failure(volume: Volume, error: TransientError | TerminalError, now: datetime) -> VolumeStatus:
    """Return the status of a volume that a pass failed for; one that cannot grow stays as it was, and says so."""
    if error.reason == VolumeReason.BEING_COPIED:
        return volume.status  # All that was known of it stays true.
    stays = [c for c in volume.status.conditions if c.type == "Ready"]
    if error.reason == VolumeReason.RESIZING and volume.status.made and stays:
        told = [*stays, _resizing(error.reason, error.message)]
        return _with(volume, conditions.merge(volume.status.conditions, told, now, ours=CONDITIONS))
    reason = error.reason if volume.status.made else VolumeReason.MAKING_FAILED
    failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=reason, message=error.message)
    return _with(volume, conditions.merge(volume.status.conditions, [failed], now, ours=CONDITIONS))


def _resizing(reason: str, message: str) -> Condition:
    return Condition(type="Resizing", status=ConditionStatus.TRUE, reason=reason, message=message)


def _with(volume: Volume, told: tuple[Condition, ...]) -> VolumeStatus:
    update = {"conditions": told, "observed_generation": volume.meta.generation}
    return volume.status.model_copy(update=update)


def resizing(capacity_bytes: int, wanted_bytes: int, why: str) -> str:
    """Return what is said of a volume that cannot grow now."""
    return f"it holds {quantity.rounded(capacity_bytes)}, and shall hold {quantity.rounded(wanted_bytes)}: {why}"


def until_unused(users: str) -> str:
    """Return what a volume waits for that cannot grow while it is used."""
    return f"that is done when no run has it: {users}: or give the daemon CAP_SYS_RESOURCE to do it at once"
