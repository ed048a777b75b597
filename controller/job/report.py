"""The status of a job, built from what is there now. Pure."""

from datetime import datetime
from typing import Any

from api import conditions
from api.conditions import Condition, ConditionStatus
from api.meta import wire_micro_time, wire_time
from api.types.job import CONDITIONS, Job, JobStatus, Reason, Run, RunState
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.job import after, history, package_cache, report_many, requests, tally, verdict
from controller.job import plan as planning
from controller.job.moments import moment
from controller.job.observed import Admitted, ObservedJob, Queued, RuntimeReady
from controller.job.steps import BeginRun, FreezeRun, SetDeadline, ThawRun


def report(job: Job, observed: ObservedJob, plan: Plan, *, work_bytes: int | None) -> JobStatus:
    """Return what the job's status is, given what was observed after `plan` was carried out."""
    runs = _with_deadlines(job, history.runs(job, observed), plan) + _begun(job, observed, plan)
    active = history.active(runs)
    so_far = tally.of(job, runs) if job.has_many_runs else None
    result = None if active else _result(job, observed, runs, so_far)
    phase, reason, message = _summary(job, plan, runs, result, so_far)
    template = job.spec.template_hash()
    same = job.status.template_hash == template
    retry = None if result or active or job.spec.suspend else planning.next_retry(job, runs)
    status = JobStatus(
        observed_generation=job.meta.generation,
        template_hash=template,
        phase=phase,
        reason=reason,
        message=message,
        conditions=_conditions(job, result, plan, observed.now),
        start_time=_start_time(job, runs, plan, observed.now),
        completion_time=result.finished_at if result and result.complete else None,
        active=sum(1 for run in active if run.state is RunState.RUNNING),
        succeeded=sum(1 for run in history.of_present(job, runs) if history.succeeded(run)),
        failed=history.failures(job, runs),
        attempts=max([job.status.attempts, *(run.attempt for run in runs)]),
        next_retry_time=wire_time(retry) if retry else None,
        queued_at=_queued_at(job, observed, plan, runs),
        priority=_priority(job, observed, plan),
        resolved_runtime=_resolved(job, observed, same=same),
        **_stop_heard(job),
        work_bytes=work_bytes,
        after=observed.after,
        artifacts=observed.artifacts,
        refused=observed.refused.count,
        refusals=observed.refused.last,
        runs=runs[-history.KEPT_RUNS :],
    )
    return status if so_far is None else report_many.counted(job, observed, status, so_far, runs, plan)


def _result(
    job: Job, observed: ObservedJob, runs: tuple[Run, ...], so_far: tally.Tally | None
) -> verdict.Verdict | None:
    never = after.never(observed.after)
    if so_far is None:
        return verdict.of(job, runs, observed.now, never)
    return tally.outcome(job, so_far, runs, observed.now, never)


def _begun(job: Job, observed: ObservedJob, plan: Plan) -> tuple[Run, ...]:
    ready = observed.runtime if isinstance(observed.runtime, RuntimeReady) else RuntimeReady()
    return tuple(
        Run(
            attempt=step.attempt,
            template_hash=job.spec.template_hash(),
            boot_id=observed.boot_id,
            deadline_seconds=job.spec.active_deadline_seconds,
            runtime=str(ready),
            runtime_digest=ready.digest,
            package_cache=package_cache.told(package_cache.of(job, ready.cache)),
            devices=step.devices,
            device_nodes=step.device_nodes,
            requests=requests.recorded(step.turn.need),
            priority=step.turn.priority,
            volumes=step.volumes,
            network=step.network,
            index=step.index,
            index_failures=step.index_failures,
            queued_at=report_many.since(step.turn.queued_at) if job.has_many_runs else None,
        )
        for step in plan.steps
        if isinstance(step, BeginRun)
    )


def _queued_at(job: Job, observed: ObservedJob, plan: Plan, runs: tuple[Run, ...]) -> str | None:
    """Since when the last run wanted to begin, or the next one does; who gave way has not lost its place."""
    if since := [turn.queued_at for turn in _turns(observed, plan) if turn.queued_at is not None]:
        return wire_micro_time(moment(since[0]))
    kept = bool(history.active(runs)) or bool(runs and runs[-1].reason == Reason.PREEMPTED)
    return job.status.queued_at if kept else None


def _priority(job: Job, observed: ObservedJob, plan: Plan) -> int | None:
    known = [turn.priority for turn in _turns(observed, plan) if turn.queued_at is not None]
    return known[0] if known else job.status.priority


def _turns(observed: ObservedJob, plan: Plan) -> tuple[Admitted | Queued, ...]:
    return (*(step.turn for step in plan.steps if isinstance(step, BeginRun)), observed.turn)


def _with_deadlines(job: Job, runs: tuple[Run, ...], plan: Plan) -> tuple[Run, ...]:
    told = {step.attempt for step in plan.steps if isinstance(step, SetDeadline | ThawRun)}
    deadline = job.spec.active_deadline_seconds
    return tuple(
        run.model_copy(update={"deadline_seconds": deadline}) if run.attempt in told and not job.spec.suspend else run
        for run in runs
    )


