"""The status of a CronJob, built from what is there now. Pure."""

from collections.abc import Iterable
from datetime import datetime

from api import conditions
from api.conditions import Condition, ConditionStatus
from api.meta import API_VERSION, read_time, wire_time
from api.types.core import ObjectReference
from api.types.cron_job import CONDITIONS, CronJob, CronJobReason, CronJobStatus
from controller.cron_job import plan as planning
from controller.cron_job.observed import Child, Ended, ObservedCronJob
from controller.cron_job.steps import PassOver
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan

_READY = frozenset({CronJobReason.WAITING.value, CronJobReason.JOB_ALREADY_ACTIVE.value})


def report(cron_job: CronJob, observed: ObservedCronJob, plan: Plan) -> CronJobStatus:
    """Return what the status is, given what was observed after `plan` was carried out."""
    before = cron_job.status
    passed_over = [step.moment for step in plan.steps if isinstance(step, PassOver)]
    succeeded = [child.completed for child in observed.children if child.ended is Ended.COMPLETE]
    return CronJobStatus(
        observed_generation=cron_job.meta.generation,
        active=tuple(_reference(cron_job, child) for child in observed.active),
        last_schedule_time=_newest(before.last_schedule_time, [*observed.scheduled, observed.started], observed.now),
        last_successful_time=_newest(before.last_successful_time, succeeded, observed.now),
        next_schedule_time=_next(cron_job, observed),
        ahead_time=wire_time(observed.ahead) if observed.ahead else None,
        last_missed_time=_newest(before.last_missed_time, passed_over, observed.now),
        conditions=conditions.merge(before.conditions, [_ready(cron_job, plan)], observed.now, ours=CONDITIONS),
    )


def report_failure(cron_job: CronJob, error: TransientError | TerminalError, now: datetime) -> CronJobStatus:
    """Return the status of a CronJob that a pass failed for."""
    failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=error.reason, message=error.message)
    merged = conditions.merge(cron_job.status.conditions, [failed], now, ours=CONDITIONS)
    return cron_job.status.model_copy(update={"conditions": merged, "observed_generation": cron_job.meta.generation})


def _ready(cron_job: CronJob, plan: Plan) -> Condition:
    reason, message = CronJobReason.DELETING.value, "it is being deleted"
    if plan.waiting is not None and not cron_job.meta.is_deleting:
        reason, message = str(plan.waiting.reason), plan.waiting.message
    # The next time is in a field of its own: a message that changed with it would be written with every job.
    said = "it starts jobs at its times" if reason == CronJobReason.WAITING else message
    status = ConditionStatus.TRUE if reason in _READY else ConditionStatus.FALSE
    return Condition(type="Ready", status=status, reason=reason, message=said)


def _newest(before: str | None, found: Iterable[datetime | None], now: datetime) -> str | None:
    """Return the newest of what is on record and what was found."""
    moments = [moment for moment in found if moment is not None]
    moments += [read_time(before)] if before else []
    newest = planning.newest(moments, now)
    return wire_time(newest) if newest else None


def _next(cron_job: CronJob, observed: ObservedCronJob) -> str | None:
    if observed.schedule is None or cron_job.spec.suspend or cron_job.meta.is_deleting:
        return None
    coming = observed.schedule.next(observed.now)
    return wire_time(coming) if coming else None


def _reference(cron_job: CronJob, child: Child) -> ObjectReference:
    return ObjectReference(
        api_version=API_VERSION, kind="Job", namespace=cron_job.meta.namespace, name=child.name, uid=child.uid
    )
