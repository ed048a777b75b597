"""The status of a workflow, built from what is there now. Pure."""

from collections import Counter
from datetime import datetime
from typing import Literal, NamedTuple

from api import conditions
from api.conditions import Condition, ConditionStatus
from api.meta import wire_micro_time
from api.types.job import Reason
from api.types.workflow import CONDITIONS, ENDED, Workflow, WorkflowJobStatus, WorkflowReason, WorkflowStatus
from controller.engine.errors import TerminalError, TransientError
from controller.workflow.observed import ObservedWorkflow
from controller.workflow.settle import Settled, settle

_MOST_NAMED = 5


class _Summary(NamedTuple):
    phase: Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled", "Terminating"]
    reason: WorkflowReason
    message: str


def report(workflow: Workflow, observed: ObservedWorkflow) -> WorkflowStatus:
    """Return what the workflow's status is."""
    settled = settle(workflow, observed)
    counts = Counter(each.phase for each in settled.jobs)
    summary = _summary(workflow, settled)
    starts = [each.start_time for each in settled.jobs if each.start_time]
    ends = [each.completion_time for each in settled.jobs if each.completion_time]
    return WorkflowStatus(
        observed_generation=workflow.meta.generation,
        phase=summary.phase,
        reason=summary.reason.value,
        message=summary.message,
        conditions=_conditions(workflow, settled, summary, observed.now),
        start_time=min(starts, default=None),
        completion_time=max(ends, default=wire_micro_time(observed.now)) if settled.is_over else None,
        total=len(settled.jobs),
        waiting=counts["Waiting"],
        active=sum(counts[phase] for phase in ("Pending", "Running", "Suspended")),
        succeeded=counts["Succeeded"],
        failed=counts["Failed"],
        skipped=counts["Skipped"],
        cancelled=counts["Cancelled"],
        jobs=settled.jobs,
    )


def report_failure(
    workflow: Workflow, observed: ObservedWorkflow, error: TransientError | TerminalError
) -> WorkflowStatus:
    """Return the status of a workflow that a pass failed for: as its jobs are, and it says why."""
    return report(workflow, observed).model_copy(update={"reason": error.reason, "message": error.message})


def _summary(workflow: Workflow, settled: Settled) -> _Summary:
    if workflow.meta.is_deleting:
        return _Summary("Terminating", WorkflowReason.DELETING, "it is being deleted")
    if settled.is_over:
        return _end(settled)
    if workflow.spec.suspend:
        return _Summary("Suspended", WorkflowReason.SUSPENDED, "spec.suspend is true")
    taken = next((each for each in settled.jobs if each.reason == WorkflowReason.NAME_TAKEN), None)
    begun = any(each.uid for each in settled.jobs)
    phase: Literal["Running", "Pending"] = "Running" if begun else "Pending"
    if taken is not None:
        return _Summary(phase, WorkflowReason.NAME_TAKEN, taken.message)
    made = [each for each in settled.jobs if each.phase not in ENDED and each.uid]
    waiting = [each for each in made if each.phase == "Pending" and each.reason not in ("", Reason.PENDING)]
    active = [each.name for each in made if each not in waiting]
    told = f"{_named(active)} {'is' if len(active) == 1 else 'are'} active" if active else ""
    if not waiting:
        return _Summary(phase, WorkflowReason.RUNNING, told)
    return _Summary(phase, WorkflowReason.JOB_WAITS, "; ".join(filter(None, (_waiting(waiting), told))))


def _waiting(jobs: list[WorkflowJobStatus]) -> str:
    """Say why the first of them has no run; of the others that they have none."""
    first, others = jobs[0], [each.name for each in jobs[1:]]
    more = f"; {_named(others)} {'waits' if len(others) == 1 else 'wait'} too" if others else ""
    return f"{first.name} waits: {': '.join(filter(None, (first.reason, first.message)))}{more}"


def _end(settled: Settled) -> _Summary:
    cancelled = [each.name for each in settled.jobs if each.phase == "Cancelled"]
    if cancelled:
        return _Summary("Cancelled", WorkflowReason.CANCELLED, f"cancelled before they had ended: {_named(cancelled)}")
    failed = [each for each in settled.jobs if each.phase == "Failed"]
    if failed:
        first = failed[0]
        told = ": ".join(filter(None, (first.reason, first.message)))
        more = f"; {_named([each.name for each in failed[1:]])} failed too" if len(failed) > 1 else ""
        return _Summary("Failed", WorkflowReason.JOBS_FAILED, f"{first.name} failed: {told}{more}")
    skipped = [each.name for each in settled.jobs if each.phase == "Skipped"]
    told = f"all that was to run has completed; skipped: {_named(skipped)}" if skipped else "all jobs have completed"
    return _Summary("Succeeded", WorkflowReason.COMPLETED, told)


def _named(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + rest


def _conditions(workflow: Workflow, settled: Settled, summary: _Summary, now: datetime) -> tuple[Condition, ...]:
    def say(type_: str, status: ConditionStatus, reason: WorkflowReason, message: str) -> Condition:
        return Condition(type=type_, status=status, reason=reason.value, message=message)

    wanted = []
    if settled.is_over:
        end = _end(settled)
        type_ = "Complete" if end.phase == "Succeeded" else "Failed"
        wanted.append(say(type_, ConditionStatus.TRUE, end.reason, end.message))
    elif workflow.spec.suspend:
        wanted.append(say("Suspended", ConditionStatus.TRUE, WorkflowReason.SUSPENDED, summary.message))
    elif conditions.find(workflow.status.conditions, "Suspended") is not None:
        wanted.append(say("Suspended", ConditionStatus.FALSE, WorkflowReason.RUNNING, "spec.suspend is false"))
    return conditions.merge(workflow.status.conditions, wanted, now, ours=CONDITIONS)
