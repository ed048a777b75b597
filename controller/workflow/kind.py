"""The Workflow kind, put together from its parts for the engine."""

from typing import Any

from api.kinds import JOB, WORKFLOW, Kind
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from api.types.workflow import Workflow, WorkflowStatus
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.workflow import plan as planning
from controller.workflow import report as reporting
from controller.workflow.act import Actor
from controller.workflow.observed import ObservedWorkflow, Observer, child_of


class WorkflowKind:
    """What the engine needs to reconcile workflows."""

    kind: Kind = WORKFLOW

    def __init__(self, observer: Observer, actor: Actor) -> None:
        """Look with `observer` and do with `actor`."""
        self._observer = observer
        self._actor = actor

    def observe(self, obj: Workflow) -> ObservedWorkflow:
        """Return the Jobs that there are."""
        return self._observer.observe(obj)

    def plan(self, obj: Workflow, observed: ObservedWorkflow) -> Plan:
        """Return what the workflow needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Workflow, step: Any) -> None:
        """Carry out one step."""
        self._actor.act(obj, step)

    def report(self, obj: Workflow, observed: ObservedWorkflow, plan: Plan) -> WorkflowStatus:
        """Return the workflow's status as observed."""
        return reporting.report(obj, observed)

    def report_failure(self, obj: Workflow, error: TransientError | TerminalError) -> WorkflowStatus:
        """Return the status of a workflow that a pass failed for: as observed, for its other jobs go on."""
        return reporting.report_failure(obj, self._observer.observe(obj), error)

    def is_gone(self, observed: ObservedWorkflow) -> bool:
        """Whether nothing of it is left: what it made is its jobs', and goes after it."""
        return True


def of_job(change: Change) -> tuple[ObjectKey, ...]:
    """Return the workflow that a Job was made for, if what it sees of the Job is new, or the Job is gone."""
    owners = [
        each for each in change.document["metadata"].get("ownerReferences") or () if each["kind"] == WORKFLOW.name
    ]
    if change.key.kind != JOB.name or not owners:
        return ()
    uid = owners[0]["uid"]
    is_as_before = change.previous is not None and _seen(change.previous, uid) == _seen(change.document, uid)
    if is_as_before and change.type is not ChangeType.DELETED:
        return ()
    return (ObjectKey(WORKFLOW.name, change.key.namespace, owners[0]["name"]),)


def _seen(job: Document, uid: str) -> object:
    return child_of(job, uid)
