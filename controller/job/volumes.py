"""Volumes as jobs need them: which a run may have now, what it is given, and what is asked for. Plain data.

The Volume kind is behind `Volumes`, unknown to us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from api.types.job import Job, RunVolume
from controller.sandbox.spec import VolumeBind


@dataclass(frozen=True, slots=True)
class VolumesReady:
    """The volumes that the job's next run would have now; none for a job that names none."""

    volumes: tuple[RunVolume, ...] = ()


NO_VOLUMES = VolumesReady()


@dataclass(frozen=True, slots=True)
class VolumesMissing:
    """The job's next run cannot have the volumes it names. `requests` are the names of some to be declared for it."""

    reason: str
    message: str
    requests: tuple[str, ...] = ()


class Volumes(Protocol):
    """The volumes of this host; safe to use from several threads.

    Invariant: a run has its volumes from before it is on record until nothing of it is left on the host.
    """

    def find(self, job: Job) -> VolumesReady | VolumesMissing:
        """Return the volumes that a next run of `job` would have now, or why it cannot; then it waits for them."""
        ...

    def claim(self, job: Job, attempt: int, volumes: Sequence[RunVolume]) -> None:
        """Hold these for run `attempt`, until it is on record that it has them.

        Raises:
            TransientError: somebody else has come first.
        """
        ...

    def mounted(self, job: Job, volumes: Sequence[RunVolume]) -> tuple[VolumeBind, ...]:
        """Have them mounted, and return what a run of `job` sees of them.

        Raises:
            TransientError: one of them cannot be.
        """
        ...

    def shown(self, job: Job) -> tuple[VolumeBind, ...]:
        """Return what a run of `job` would see of its volumes, without mounting anything."""
        ...

    def free(self, job: Job, attempt: int) -> None:
        """Know that nothing of run `attempt` is left on the host: others may have its volumes, and are woken."""
        ...

    def request(self, job: Job, name: str) -> None:
        """Declare a volume that the job names and nobody has."""
        ...
