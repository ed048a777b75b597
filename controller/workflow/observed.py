"""What there is of a workflow: the Jobs that were made for it, as plain data, read from the store.

Here: one read for each job that has not ended. Never here: what follows from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.types.job_after import AfterCondition, outcome
from api.types.workflow import ENDED, STOP_ANNOTATION, SUSPENDED_ANNOTATION, Workflow, job_name
from controller.engine.clock import Clock


@dataclass(frozen=True, slots=True)
class Child:
    """The Job of the name that one of the workflow's jobs has; it may be somebody else's."""

    uid: str
    is_mine: bool = True
    phase: str = "Pending"
    ended: AfterCondition | None = None
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    completion_time: str | None = None
    exit_code: int | None = None
    is_suspended: bool = False
    is_suspended_with_workflow: bool = False
    is_asked_to_stop: bool = False


@dataclass(frozen=True, slots=True)
class ObservedWorkflow:
    """All that a plan for a workflow is decided from, beside the workflow: Jobs by their names in it."""

    now: datetime
    children: Mapping[str, Child]


class Observer:
    """Looks at the Jobs of one workflow at a time."""

    def __init__(self, clock: Clock, get: Callable[[ObjectKey], Document | None]) -> None:
        """Read Jobs with `get`."""
        self._clock = clock
        self._get = get

    def observe(self, workflow: Workflow) -> ObservedWorkflow:
        """Return the Jobs that there are of those that have not ended, as far as is known."""
        ended = {each.name for each in workflow.status.jobs if each.phase in ENDED}
        children = {}
        for name in workflow.spec.jobs:
            key = ObjectKey(JOB.name, workflow.meta.namespace, job_name(workflow.meta.name, name))
            job = None if name in ended else self._get(key)
            if job is not None:
                children[name] = child_of(job, workflow.meta.uid)
        return ObservedWorkflow(self._clock.now(), children)


def child_of(job: Document, uid: str) -> Child:
    """Return a Job as the workflow of this uid sees it."""
    metadata, status = job["metadata"], job.get("status", {})
    annotations = metadata.get("annotations") or {}
    last: Document = (status.get("runs") or [{}])[-1]
    return Child(
        uid=metadata["uid"],
        is_mine=any(owner.get("uid") == uid for owner in metadata.get("ownerReferences") or ()),
        phase=status.get("phase", "Pending"),
        ended=outcome(job),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        start_time=status.get("startTime"),
        completion_time=status.get("completionTime") or last.get("finishedAt"),
        exit_code=last.get("exitCode"),
        is_suspended=bool(job.get("spec", {}).get("suspend")),
        is_suspended_with_workflow=SUSPENDED_ANNOTATION in annotations,
        is_asked_to_stop=STOP_ANNOTATION in annotations,
    )
