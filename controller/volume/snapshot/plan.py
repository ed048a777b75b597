"""What a snapshot needs next. Pure: no I/O, no clock.

Invariants: what was taken once is never taken again, of another moment; nothing is removed that a volume is to be made
of.
"""

from api.types.volume_snapshot import SnapshotReason, VolumeSnapshot
from controller.engine.plan import Plan
from controller.volume.plan import few
from controller.volume.snapshot.observed import ObservedSnapshot, Remove, Retain, Take

_LOOK_AGAIN_SECONDS = 30.0  # News of its volume, and of those that are made of it, wake it sooner.


def plan(snapshot: VolumeSnapshot, observed: ObservedSnapshot) -> Plan:
    """Return the steps from `observed` to `snapshot.spec`, or to nothing if it is being deleted."""
    if snapshot.meta.is_deleting:
        return _plan_end(snapshot, observed)
    if observed.taken is not None:
        return Plan.nothing()
    if is_lost(snapshot, observed):
        return Plan.wait(SnapshotReason.LOST, "its image is gone from this host: put it back, or delete the snapshot")
    if observed.problem is not None:
        return Plan.wait(observed.problem.reason, observed.problem.message, _LOOK_AGAIN_SECONDS)
    return Plan.do(Take())


def is_lost(snapshot: VolumeSnapshot, observed: ObservedSnapshot) -> bool:
    """Say whether it was taken, and is not there any more, and was not meant to go."""
    return snapshot.status.creation_time is not None and observed.taken is None


def _plan_end(snapshot: VolumeSnapshot, observed: ObservedSnapshot) -> Plan:
    if observed.is_gone:
        return Plan.nothing()
    if observed.copied_by and observed.taken is not None:
        message = f"it goes when what was asked for is made of it: {few(observed.copied_by)}"
        return Plan.wait(SnapshotReason.TERMINATING, message, _LOOK_AGAIN_SECONDS)
    is_kept = snapshot.spec.deletion_policy == "Retain" and observed.taken is not None
    return Plan.do(Retain() if is_kept else Remove())
