"""Doing the steps of a workflow's plan, through the verbs, as any client would: each may be repeated."""

import contextlib
from collections.abc import Iterable
from typing import Any

from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.kinds import JOB, WORKFLOW
from api.meta import Document, wire_time
from api.objects.patch import PatchType
from api.objects.verbs import Verbs, WriteOptions
from api.types.workflow import (
    STOP_ANNOTATION,
    SUSPENDED_ANNOTATION,
    Workflow,
    WorkflowReason,
    job_documents,
    job_name,
)
from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.workflow.plan import DeleteWorkflow, MakeJobs, ResumeJobs, StopJobs, SuspendJobs

_BY_US = WriteOptions(field_manager="workflows")


class Actor:
    """Makes and changes the Jobs of workflows."""

    def __init__(self, clock: Clock, verbs: Verbs) -> None:
        """Write with `verbs`."""
        self._clock = clock
        self._verbs = verbs

    def act(self, workflow: Workflow, step: Any) -> None:
        """Carry out one step.

        Raises:
            TransientError: not all of it could be done.
        """
        match step:
            case MakeJobs(names):
                self._make(workflow, names)
            case StopJobs(names):
                asked = {"metadata": {"annotations": {STOP_ANNOTATION: wire_time(self._clock.now())}}}
                self._change(workflow, names, asked)
            case SuspendJobs(names):
                noted = {"metadata": {"annotations": {SUSPENDED_ANNOTATION: "true"}}, "spec": {"suspend": True}}
                self._change(workflow, names, noted)
            case ResumeJobs(names):
                noted = {"metadata": {"annotations": {SUSPENDED_ANNOTATION: None}}, "spec": {"suspend": False}}
                self._change(workflow, names, noted)
            case DeleteWorkflow():
                with contextlib.suppress(NotFound, Conflict):
                    self._verbs.delete(WORKFLOW, workflow.meta.namespace, workflow.meta.name, uid=workflow.meta.uid)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _make(self, workflow: Workflow, names: Iterable[str]) -> None:
        """Make the Jobs, each though another one is refused."""
        wanted = {job_name(workflow.meta.name, name) for name in names}
        refused = []
        for job in job_documents(_as_written(workflow)):
            if job["metadata"]["name"] not in wanted:
                continue
            try:
                self._verbs.create(JOB, workflow.meta.namespace, job, _BY_US)
            except AlreadyExists:
                continue  # It was made before a crash; or it is somebody else's, which is seen next.
            except ApiError as error:
                refused.append(error.message)
        _tell("make", refused)

    def _change(self, workflow: Workflow, names: Iterable[str], change: Document) -> None:
        """Change the Jobs, where they are the workflow's own and still there, each though another one is refused."""
        refused = []
        uids = {each.name: each.uid for each in workflow.status.jobs}
        for name in names:
            job = job_name(workflow.meta.name, name)
            metadata = change["metadata"] | ({"uid": uids[name]} if uids.get(name) else {})
            document = change | {"metadata": metadata}
            try:
                self._verbs.patch(JOB, workflow.meta.namespace, job, document, PatchType.MERGE, _BY_US)
            except (NotFound, Conflict):
                continue  # It is seen next, as it is then.
            except ApiError as error:
                refused.append(error.message)
        _tell("change", refused)


def _tell(verb: str, refused: list[str]) -> None:
    if refused:
        many = "1 job" if len(refused) == 1 else f"{len(refused)} jobs"
        raise TransientError(WorkflowReason.JOB_REFUSED, f"cannot {verb} {many}: {'; '.join(refused[:3])}")


def _as_written(workflow: Workflow) -> Document:
    """Return a workflow as JSON, less what nobody said: the jobs get their defaults where every job does."""
    return workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
