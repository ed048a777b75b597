"""How each job of a workflow is, and which are ready to be made. Pure.

A job is as its Job is; one without is waiting, ready, skipped or cancelled, by what it requires and how the others
ended. Invariants: what has ended stays as it ended; a job is ready only if it was never made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from api.meta import wire_micro_time
from api.types.job import Reason
from api.types.job_after import AfterCondition
from api.types.workflow import ENDED, STOP_ANNOTATION, Phase, Workflow, WorkflowJobStatus, WorkflowReason, job_name
from api.workflows import expressions
from api.workflows.expressions import Expression, Outcome
from controller.workflow.observed import Child, ObservedWorkflow

_OUTCOMES = {
    "Succeeded": Outcome.COMPLETE,
    "Failed": Outcome.FAILED,
    "Skipped": Outcome.SKIPPED,
    "Cancelled": Outcome.FAILED,
}
_PHASES: Mapping[str, Phase] = {"Running": "Running", "Suspended": "Suspended", "Terminating": "Running"}


@dataclass(frozen=True, slots=True)
class Settled:
    """The jobs in the order of the spec, and the names of those that are to be made now."""

    jobs: tuple[WorkflowJobStatus, ...]
    ready: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return all(each.phase in ENDED for each in self.jobs)


def is_cancelled(workflow: Workflow) -> bool:
    """Whether somebody asked for the workflow's end."""
    return STOP_ANNOTATION in workflow.meta.annotations


def settle(workflow: Workflow, observed: ObservedWorkflow) -> Settled:
    """Return how the jobs of the workflow are."""
    known = {each.name: each for each in workflow.status.jobs}
    found: dict[str, WorkflowJobStatus] = {}
    ready = set()
    for name, requirement in _in_order(workflow):
        before, child = known.get(name), observed.children.get(name)
        if before is not None and before.phase in ENDED:
            found[name] = before
        elif child is not None and child.is_mine:
            found[name] = _made(workflow, observed, name, child)
        elif before is not None and before.uid:
            found[name] = _deleted(workflow, observed, before)
        else:
            found[name], is_ready = _unmade(workflow, observed, name, requirement, found)
            ready |= {name} if is_ready else set()
    return Settled(
        tuple(found[name] for name in workflow.spec.jobs), tuple(n for n in workflow.spec.jobs if n in ready)
    )


def _in_order(workflow: Workflow) -> Iterator[tuple[str, Expression]]:
    """Yield the jobs, each after those that it requires something of."""
    left = {name: job.requirement() for name, job in workflow.spec.jobs.items()}
    open_ = {name: set(expressions.jobs(requirement)) for name, requirement in left.items()}
    wanted_by: dict[str, list[str]] = {name: [] for name in left}
    for name, others in open_.items():
        for other in others:
            wanted_by[other].append(name)
    going = [name for name, others in open_.items() if not others]
    for name in going:
        yield name, left[name]
        for waiter in wanted_by[name]:
            open_[waiter].discard(name)
            if not open_[waiter]:
                going.append(waiter)


def _made(workflow: Workflow, observed: ObservedWorkflow, name: str, child: Child) -> WorkflowJobStatus:
    phase: Phase = _PHASES.get(child.phase, "Pending")
    if child.ended is AfterCondition.COMPLETE:
        phase = "Succeeded"
    elif child.ended is AfterCondition.FAILED:
        was_stopped = is_cancelled(workflow) and child.reason in (Reason.STOPPED, Reason.CANCELED)
        phase = "Cancelled" if was_stopped else "Failed"
    ended_at = (child.completion_time or wire_micro_time(observed.now)) if child.ended else None
    return WorkflowJobStatus(
        name=name,
        job=job_name(workflow.meta.name, name),
        phase=phase,
        uid=child.uid,
        reason=child.reason,
        message=child.message,
        start_time=child.start_time,
        completion_time=ended_at,
        exit_code=child.exit_code if child.ended else None,
    )


def _deleted(workflow: Workflow, observed: ObservedWorkflow, before: WorkflowJobStatus) -> WorkflowJobStatus:
    """It was made and is gone: it is not made again, for it may have run."""
    update = {
        "phase": "Cancelled" if is_cancelled(workflow) else "Failed",
        "reason": WorkflowReason.JOB_DELETED.value,
        "message": f"job/{before.job} was deleted before it had ended",
        "completion_time": wire_micro_time(observed.now),
    }
    return before.model_copy(update=update)


def _unmade(
    workflow: Workflow, observed: ObservedWorkflow, name: str, requirement: Expression,
    others: Mapping[str, WorkflowJobStatus],
) -> tuple[WorkflowJobStatus, bool]:  # fmt: skip
    """Return how a job is that was not made so far, and whether it is to be made now."""
    job = job_name(workflow.meta.name, name)

    def say(phase: Phase, reason: WorkflowReason, message: str) -> WorkflowJobStatus:
        moment = wire_micro_time(observed.now) if phase in ENDED else None
        return WorkflowJobStatus(
            name=name, job=job, phase=phase, reason=reason.value, message=message, completion_time=moment
        )

    if is_cancelled(workflow):
        return say("Cancelled", WorkflowReason.CANCELLED, "the workflow was cancelled before it was begun"), False
    ended = {other: _OUTCOMES[each.phase] for other, each in others.items() if each.phase in ENDED}
    holds = expressions.value(requirement, ended)
    if holds is None:
        waits_for = sorted(expressions.jobs(requirement) - ended.keys())
        return say("Waiting", WorkflowReason.REQUIREMENTS_OPEN, f"waits for {', '.join(waits_for)}"), False
    if not holds:
        told = ", ".join(
            f"{other} is {others[other].phase}" for other in sorted(expressions.jobs(requirement) & ended.keys())
        )
        message = f"it requires {expressions.write(requirement)}, and {told}"
        return say("Skipped", WorkflowReason.REQUIREMENTS_FAILED, message), False
    if workflow.spec.suspend:
        return say("Waiting", WorkflowReason.SUSPENDED, "its requirements hold, and spec.suspend is true"), False
    if name in observed.children:
        message = f"job/{job} is there, and is not of this workflow: delete it, or name the workflow otherwise"
        return say("Waiting", WorkflowReason.NAME_TAKEN, message), False
    return say("Pending", WorkflowReason.RUNNING, "its requirements hold"), True
