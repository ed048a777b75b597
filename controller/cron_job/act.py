"""Doing the steps of a CronJob's plan: making jobs, deleting jobs, counting what was missed."""

from datetime import datetime
from typing import Any

from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.kinds import JOB
from api.meta import Document, ObjectKey, wire_time
from api.objects.admission import WriteOptions
from api.objects.verbs import Verbs
from api.types import cron_job as types
from api.types.cron_job import CronJob, CronJobReason
from controller.cron_job.children import owner_of
from controller.cron_job.metrics import CronMetrics
from controller.cron_job.starts import Started, Starts
from controller.cron_job.steps import DeleteJob, MakeAhead, Missed, PassOver, StartJob, TakeBack
from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.engine.recorder import EventType, Recorder

_OPTIONS = WriteOptions(field_manager="cronjob-controller")
_MANY = 100


class Actor:
    """Carries out the steps of CronJobs."""

    def __init__(self, clock: Clock, verbs: Verbs, starts: Starts, recorder: Recorder, metrics: CronMetrics) -> None:
        """Write with `verbs`, remember in `starts`."""
        self._clock = clock
        self._verbs = verbs
        self._starts = starts
        self._recorder = recorder
        self._metrics = metrics

    def act(self, cron_job: CronJob, step: Any) -> None:
        """Carry out one step. Raises TransientError."""
        match step:
            case StartJob():
                self._start(cron_job, step)
            case MakeAhead():
                self._make_ahead(cron_job, step)
            case DeleteJob(name, uid):
                self._delete(cron_job, name, uid)
            case TakeBack(name, uid, moment):
                self._delete(cron_job, name, uid)
                self._starts.take_back(cron_job.meta.uid, moment)
            case PassOver(moment, missed):
                limit = f"startingDeadlineSeconds is {cron_job.spec.starting_deadline_seconds}"
                said = f"missed the start at {wire_time(moment)}: it was noticed too late, {limit}"
                self._tell(cron_job, EventType.WARNING, "MissSchedule", said)
                self._metrics.missed.labels(Missed.TOO_LATE.value).inc(missed + 1)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _start(self, cron_job: CronJob, step: StartJob) -> None:
        try:
            self._create(cron_job, _job(cron_job, step.name, step.moment))
        except AlreadyExists:
            self._check_own(cron_job, step.name)
            self._starts.add(cron_job.meta.uid, Started(step.name, step.moment))
            return
        self._starts.add(cron_job.meta.uid, Started(step.name, step.moment))
        self._metrics.lateness_seconds.observe(max(0.0, (self._clock.now() - step.moment).total_seconds()))
        self._tell_missed(cron_job, step.missed)

    def _make_ahead(self, cron_job: CronJob, step: MakeAhead) -> None:
        job = _job(cron_job, step.name, step.moment)
        job["metadata"]["annotations"][types.AHEAD_ANNOTATION] = str(cron_job.meta.generation)
        job["spec"] = job["spec"] | {"startAt": wire_time(step.moment)}
        try:
            self._create(cron_job, job)
        except (AlreadyExists, TransientError):
            return  # It was made before, or cannot be: which is told when it is time.
        self._starts.add(cron_job.meta.uid, Started(step.name, step.moment, is_ahead=True))
        self._metrics.lateness_seconds.observe(0)

    def _create(self, cron_job: CronJob, job: Document) -> None:
        name = job["metadata"]["name"]
        try:
            self._verbs.create(JOB, cron_job.meta.namespace, job, _OPTIONS)
        except AlreadyExists:
            raise
        except ApiError as error:
            why = f"cannot make job {name}: {error.message}"
            raise TransientError(CronJobReason.FAILED_CREATE, why) from error
        self._metrics.started.inc()
        self._tell(cron_job, EventType.NORMAL, "SuccessfulCreate", f"made job {name}")

    def _check_own(self, cron_job: CronJob, name: str) -> None:
        """Raise TransientError if the job of that name is not this CronJob's."""
        found = self._verbs.storage.get(ObjectKey(JOB.name, cron_job.meta.namespace, name))
        owner = owner_of(found) if found else None
        if owner is None or owner[0] != cron_job.meta.uid:
            why = f"cannot make job {name}: there is another job of that name: delete it, or rename one of both"
            raise TransientError(CronJobReason.FAILED_CREATE, why)

    def _tell_missed(self, cron_job: CronJob, missed: int) -> None:
        if not missed:
            return
        self._metrics.missed.labels(Missed.SUPERSEDED.value).inc(missed)
        if missed > _MANY:
            said = (
                f"more than {_MANY} times were missed, and only the newest gets a job: was the daemon down, "
                "or the host's clock wrong?"
            )
            self._tell(cron_job, EventType.WARNING, "TooManyMissedTimes", said)

    def _delete(self, cron_job: CronJob, name: str, uid: str) -> None:
        try:
            self._verbs.delete(JOB, cron_job.meta.namespace, name, uid=uid)
        except (NotFound, Conflict):
            return  # Gone already, or another job of that name by now.
        self._tell(cron_job, EventType.NORMAL, "SuccessfulDelete", f"deleted job {name}")

    def _tell(self, cron_job: CronJob, type_: EventType, reason: str, message: str) -> None:
        self._recorder.record(_as_document(cron_job), type_, reason, message)


def _job(cron_job: CronJob, name: str, moment: datetime) -> Document:
    job = types.job_of(_as_document(cron_job), name, {types.SCHEDULED_ANNOTATION: wire_time(moment)}, blocks=True)
    # From its first moment on it cannot go before the Job kind has looked at it, which is after `settle`.
    job["metadata"]["finalizers"] = [JOB.finalizer]
    return job


def _as_document(cron_job: CronJob) -> Document:
    return cron_job.model_dump(mode="json", by_alias=True, exclude_unset=True)
