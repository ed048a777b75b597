"""The status of a job of many runs, where it differs from that of one run: its counts, its indexes, its words. Pure."""

from api.meta import wire_micro_time, wire_time
from api.types.job import Job, JobStatus, Reason, Run, RunState
from controller.engine.plan import Plan
from controller.job import history, tally
from controller.job.moments import moment
from controller.job.observed import ObservedJob
from controller.job.steps import BeginRun
from controller.job.tally import Tally
from controller.job.verdict import Verdict


def counted(
    job: Job, observed: ObservedJob, status: JobStatus, so_far: Tally, runs: tuple[Run, ...], plan: Plan
) -> JobStatus:
    """Return `status` with the counts of the job's runs, and those of `runs` that stay on record."""
    is_over = status.phase in ("Succeeded", "Failed")
    chosen = None if is_over or job.spec.suspend else tally.next_run(job, runs, so_far, observed.now)
    due = chosen.due if chosen is not None else None
    limited = job.spec.backoff_limit_per_index is not None
    return status.model_copy(
        update={
            "active": len(so_far.active),
            "ready": _running(so_far),
            "succeeded": so_far.succeeded,
            "failed": so_far.failed,
            "completed_indexes": str(so_far.completed) if tally.is_indexed(job) else None,
            "failed_indexes": str(so_far.failed_indexes) if limited else None,
            "next_retry_time": wire_time(due) if due is not None and due > observed.now else None,
            "queued_at": None if chosen is None else _queued_at(job, observed, runs, plan),
            "runs": tally.kept(job, runs, so_far, [found.attempt for found in observed.runs]),
        }
    )


def _queued_at(job: Job, observed: ObservedJob, runs: tuple[Run, ...], plan: Plan) -> str | None:
    """Since when the next run wants to begin: each waits for itself, so that others come in between.

    One that takes the place of a run that gave way has waited since that had.
    """
    if any(isinstance(step, BeginRun) for step in plan.steps):
        return None
    if known := since(observed.turn.queued_at):
        return known
    open_before = {run.attempt for run in history.active(job.status.runs)}
    gave_way = [run for run in runs if run.attempt in open_before and run.reason == Reason.PREEMPTED]
    return min((run.queued_at for run in gave_way if run.queued_at), default=job.status.queued_at)


def since(queued_at: int | None) -> str | None:
    """Return a moment of the queue as it is put on record."""
    return None if queued_at is None else wire_micro_time(moment(queued_at))


def summary(job: Job, plan: Plan, so_far: Tally, result: Verdict | None) -> tuple[str, str, str]:
    """Return phase, reason and message of a job that is not being deleted."""
    if result is not None:
        return ("Succeeded" if result.complete else "Failed"), result.reason, result.message
    if job.spec.suspend:
        return "Suspended", Reason.SUSPENDED, "spec.suspend is true"
    said = tally.told(job, so_far)
    running, waiting = _running(so_far), plan.waiting
    if running:
        said += f"; {running} running"
        if waiting is None:
            return "Running", Reason.RUNNING, said
        return "Running", waiting.reason, f"{said}; the next waits: {waiting.message}"
    if waiting is not None:
        told = waiting.message if not so_far.succeeded else f"{said}; the next waits: {waiting.message}"
        return "Pending", waiting.reason, told
    return "Pending", Reason.PENDING, "; ".join([said, *map(_about_to, so_far.active[:1])])


def _about_to(run: Run) -> str:
    return f"{history.titled(run.attempt, run.index)} is about to start"


def _running(so_far: Tally) -> int:
    return sum(1 for run in so_far.active if run.state is RunState.RUNNING)
