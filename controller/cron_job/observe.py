"""Looking at what there is of a CronJob: its schedule in its time zone, and its jobs as the store has them."""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from api import cron
from api.cron import CronSchedule
from api.kinds import JOB
from api.meta import Document, ObjectKey, read_time
from api.ports import Storage
from api.types.cron_job import MANUAL_ANNOTATION, CronJob, CronJobReason
from controller.cron_job.children import Children, ending, owner_of
from controller.cron_job.observed import Child, Ended, ObservedCronJob
from controller.cron_job.starts import Starts, made_ahead, scheduled_of
from controller.engine.ahead import Ahead
from controller.engine.clock import Clock


class Observer:
    """Looks at one CronJob at a time."""

    def __init__(
        self, clock: Clock, storage: Storage, children: Children, starts: Starts, zone: tzinfo, ahead: Ahead
    ) -> None:
        """Read `storage`; `zone` is that of CronJobs that name none, `ahead` has the places in time of their jobs."""
        self._clock = clock
        self._storage = storage
        self._children = children
        self._starts = starts
        self._zone = zone
        self._ahead = ahead

    def observe(self, cron_job: CronJob) -> ObservedCronJob:
        """Return what there is of it."""
        now = self._clock.now()
        ahead = self._starts.ahead(cron_job.meta.uid, _time(cron_job.status.ahead_time))
        newest = self._starts.newest(cron_job.meta.uid, now)
        names = {reference.name for reference in cron_job.status.active} | ({newest.name} if newest else set())
        keys = {ObjectKey(JOB.name, cron_job.meta.namespace, name) for name in names if name}
        children = tuple(self._look(cron_job.meta.uid, keys | set(self._children.of(cron_job.meta.uid))))
        schedule, problem = self._schedule(cron_job)
        started = newest.moment if newest else None
        make_from = self._make_from(cron_job, schedule, now)
        ahead = ahead if ahead is not None and ahead > now else None
        return ObservedCronJob(now, schedule, children, started, problem, make_from, ahead)

    def _make_from(self, cron_job: CronJob, schedule: CronSchedule | None, now: datetime) -> datetime | None:
        """Return from when on the job of the next time is made ahead of it; None if it is not."""
        coming = None if schedule is None else schedule.next(now)
        if coming is None or cron_job.spec.suspend or cron_job.meta.is_deleting:
            self._ahead.forget(cron_job.meta.uid)
            return None
        return self._ahead.begins_at(cron_job.meta.uid, coming, now)

    def zone_of(self, cron_job: CronJob) -> tzinfo:
        """Return the time zone that its schedule is meant in. Raises ValueError."""
        name = cron_job.spec.time_zone
        return self._zone if name is None else cron.zone(name)

    def _schedule(self, cron_job: CronJob) -> tuple[CronSchedule | None, tuple[str, str]]:
        try:
            zone = self.zone_of(cron_job)
        except ValueError as error:
            return None, (CronJobReason.UNKNOWN_TIME_ZONE, f"cannot follow spec.timeZone: {error}")
        try:
            return cron.schedule(cron_job.spec.schedule, zone), ("", "")
        except ValueError as error:
            return None, (CronJobReason.UNPARSEABLE_SCHEDULE, str(error))

    def _look(self, uid: str, keys: Iterable[ObjectKey]) -> Iterable[Child]:
        for key in sorted(keys):
            job = self._storage.get(key)
            owner = owner_of(job) if job else None
            if job is not None and owner is not None and owner[0] == uid:
                yield _child(job)


def _child(job: Document) -> Child:
    metadata, status, scheduled = job["metadata"], job.get("status", {}), scheduled_of(job)
    by_hand = (metadata.get("annotations") or {}).get(MANUAL_ANNOTATION) == "manual"
    return Child(
        name=metadata["name"],
        uid=metadata["uid"],
        created=read_time(metadata["creationTimestamp"]),
        ended=Ended(ending(job)),
        started=_time(status.get("startTime")),
        completed=_time(status.get("completionTime")),
        scheduled=scheduled,
        is_manual=by_hand and scheduled is None,
        is_deleting="deletionTimestamp" in metadata,
        made_ahead=made_ahead(job),
    )


def _time(text: str | None) -> datetime | None:
    return read_time(text) if text else None


def host_zone(localtime: Path = Path("/etc/localtime")) -> tzinfo:
    """Return the time zone of this host, UTC where none is said."""
    name = str(localtime.resolve()).partition("/zoneinfo/")[2]
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=name or "localtime")
    except (OSError, ValueError):
        return UTC
