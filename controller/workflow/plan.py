"""What a workflow needs next. Pure: no I/O, no clock.

Invariant: a plan is made of how things are, so that after a crash anywhere the next one goes on from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from api.meta import MANIFESTS_MANAGER_PREFIX, read_time
from api.types.workflow import ENDED, Workflow, WorkflowReason
from controller.engine.plan import Plan
from controller.workflow.observed import Child, ObservedWorkflow
from controller.workflow.settle import Settled, is_cancelled, settle

_NAME_TAKEN_CHECK_SECONDS = 15.0  # Whose it is, is nobody's business here, so nobody tells of its end.


@dataclass(frozen=True, slots=True)
class MakeJobs:
    """Make the Jobs of these; one that is there already stays as it is."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopJobs:
    """Ask for the stop of these, as `rnx job stop` does."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuspendJobs:
    """Suspend these, and note that it is for the workflow."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResumeJobs:
    """Let those go on that were suspended for the workflow."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteWorkflow:
    """Delete the workflow: its time to live after its end is over."""


def plan(workflow: Workflow, observed: ObservedWorkflow) -> Plan:
    """Return the steps from `observed` to `workflow.spec`."""
    if workflow.meta.is_deleting:
        return Plan.nothing()  # Its jobs go after it, as it is their owner.
    settled = settle(workflow, observed)
    if settled.is_over:
        return _plan_finished(workflow, observed, settled)
    going = _going(settled, observed)
    steps: list[object] = []
    for step, is_wanted in _WANTED:
        if names := tuple(name for name, child in going.items() if is_wanted(workflow, child)):
            steps.append(step(names))
    if settled.ready:
        steps.append(MakeJobs(settled.ready))
    is_taken = any(each.reason == WorkflowReason.NAME_TAKEN for each in settled.jobs)
    return Plan.do(*steps, check_again_seconds=_NAME_TAKEN_CHECK_SECONDS if is_taken else None)


def _is_to_stop(workflow: Workflow, child: Child) -> bool:
    return is_cancelled(workflow) and not child.is_asked_to_stop


def _is_to_wait(workflow: Workflow, child: Child) -> bool:
    return workflow.spec.suspend and not is_cancelled(workflow) and not child.is_suspended


def _is_to_go_on(workflow: Workflow, child: Child) -> bool:
    return not workflow.spec.suspend and child.is_suspended_with_workflow


_WANTED: tuple[tuple[Callable[[tuple[str, ...]], object], Callable[[Workflow, Child], bool]], ...] = (
    (StopJobs, _is_to_stop),
    (SuspendJobs, _is_to_wait),
    (ResumeJobs, _is_to_go_on),
)


def _going(settled: Settled, observed: ObservedWorkflow) -> dict[str, Child]:
    """Return the workflow's own Jobs that have not ended."""
    open_ = {each.name for each in settled.jobs if each.phase not in ENDED}
    return {name: child for name, child in observed.children.items() if child.is_mine and name in open_}


def _plan_finished(workflow: Workflow, observed: ObservedWorkflow, settled: Settled) -> Plan:
    ttl = workflow.spec.ttl_seconds_after_finished
    if ttl is None or _is_declared(workflow):
        return Plan.nothing()
    ends = [read_time(each.completion_time) for each in settled.jobs if each.completion_time]
    left = (max(ends, default=observed.now) + timedelta(seconds=ttl) - observed.now).total_seconds()
    return Plan.do(DeleteWorkflow()) if left <= 0 else Plan.nothing(check_again_seconds=left)


def _is_declared(workflow: Workflow) -> bool:
    """Whether a source still declares it: deleted, it would be made again at once, and run again, for ever."""
    managers = (str(entry.get("manager")) for entry in workflow.meta.managed_fields)
    return any(manager.startswith(MANIFESTS_MANAGER_PREFIX) for manager in managers)