def _start_time(job: Job, runs: tuple[Run, ...], plan: Plan, now: datetime) -> str | None:
    """The template's first start. As in batch/v1, suspending stops that clock and resuming resets it."""
    if any(isinstance(step, ThawRun) for step in plan.steps) or (job.status.start_time and _is_resumed(job)):
        return wire_micro_time(now)
    runs_now = any(run.state is RunState.RUNNING for run in runs)
    if job.spec.suspend and not any(isinstance(step, FreezeRun) for step in plan.steps) and not runs_now:
        return None
    if job.status.start_time and job.status.template_hash == job.spec.template_hash():
        return job.status.start_time
    # Only of runs that were not over before: after a suspension, those before it count no more.
    fresh = {run.attempt for run in history.active(job.status.runs)}
    starts = [run.started_at for run in history.of_present(job, runs) if run.started_at and run.attempt in fresh]
    return starts[0] if starts else None


def _is_resumed(job: Job) -> bool:
    """It was suspended when last told of, and is no more: also if what was told when its run was thawed was lost."""
    suspended = conditions.find(job.status.conditions, "Suspended")
    return suspended is not None and suspended.status is ConditionStatus.TRUE and not job.spec.suspend


def _stop_heard(job: Job) -> dict[str, str]:
    """Which stop request was heard, and of which template: it holds for no other, so a changed job runs again."""
    request = job.meta.annotations.get(verdict.STOP_ANNOTATION)
    if request is None:
        return {}
    if request == job.status.stop_request:
        return {"stop_request": request, "stopped_template_hash": job.status.stopped_template_hash}
    return {"stop_request": request, "stopped_template_hash": job.spec.template_hash()}


def _resolved(job: Job, observed: ObservedJob, *, same: bool) -> str:
    if isinstance(observed.runtime, RuntimeReady):
        return str(observed.runtime)
    return job.status.resolved_runtime if same else ""


def _summary(
    job: Job, plan: Plan, runs: tuple[Run, ...], result: verdict.Verdict | None, so_far: tally.Tally | None
) -> tuple[str, str, str]:
    if job.meta.is_deleting:
        return "Terminating", "Deleting", "it is being deleted"
    if so_far is not None:
        return report_many.summary(job, plan, so_far, result)
    if result is not None:
        return ("Succeeded" if result.complete else "Failed"), result.reason, result.message
    if active := history.active(runs):
        return _summary_of_active(job, active[-1], plan)
    if plan.waiting is not None:
        phase = "Suspended" if plan.waiting.reason == Reason.SUSPENDED else "Pending"
        return phase, plan.waiting.reason, plan.waiting.message
    return "Pending", Reason.PENDING, ""


def _summary_of_active(job: Job, run: Run, plan: Plan) -> tuple[str, str, str]:
    if job.spec.suspend:
        return "Suspended", Reason.SUSPENDED, "spec.suspend is true"
    if plan.waiting is not None:
        return ("Running" if run.state is RunState.RUNNING else "Pending"), plan.waiting.reason, plan.waiting.message
    if run.state is RunState.RUNNING:
        return "Running", Reason.RUNNING, f"run {run.attempt} is running"
    return "Pending", Reason.PENDING, f"run {run.attempt} is about to start"


def _conditions(job: Job, result: verdict.Verdict | None, plan: Plan, now: datetime) -> tuple[Condition, ...]:
    def say(type_: str, status: ConditionStatus, reason: str, message: str) -> Condition:
        return Condition(type=type_, status=status, reason=reason, message=message)

    wanted = []
    if result is not None:
        wanted.append(
            say("Complete" if result.complete else "Failed", ConditionStatus.TRUE, result.reason, result.message)
        )
    if job.spec.suspend:
        wanted.append(say("Suspended", ConditionStatus.TRUE, Reason.SUSPENDED, "spec.suspend is true"))
    elif conditions.find(job.status.conditions, "Suspended") is not None:
        wanted.append(say("Suspended", ConditionStatus.FALSE, "Resumed", "spec.suspend is false"))
    if plan.waiting is not None and plan.waiting.reason == Reason.SCHEDULED:
        wanted.append(say("Scheduled", ConditionStatus.TRUE, Reason.SCHEDULED, plan.waiting.message))
    elif conditions.find(job.status.conditions, "Scheduled") is not None:
        wanted.append(say("Scheduled", ConditionStatus.FALSE, Reason.DUE, "its start time is waited for no more"))
    return conditions.merge(job.status.conditions, wanted, now, ours=CONDITIONS)


def report_failure(job: Job, error: TransientError | TerminalError) -> JobStatus:
    """Return the status of a job that could not be looked at or served: it waits, and says why."""
    if job.status.phase in ("Succeeded", "Failed") and job.status.template_hash == job.spec.template_hash():
        return job.status  # How it ended stays so, whatever is wrong with clearing up after it.
    update: dict[str, Any] = {
        "observed_generation": job.meta.generation,
        "phase": job.status.phase if job.status.active else "Pending",
        "reason": error.reason,
        "message": error.message,
    }
    if job.status.template_hash != job.spec.template_hash():  # How another template's runs ended says nothing of it.
        ended = {"Complete", "Failed"}
        update["conditions"] = tuple(each for each in job.status.conditions if each.type not in ended)
        update |= {"completion_time": None, "succeeded": 0, "failed": 0}
        update |= {"completed_indexes": None, "failed_indexes": None}
    return job.status.model_copy(update=update)
