"""Workflow: jobs and what each requires of the others. Its controller makes a Job of each when that holds.

Here: the kind, its rules, and which Jobs it comes to. What requirements mean is in `api/workflows/expressions.py`.
Invariant: a workflow that is stored names only jobs of its own, in no ring.
"""

import re
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import conditions, cycles
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, field
from api.errors import Cause
from api.meta import API_VERSION, Document
from api.model import ApiModel, Resource
from api.types.job_spec import JobSpec
from api.workflows import expressions
from api.workflows.expressions import All, Expression, Is, Outcome

MOST_JOBS = 256
"""Its status has a line for each, and is stored anew with each change of one."""
LONGEST_JOB_NAME = 63
STOP_ANNOTATION = "runwright.dev/stop-requested"
"""On a workflow as on a job: somebody asks for its end, and for its record to stay."""
SUSPENDED_ANNOTATION = "runwright.dev/suspended-by-workflow"
"""On a job of a workflow: it is suspended because its workflow is, and goes on with it."""
WORKFLOW_LABEL = "runwright.dev/workflow"
PART_LABEL = "runwright.dev/workflow-job"
_PART = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class WorkflowReason(ReasonEnum):
    """Why a workflow, or a job of it, is where it is."""

    COMPLETED = "Completed", "All its jobs have completed, but for those that were skipped."
    JOBS_FAILED = "JobsFailed", "Jobs of it failed; the message names them. Jobs that required their failure were run."
    CANCELLED = (
        "Cancelled",
        "Somebody asked for its end: rnx workflow cancel. What ran was stopped, the rest not begun.",
    )
    SUSPENDED = "Suspended", "spec.suspend is true: its jobs that run are frozen, and no further ones are begun."
    RUNNING = "Running", "Its jobs are run as what they require comes to hold."
    JOB_WAITS = (
        "JobWaits",
        "A job of it was made, and no run of that can be started so far; the message says why, as the job does.",
    )
    DELETING = "Deleting", "It is being deleted, and its jobs after it."
    NAME_TAKEN = (
        "NameTaken",
        "There is a job of the name that one of its jobs would have, and it is not the workflow's; delete that, or use "
        "another name for the workflow.",
    )
    JOB_REFUSED = "JobRefused", "A job of it cannot be made for now; the message says why. It is tried again."
    REQUIREMENTS_OPEN = "RequirementsOpen", "Of a job: what it requires depends on jobs that have not ended."
    REQUIREMENTS_FAILED = "RequirementsFailed", "Of a job that was skipped: what it requires can never hold."
    JOB_DELETED = "JobDeleted", "Of a job: somebody deleted it before it had ended, which counts as a failure."


