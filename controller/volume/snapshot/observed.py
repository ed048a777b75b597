"""What there is of a snapshot on the host, as plain data, and the steps that its plan is made of."""

from dataclasses import dataclass

from api.types.volume_snapshot import SnapshotReason
from controller.volume.found import Taken


@dataclass(frozen=True, slots=True)
class SnapshotProblem:
    """Why it cannot be taken now."""

    reason: SnapshotReason
    message: str


@dataclass(frozen=True, slots=True)
class ObservedSnapshot:
    """All that a plan for a snapshot is decided from, beside the snapshot itself.

    `copied_by` names the volumes that are to be made of it; `is_gone` says that nothing of it is left.
    """

    taken: Taken | None = None
    problem: SnapshotProblem | None = None
    copied_by: tuple[str, ...] = ()
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """Copy its volume, as that is at this moment."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove it and what it holds."""


@dataclass(frozen=True, slots=True)
class Retain:
    """Leave what it holds on the disk."""
