"""What a CronJob needs next. Pure: no I/O, no clock.

Kubernetes' semantics: of all times that have come since the last one that had a job only the newest gets one, if it is
not later than startingDeadlineSeconds; Forbid waits for the job before, Replace deletes it; old jobs go by the limits.
Invariant: no time gets two jobs: a time is gone by once its job is known of, and the job is named after its time.
Source: kubernetes pkg/controller/cronjob, syncCronJob and mostRecentScheduleTime.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from api.cron import Due
from api.meta import read_time, wire_time
from api.types.cron_job import ConcurrencyPolicy, CronJob, CronJobReason
from controller.cron_job.observed import Child, Ended, ObservedCronJob
from controller.cron_job.starts import name_for
from controller.cron_job.steps import DeleteJob, MakeAhead, PassOver, StartJob, TakeBack
from controller.engine.plan import Plan, Waiting

_Removals: TypeAlias = tuple[DeleteJob | TakeBack, ...]
_LONGEST_WAIT_SECONDS = 86_400.0
_TOO_LATE = timedelta(seconds=5)
"""So long before its time a job that was made ahead is left alone: whether it has begun would not be known."""
_CLOCK_WAS_WRONG = timedelta(days=1)
"""What is on record further ahead than this was written while the host's clock was wrong: it holds nothing up."""


def plan(cron_job: CronJob, observed: ObservedCronJob) -> Plan:
    """Return the steps that are due, what is waited for, and when to look again."""
    if cron_job.meta.is_deleting:
        return Plan.nothing()  # Its jobs go with it, by their owner references.
    old: _Removals = (*_too_old(cron_job, observed.children), *_not_wanted(cron_job, observed))
    if cron_job.spec.suspend:
        return Plan(old, Waiting(CronJobReason.SUSPENDED, "spec.suspend is true"))
    if observed.schedule is None:
        return Plan(old, Waiting(*observed.problem))
    due = observed.schedule.due(since(cron_job, observed), observed.now)
    coming = observed.schedule.next(observed.now)
    seconds = _seconds_to(coming, observed.now)
    if due is None:
        return _plan_ahead(cron_job, observed, coming, old)
    if _is_too_late(cron_job, due, observed.now):
        return Plan((*old, PassOver(due.moment, due.missed)), _waiting(observed), seconds)
    return _plan_start(cron_job, observed, due, old, seconds)


def _plan_start(cron_job: CronJob, observed: ObservedCronJob, due: Due, old: _Removals, seconds: float | None) -> Plan:
    policy = cron_job.spec.concurrency_policy
    if policy is ConcurrencyPolicy.FORBID and observed.active:
        names = ", ".join(child.name for child in observed.active[:3])
        said = f"it is time since {wire_time(due.moment)}, and concurrencyPolicy is Forbid: job {names} has not ended"
        return Plan(old, Waiting(CronJobReason.JOB_ALREADY_ACTIVE, said), seconds)
    replaced: tuple[DeleteJob, ...] = ()
    if policy is ConcurrencyPolicy.REPLACE:
        replaced = tuple(DeleteJob(child.name, child.uid) for child in observed.active if not child.is_deleting)
    start = StartJob(name_for(cron_job.meta.name, due.moment), due.moment, due.missed)
    return Plan((*old, *replaced, start), _waiting(observed), seconds)


def _plan_ahead(cron_job: CronJob, observed: ObservedCronJob, coming: datetime | None, old: _Removals) -> Plan:
    """Nothing is due: make the job of the next time, if very many are to come with it, or wait."""
    seconds, make_from = _seconds_to(coming, observed.now), observed.make_from
    is_free = cron_job.spec.concurrency_policy is ConcurrencyPolicy.ALLOW or not observed.active
    is_made = bool(observed.early) or coming == observed.ahead
    if coming is None or seconds is None or make_from is None or is_made or not is_free:
        return Plan(old, _waiting(observed), seconds)
    if coming <= since(cron_job, observed):  # It had one, and the clock was set back.
        return Plan(old, _waiting(observed), seconds)
    if make_from <= observed.now:
        return Plan((*old, MakeAhead(name_for(cron_job.meta.name, coming), coming)), _waiting(observed), seconds)
    return Plan(old, _waiting(observed), min(seconds, (make_from - observed.now).total_seconds()))


def _not_wanted(cron_job: CronJob, observed: ObservedCronJob) -> Iterable[TakeBack]:
    """Those that were made ahead, of what the CronJob is no more; unless they are about to begin."""
    coming = None if cron_job.spec.suspend or observed.schedule is None else observed.schedule.next(observed.now)
    generation = str(cron_job.meta.generation)
    for child in observed.early:
        is_wanted = child.scheduled == coming and child.made_ahead == generation
        if child.scheduled is None or child.scheduled - observed.now < _TOO_LATE:
            continue
        if not is_wanted and not child.is_deleting:
            yield TakeBack(child.name, child.uid, child.scheduled)


def since(cron_job: CronJob, observed: ObservedCronJob) -> datetime:
    """Return the moment up to which all times are dealt with."""
    status = cron_job.status
    said = [read_time(text) for text in (status.last_schedule_time, status.last_missed_time) if text]
    said += observed.scheduled
    said += [observed.started] if observed.started else []
    said += [read_time(cron_job.meta.creation_timestamp)] if cron_job.meta.creation_timestamp else []
    return newest(said, observed.now) or observed.now


def newest(moments: Iterable[datetime], now: datetime) -> datetime | None:
    """Return the newest of some moments that are on record, without those that a wrong clock has written."""
    return max((moment for moment in moments if moment <= now + _CLOCK_WAS_WRONG), default=None)


def _is_too_late(cron_job: CronJob, due: Due, now: datetime) -> bool:
    deadline = cron_job.spec.starting_deadline_seconds
    return deadline is not None and due.moment + timedelta(seconds=deadline) < now


def _too_old(cron_job: CronJob, children: Iterable[Child]) -> Iterable[DeleteJob]:
    spec = cron_job.spec
    limits = {Ended.COMPLETE: spec.successful_jobs_history_limit, Ended.FAILED: spec.failed_jobs_history_limit}
    mine = sorted(children, key=lambda child: (child.started or child.created, child.name))
    for ended, most in limits.items():
        found = [child for child in mine if child.ended is ended]
        for child in found[: len(found) - most if len(found) > most else 0]:
            if not child.is_deleting:
                yield DeleteJob(child.name, child.uid)


def _waiting(observed: ObservedCronJob) -> Waiting:
    coming = observed.schedule.next(observed.now) if observed.schedule else None
    said = f"its next time is {wire_time(coming)}" if coming else "no time of its schedule is to come"
    return Waiting(CronJobReason.WAITING, said)


def _seconds_to(coming: datetime | None, now: datetime) -> float | None:
    return None if coming is None else min((coming - now).total_seconds(), _LONGEST_WAIT_SECONDS)
