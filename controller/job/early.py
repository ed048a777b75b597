"""Which jobs have their runs made ready before they are due, and from when on: where very many are due together.

Such a run is begun, and all of its sandbox made, and it is held at its command until `spec.startAt`. Only what could
be made the same way then is made ahead: nothing that a run takes from others, nor what it has of objects and files that
may change until then.
"""

from collections.abc import Callable
from datetime import datetime

from api.types.cron_job import AHEAD_ANNOTATION
from api.types.job import Job
from api.types.network import NONE
from controller.engine.ahead import LONGEST_SECONDS, Ahead
from controller.job import references


class EarlyStarts:
    """Keeps the places of jobs in the time before their moments; safe to use from several threads."""

    def __init__(self, cpus: int = 1, network_of: Callable[[Job], str] = lambda _job: NONE) -> None:
        """Reckon with so many CPUs; `network_of` names the network that a job's runs are in."""
        self._ahead = Ahead(cpus)
        self._network_of = network_of

    def ready_from(self, job: Job, now: datetime) -> datetime | None:
        """Return from when on the next run of `job` may be made ready ahead of its moment; None if it may not."""
        moment = job.spec.starts_at
        if moment is None or moment <= now or job.meta.is_deleting or not self._can_be_early(job):
            self._ahead.forget(job.meta.uid)
            return None
        if AHEAD_ANNOTATION in job.meta.annotations:  # Who made the job has kept to a place in time.
            return now if (moment - now).total_seconds() <= LONGEST_SECONDS else None
        return self._ahead.begins_at(job.meta.uid, moment, now)

    def _can_be_early(self, job: Job) -> bool:
        spec = job.spec
        takes = spec.resources.limits.devices or spec.volume_mounts or self._network_of(job) != NONE
        depends = spec.after or references.any_of(job) or any(each.host_path is not None for each in spec.files)
        return not (spec.suspend or job.has_many_runs or takes or depends)
