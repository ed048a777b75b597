"""What this process has started: the newest time of each CronJob that it made a job for.

It bridges the moment between a job that is made and the CronJob's status that tells of it, whatever becomes of the job
meanwhile. What a killed process had started and not put on record, the next one does before any job can go: `settle`.
"""

import threading
from dataclasses import dataclass
from datetime import datetime

from api.errors import Conflict, NotFound
from api.kinds import CRON_JOB, JOB
from api.meta import Document, ObjectKey, read_time, wire_time
from api.ports import Storage
from api.types.cron_job import AHEAD_ANNOTATION, SCHEDULED_ANNOTATION
from controller.cron_job.children import owner_of

_MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class Started:
    """A job that was started for a CronJob, and for which of its times; `is_ahead`: before that had come."""

    name: str
    moment: datetime
    is_ahead: bool = False


class Starts:
    """Remembers, by the uid of the CronJob; safe to use from several threads."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._newest: dict[str, Started] = {}
        self._ahead: dict[str, Started | None] = {}

    def add(self, uid: str, started: Started) -> None:
        """Remember a job that was made."""
        with self._lock:
            if started.is_ahead:
                self._ahead[uid] = started
            else:
                self._keep(uid, started)

    def take_back(self, uid: str, moment: datetime) -> None:
        """Know that the job that was made ahead of `moment` is none."""
        with self._lock:
            ahead = self._ahead.get(uid)
            if ahead is None or ahead.moment == moment:
                self._ahead[uid] = None

    def ahead(self, uid: str, recorded: datetime | None) -> datetime | None:
        """Return the time to come that a job was made ahead for; `recorded` is what is on record of it."""
        with self._lock:
            if uid not in self._ahead:
                self._ahead[uid] = None if recorded is None else Started("", recorded, is_ahead=True)
            ahead = self._ahead[uid]
            return None if ahead is None else ahead.moment

    def newest(self, uid: str, now: datetime) -> Started | None:
        """Return the newest whose time has come."""
        with self._lock:
            self._settle_ahead(uid, now)
            return self._newest.get(uid)

    def forget(self, uid: str) -> None:
        """Forget a CronJob that goes."""
        with self._lock:
            self._newest.pop(uid, None)
            self._ahead.pop(uid, None)

    def _settle_ahead(self, uid: str, now: datetime) -> None:
        """Have one that was made ahead of a time that has come by now be as any other."""
        ahead = self._ahead.get(uid)
        if ahead is not None and ahead.moment <= now:
            self._ahead[uid] = None
            self._keep(uid, ahead)

    def _keep(self, uid: str, started: Started) -> None:
        before = self._newest.get(uid)
        if before is None or before.moment < started.moment:
            self._newest[uid] = started


def name_for(cron_job: str, moment: datetime) -> str:
    """Return the name of the job for a time: as Kubernetes has it, with the minutes since 1970."""
    return f"{cron_job}-{int(moment.timestamp()) // 60}"


def made_ahead(job: Document) -> str:
    """Return of which generation of its CronJob a job was made ahead of its time, if nothing of it has begun."""
    said = (job["metadata"].get("annotations") or {}).get(AHEAD_ANNOTATION, "")
    return "" if job.get("status", {}).get("startTime") else said


def scheduled_of(job: Document) -> datetime | None:
    """Return the time that a job of a CronJob was started for; None if it says none, or is not named after it."""
    owner, said = owner_of(job), (job["metadata"].get("annotations") or {}).get(SCHEDULED_ANNOTATION)
    try:
        moment = read_time(said) if said else None
    except ValueError:
        return None
    if moment is None or owner is None or job["metadata"]["name"] != name_for(owner[1], moment):
        return None
    return moment


def settle(storage: Storage, starts: Starts, now: datetime) -> int:
    """Put on record which times had jobs made when an earlier process was killed; return of how many CronJobs.

    For before any job is reconciled: until then none of those jobs can have gone. Jobs that were made ahead of a time
    that has not come are remembered in `starts`.
    """
    if not storage.keys(CRON_JOB.name):
        return 0  # So no job is looked at, of which there may be very many.
    newest: dict[ObjectKey, tuple[datetime, str]] = {}
    for job in storage.each(JOB.name, words=(f'"{SCHEDULED_ANNOTATION}"',)):
        owner, moment = owner_of(job), scheduled_of(job)
        if owner is None or moment is None:
            continue
        if moment > now and made_ahead(job):
            if "deletionTimestamp" not in job["metadata"]:
                starts.add(owner[0], Started(job["metadata"]["name"], moment, is_ahead=True))
            continue
        key = ObjectKey(CRON_JOB.name, job["metadata"].get("namespace", ""), owner[1])
        newest[key] = max(newest.get(key, (moment, owner[0])), (moment, owner[0]))
    return sum(_record(storage, key, uid, moment) for key, (moment, uid) in newest.items())


def _record(storage: Storage, key: ObjectKey, uid: str, moment: datetime) -> bool:
    for _ in range(_MOST_TRIES):
        cron_job = storage.get(key)
        if cron_job is None or cron_job["metadata"]["uid"] != uid:
            return False
        status = cron_job.get("status", {})
        said = status.get("lastScheduleTime")
        if said and read_time(said) >= moment:
            return False
        try:
            storage.update_status(cron_job | {"status": status | {"lastScheduleTime": wire_time(moment)}})
        except Conflict:
            continue
        except NotFound:
            return False
        return True
    return False