class WorkflowCondition(StrEnum):
    """What a job may require of another one."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    FINISHED = "Finished"


class Requirement(ApiModel):
    """What a job requires of one other job of the workflow."""

    job: str = Field(description="The other job's name in this workflow.")
    condition: WorkflowCondition = Field(
        default=WorkflowCondition.COMPLETE,
        description="How it must have ended: Complete, Failed, Skipped, or Finished, which is any of them.",
    )


class TemplateMetadata(ApiModel):
    """What the Job is labelled with, beside what its workflow does."""

    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the Job.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the Job.")


class WorkflowJobTemplate(ApiModel):
    """The Job that is made."""

    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata, description="Its labels and annotations.")
    spec: JobSpec = Field(description="Its spec, as a Job has it, without after and ttlSecondsAfterFinished.")


class WorkflowJob(ApiModel):
    """One job of a workflow."""

    requires: tuple[Requirement, ...] = Field(default=(), description="All of these must hold.")
    expression: str = Field(
        default="", description="This must hold too, such as `a=COMPLETED AND (b=FAILED OR c IN (COMPLETED,FAILED))`."
    )
    template: WorkflowJobTemplate = Field(description="The Job that is made when it does.")

    @field_validator("expression")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        if text:
            try:
                expressions.parse(text)
            except expressions.BadExpression as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return text

    @model_validator(mode="after")
    def _is_ordered_by_the_workflow(self) -> "WorkflowJob":
        spec = self.template.spec
        if spec.after:
            why = "template.spec.after is not for jobs of a workflow: use requires"
            raise PydanticCustomError("FieldValueForbidden", "{why}", {"why": why})
        if spec.ttl_seconds_after_finished is not None:
            why = "template.spec.ttlSecondsAfterFinished is not for jobs of a workflow: set that of the workflow"
            raise PydanticCustomError("FieldValueForbidden", "{why}", {"why": why})
        return self

    def requirement(self) -> Expression:
        """Return all that it requires."""
        wanted: list[Expression] = [Is(each.job, outcomes(each.condition)) for each in self.requires]
        wanted += [expressions.parse(self.expression)] if self.expression else []
        return wanted[0] if len(wanted) == 1 else All(tuple(wanted))


def outcomes(condition: WorkflowCondition) -> frozenset[Outcome]:
    """Return the ends that a condition is true of."""
    return expressions.outcomes_of(condition.value)


class WorkflowSpec(ApiModel):
    """What a workflow wants."""

    description: str = Field(default="", description="What it is for.")
    jobs: dict[str, WorkflowJob] = Field(
        description="The jobs, by their names in the workflow; the Job is called WORKFLOW-NAME. They cannot be changed."
    )
    suspend: bool = Field(default=False, description="True holds it: no job is begun, and those that run are frozen.")
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, le=315_360_000, description="Seconds after its end when it is deleted with its jobs."
    )

    @field_validator("jobs")
    @classmethod
    def _have_names(cls, jobs: dict[str, WorkflowJob]) -> dict[str, WorkflowJob]:
        if not 1 <= len(jobs) <= MOST_JOBS:
            raise PydanticCustomError("FieldValueInvalid", "must be 1 to {most} jobs", {"most": MOST_JOBS})
        for name in jobs:
            if not _PART.fullmatch(name) or len(name) > LONGEST_JOB_NAME:
                why = f'"{name[:70]}" is no name for a job: use lower case letters, digits and - between them'
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why})
        return jobs

    @model_validator(mode="after")
    def _can_be_ordered(self) -> "WorkflowSpec":
        waits_for = {name: sorted(expressions.jobs(job.requirement())) for name, job in self.jobs.items()}
        for name, others in waits_for.items():
            if unknown := next((other for other in others if other not in self.jobs), None):
                known = ", ".join(sorted(self.jobs)[:20])
                why = f'job "{name}" requires "{unknown}", which is no job of this workflow: it has {known}'
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why})
        if cycle := cycles.first(waits_for):
            why = f"these jobs wait for each other: {cycles.told(cycle)}: take one of them out of what another requires"
            raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why})
        return self


Phase = Literal["Waiting", "Pending", "Running", "Suspended", "Succeeded", "Failed", "Skipped", "Cancelled"]
ENDED: frozenset[str] = frozenset({"Succeeded", "Failed", "Skipped", "Cancelled"})


class WorkflowJobStatus(ApiModel):
    """What became of one job. How it ended stays, whatever becomes of the Job."""

    name: str = Field(description="Its name in the workflow.")
    job: str = Field(description="The name of its Job.")
    phase: Phase = Field(default="Waiting", description="Waiting and Skipped, and those of the Job.")
    uid: str = Field(default="", description="The uid of its Job, once that was made.")
    reason: str = Field(default="", description="Why it is in this phase, one word.")
    message: str = Field(default="", description="The same for a person.")
    start_time: str | None = Field(default=None, description="When its first run started.")
    completion_time: str | None = Field(default=None, description="When it ended.")
    exit_code: int | None = Field(default=None, description="The exit code of its last run.")


CONDITIONS = frozenset({"Complete", "Failed", "Suspended"})
"""The types of conditions that runwright sets on workflows."""


class WorkflowStatus(ApiModel):
    """What became of a workflow."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    phase: Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled", "Terminating"] = Field(
        default="Pending", description="A printed summary of the conditions."
    )
    reason: str = Field(default="", description="Why it is in this phase, one word.")
    message: str = Field(default="", description="The same for a person: what happened and what to do.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Complete, Failed and Suspended, as jobs have; what others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    start_time: str | None = Field(default=None, description="When its first job was begun.")
    completion_time: str | None = Field(default=None, description="When all its jobs had ended.")
    total: int = Field(default=0, description="How many jobs it has.")
    waiting: int = Field(default=0, description="Those whose requirements are open.")
    active: int = Field(default=0, description="Those that were begun and have not ended.")
    succeeded: int = Field(default=0, description="Those that completed.")
    failed: int = Field(default=0, description="Those that failed.")
    skipped: int = Field(default=0, description="Those whose requirements can never hold.")
    cancelled: int = Field(default=0, description="Those that were stopped or not begun as it was cancelled.")
    jobs: tuple[WorkflowJobStatus, ...] = Field(default=(), description="Each of its jobs, in the order of the spec.")


class Workflow(Resource):
    """Jobs that are run in an order, which is told by what each requires of the others."""

    kind: str = "Workflow"
    spec: WorkflowSpec = Field(description="What is wanted.")
    status: WorkflowStatus = Field(default_factory=WorkflowStatus, description="What is.")


def job_name(workflow: str, part: str) -> str:
    """Return the name of the Job of a workflow's job.

    >>> job_name("etl", "extract")
    'etl-extract'
    """
    return f"{workflow}-{part}"


def job_documents(workflow: Document) -> tuple[Document, ...]:
    """Return the Jobs that a workflow comes to, each as it would be written."""
    metadata, jobs = workflow["metadata"], workflow.get("spec", {}).get("jobs") or {}
    return tuple(_job_document(metadata, part, job["template"]) for part, job in jobs.items())


def _job_document(metadata: Document, part: str, template: Document) -> Document:
    said = template.get("metadata") or {}
    labels = {**(said.get("labels") or {}), WORKFLOW_LABEL: metadata["name"], PART_LABEL: part}
    owner = {"apiVersion": API_VERSION, "kind": "Workflow", "name": metadata["name"], "uid": metadata.get("uid", "")}
    named: Document = {"name": job_name(metadata["name"], part), "namespace": metadata.get("namespace", "")}
    named |= {"labels": labels} | ({"annotations": said["annotations"]} if said.get("annotations") else {})
    named["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": named, "spec": template["spec"]}


def done(document: Document) -> str:
    """Return how many jobs of a workflow have ended, and how many there are, as a column shows it."""
    status = document.get("status", {})
    ended = sum(status.get(name, 0) for name in ("succeeded", "failed", "skipped", "cancelled"))
    return f"{ended}/{status.get('total') or len(document.get('spec', {}).get('jobs', ()))}"


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a workflow may not become another one: its jobs stay as they are, as some of them may have run."""
    if live.get("spec", {}).get("jobs") == changed.get("spec", {}).get("jobs"):
        return []
    why = "Invalid value: field is immutable: make a workflow of another name, or delete this one and make it anew"
    return [Cause("spec.jobs", "FieldValueInvalid", why)]


DEFINITION = Definition(
    type=Workflow,
    conditions=CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of its conditions."),
        Column("Reason", field("status.reason"), description="Why it is in this phase."),
        Column("Done", done, description="How many of its jobs have ended, and how many there are."),
        Column("Active", field("status.active"), description="Its jobs that were begun and have not ended."),
        Column("Failed", field("status.failed"), description="Its jobs that failed."),
        Column("Skipped", field("status.skipped"), description="Its jobs whose requirements can never hold."),
        Column("Message", field("status.message"), wide=True, description="What happened and what to do."),
    ),
    problems_with_change=problems_with_change,
)
