"""Whether a job is over, and how. Pure; decided from its runs each time, never remembered apart."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.conditions import ConditionStatus, find
from api.meta import read_time, wire_time
from api.types.job import Job, Reason, Run
from api.types.job_after import AfterStatus
from controller.job import history

STOP_ANNOTATION = "runwright.dev/stop-requested"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The job has completed, or failed for good."""

    complete: bool
    reason: str
    message: str
    finished_at: str | None

    @classmethod
    def good(cls, reason: str, message: str, finished_at: str | None) -> "Verdict":
        """It has completed."""
        return cls(complete=True, reason=reason, message=message, finished_at=finished_at)

    @classmethod
    def bad(cls, reason: str, message: str, finished_at: str | None) -> "Verdict":
        """It has failed for good."""
        return cls(complete=False, reason=reason, message=message, finished_at=finished_at)


def stop_requested(job: Job) -> bool:
    """Whether someone asked for the job, as it is now, to be stopped and kept.

    A request holds for the template that it was heard with: a job that was stopped and then changed runs again.
    """
    request = job.meta.annotations.get(STOP_ANNOTATION)
    if request is None:
        return False
    return request != job.status.stop_request or job.status.stopped_template_hash == job.spec.template_hash()


def of(job: Job, runs: tuple[Run, ...], now: datetime, never: AfterStatus | None = None) -> Verdict | None:
    """Return how the job ended, or None while there is still something to do.

    `never` is a job that it was to run after, and never can.
    """
    mine = history.of_present(job, runs)
    last = mine[-1] if mine else None
    if last is not None and history.succeeded(last):
        return Verdict.good(Reason.COMPLETED, last.message or "the command succeeded", last.finished_at)
    if known := recorded(job):
        return known
    if history.active(runs):
        return None
    ended_at = last.finished_at if last else wire_time(now)
    if last is not None and last.reason == Reason.DEADLINE_EXCEEDED:
        return Verdict.bad(Reason.DEADLINE_EXCEEDED, last.message, ended_at)
    if stop_requested(job):
        return stopped(job, last, now, ended_at)
    if deadline_passed(job, now):
        return Verdict.bad(Reason.DEADLINE_EXCEEDED, too_late(job), wire_time(now))
    if never is not None:
        return Verdict.bad(never.reason, never.message, wire_time(now))
    failed = history.failures(job, runs)
    if last is not None and failed > job.spec.backoff_limit:
        return Verdict.bad(_final_reason(job, last), _final_message(job, last, failed), ended_at)
    return None


def stopped(job: Job, last: Run | None, now: datetime, ended_at: str | None) -> Verdict:
    """Return the end of a job that somebody asked to stop."""
    if (last is None or last.started_at is None) and not job.spec.is_due(now):
        return Verdict.bad(Reason.CANCELED, "it was asked to stop before its start time", ended_at)
    return Verdict.bad(Reason.STOPPED, "it was asked to stop", ended_at)


def recorded(job: Job) -> Verdict | None:
    """A failure on record stays one until the template changes, or the limits that decided it do."""
    failed = find(job.status.conditions, "Failed")
    if failed is None or failed.status is not ConditionStatus.TRUE:
        return None
    if job.status.template_hash != job.spec.template_hash():
        return None
    if job.status.observed_generation != job.meta.generation:
        return None
    return Verdict.bad(failed.reason, failed.message, failed.last_transition_time)


def too_late(job: Job) -> str:
    """Say that the job's time is over."""
    return f"it did not finish within activeDeadlineSeconds, {job.spec.active_deadline_seconds:g}"


def deadline_passed(job: Job, now: datetime) -> bool:
    """Whether the job's time is over, which counts from the template's first start."""
    deadline, start = job.spec.active_deadline_seconds, job.status.start_time
    if deadline is None or not start or job.status.template_hash != job.spec.template_hash() or job.spec.suspend:
        return False
    return now >= read_time(start) + timedelta(seconds=deadline)


def _final_reason(job: Job, last: Run) -> str:
    return last.reason if job.spec.backoff_limit == 0 else Reason.BACKOFF_LIMIT_EXCEEDED


def _final_message(job: Job, last: Run, failed: int) -> str:
    if job.spec.backoff_limit == 0:
        return last.message
    runs = "1 run" if failed == 1 else f"{failed} runs"
    return f"{runs} failed, backoffLimit is {job.spec.backoff_limit}; the last: {last.reason}: {last.message}"
