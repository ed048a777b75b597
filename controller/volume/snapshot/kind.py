"""The VolumeSnapshot kind, put together for the engine: looks at what there is, does the steps of plans."""

from typing import Any

from api.kinds import VOLUME, VOLUME_SNAPSHOT, Kind
from api.meta import ObjectKey
from api.types.volume import VolumeType
from api.types.volume_snapshot import SnapshotReason, VolumeSnapshot, VolumeSnapshotStatus
from controller.engine.clock import Clock
from controller.engine.errors import Postponed, TerminalError, TransientError
from controller.engine.plan import Plan
from controller.volume import sources as rules
from controller.volume.backing import Backing
from controller.volume.found import BeingCopied
from controller.volume.snapshot import plan as planning
from controller.volume.snapshot import report
from controller.volume.snapshot.observed import ObservedSnapshot, Remove, Retain, SnapshotProblem, Take
from controller.volume.sources import Sources

_TURN_CHECK_SECONDS = 1.0  # Who waits for it, waits; a copy takes as long as it takes.


class VolumeSnapshotKind:
    """What the engine needs to reconcile snapshots."""

    kind: Kind = VOLUME_SNAPSHOT

    def __init__(self, clock: Clock, backing: Backing, sources: Sources) -> None:
        """Keep snapshots in `backing`, beside the volumes; `sources` knows what they are taken of."""
        self._clock = clock
        self._backing = backing
        self._sources = sources

    def observe(self, obj: VolumeSnapshot) -> ObservedSnapshot:
        """Return what there is of the snapshot."""
        uid, is_deleting = obj.meta.uid, obj.meta.is_deleting
        taken = self._backing.taken(uid)
        problem = self._problem(obj) if taken is None and not is_deleting else None
        copied_by = self._sources.copied_by(obj.key, obj.meta.deletion_timestamp) if is_deleting else ()
        return ObservedSnapshot(taken, problem, copied_by, self._backing.is_gone(uid))

    def plan(self, obj: VolumeSnapshot, observed: ObservedSnapshot) -> Plan:
        """Return what the snapshot needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: VolumeSnapshot, step: Any) -> None:
        """Carry out one step.

        Raises:
            TransientError: it did not work now.
        """
        try:
            self._act(obj, step)
        except BeingCopied as error:
            why = f"cannot take it now: {error.strerror}"
            raise Postponed(SnapshotReason.TAKING, why, _TURN_CHECK_SECONDS) from error
        except OSError as error:
            raise TransientError("HostError", f"cannot keep {obj.key} as wanted: {error}") from error

    def report(self, obj: VolumeSnapshot, observed: ObservedSnapshot, plan: Plan) -> VolumeSnapshotStatus:
        """Return the snapshot's status as observed."""
        return report.report(obj, observed, plan, self._clock.now())

    def report_failure(self, obj: VolumeSnapshot, error: TransientError | TerminalError) -> VolumeSnapshotStatus:
        """Return the status of a snapshot that a pass failed for."""
        return report.report_failure(obj, error, self._clock.now())

    def is_gone(self, observed: ObservedSnapshot) -> bool:
        """Whether nothing of it is left to be used: asked of one that is being deleted."""
        return observed.is_gone

    def _act(self, obj: VolumeSnapshot, step: Any) -> None:
        uid = obj.meta.uid
        match step:
            case Take():
                self._take(obj)
            case Remove():
                self._backing.remove(uid)
            case Retain():
                self._backing.retain(uid, obj.meta.namespace, obj.meta.name)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _take(self, obj: VolumeSnapshot) -> None:
        volume = self._sources.volume(_source(obj))
        if volume is None:
            raise TransientError(SnapshotReason.SOURCE_NOT_READY, f"volume {_source(obj).name} has just gone")
        of = str(volume["metadata"]["uid"])
        self._backing.make(obj.meta.uid, VolumeType.FILESYSTEM, 0, lambda to: self._backing.copy_of(of, to))

    def _problem(self, obj: VolumeSnapshot) -> SnapshotProblem | None:
        name, volume = obj.spec.source.volume_name, self._sources.volume(_source(obj))
        if volume is None or rules.is_too_late(obj.meta, volume):
            going = "is being deleted" if volume else "is not there"
            why = f"volume {name} {going} in namespace {obj.meta.namespace}: name another, or create it"
            return SnapshotProblem(SnapshotReason.SOURCE_NOT_READY, why)
        type_ = rules.type_of(volume)
        if type_ is not VolumeType.FILESYSTEM:
            why = (
                f"volume {name} is of the type {type_}: only of the type filesystem there are snapshots: copy its files"
            )
            return SnapshotProblem(SnapshotReason.SOURCE_UNSUPPORTED, why)
        if rules.size_of(volume) is None:
            why = f"volume {name} is not ready: rnx describe volume {name} tells why"
            return SnapshotProblem(SnapshotReason.SOURCE_NOT_READY, why)
        return None


def _source(obj: VolumeSnapshot) -> ObjectKey:
    return ObjectKey(VOLUME.name, obj.meta.namespace, obj.spec.source.volume_name)
