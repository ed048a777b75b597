"""CronJob: jobs made from a template, again and again, at the times of a cron schedule.

Field names and meanings are those of batch/v1's CronJob. What a schedule means is in `api/cron.py`. Here too: the job
that is made of it, for whoever makes one.
"""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api import conditions, cron
from api.conditions import Condition, ReasonEnum
from api.definition import Cell, Column, Definition, field
from api.meta import API_VERSION, Document
from api.model import ApiModel, Resource
from api.types.core import ObjectReference
from api.types.job_spec import JobSpec, command_line

SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""On a job that a CronJob started: for which of its times."""
AHEAD_ANNOTATION = "runwright.dev/made-ahead"
"""On a job that was made before its time, as very many were to come together: of which generation of the CronJob."""
MANUAL_ANNOTATION = "cronjob.kubernetes.io/instantiate"
"""`manual` on a job that a person made from a CronJob, as kubectl has it."""


class CronJobReason(ReasonEnum):
    """Why a CronJob starts jobs at its times, or not; listed in docs/reference/conditions.md."""

    WAITING = "Waiting", "It waits for its next time, status.nextScheduleTime."
    JOB_ALREADY_ACTIVE = (
        "JobAlreadyActive",
        "Its time has come, concurrencyPolicy is Forbid, and an earlier job of it has not ended; it starts "
        "one when that has, if that is within startingDeadlineSeconds.",
    )
    SUSPENDED = "Suspended", "spec.suspend is true: no job is started; those there are go on."
    UNKNOWN_TIME_ZONE = "UnknownTimeZone", "spec.timeZone is not in this host's tz database any more."
    UNPARSEABLE_SCHEDULE = "UnparseableSchedule", "spec.schedule cannot be read any more; apply it again."
    FAILED_CREATE = (
        "FailedCreate",
        "A job could not be made from spec.jobTemplate, or its name is taken; the message says why. It is tried again.",
    )
    DELETING = "Deleting", "The CronJob is being deleted, and so are its jobs."


class ConcurrencyPolicy(StrEnum):
    """What becomes of a time that comes while an earlier job runs."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class TemplateMeta(ApiModel):
    """Labels and annotations of the jobs."""

    labels: dict[str, str] = Field(default_factory=dict, description="Labels that each job gets.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations that each job gets.")


class JobTemplate(ApiModel):
    """What each job is made of."""

    metadata: TemplateMeta = Field(default_factory=TemplateMeta, description="Labels and annotations of the jobs.")
    spec: JobSpec = Field(description="The spec of the jobs; without startAt, as spec.schedule says when they start.")

    @field_validator("spec")
    @classmethod
    def _starts_by_schedule(cls, spec: JobSpec) -> JobSpec:
        if spec.start_at is not None:
            raise PydanticCustomError("FieldValueForbidden", "startAt may not be set here: schedule says when")
        return spec


class CronJobSpec(ApiModel):
    """Which jobs are started when, and how many are kept."""

    schedule: str = Field(
        min_length=1,
        description='Minute, hour, day of month, month and day of week, such as "30 2 * * 1-5"; or @hourly, @daily, '
        "@weekly, @monthly, @yearly.",
    )
    time_zone: str | None = Field(
        default=None,
        description="The time zone that schedule is meant in, such as Europe/Berlin; unset is that of the host.",
    )
    concurrency_policy: ConcurrencyPolicy = Field(
        default=ConcurrencyPolicy.ALLOW,
        description="When an earlier job has not ended: Allow both, Forbid another, or Replace the earlier one.",
    )
    starting_deadline_seconds: int | None = Field(
        default=None,
        ge=0,
        le=315_360_000,
        description="How late a job may start, as after the host was down; later than that it is missed. Unset: any.",
    )
    suspend: bool = Field(default=False, description="True starts no further jobs; those there are go on.")
    successful_jobs_history_limit: int = Field(
        default=3, ge=0, le=10_000, description="How many jobs that succeeded are kept."
    )
    failed_jobs_history_limit: int = Field(default=1, ge=0, le=10_000, description="How many that failed are kept.")
    job_template: JobTemplate = Field(description="What each job is made of.")

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                cron.zone(name)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return name

    @field_validator("schedule")
    @classmethod
    def _is_a_schedule(cls, text: str) -> str:
        try:
            cron.check(text)
        except ValueError as error:
            raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return text


CONDITIONS = frozenset({"Ready"})
"""The types of conditions that runwright sets on CronJobs."""


class CronJobStatus(ApiModel):
    """What became of a CronJob's times."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    active: tuple[ObjectReference, ...] = Field(default=(), description="Its jobs that have not ended.")
    last_schedule_time: str | None = Field(
        default=None, description="The newest of its times that a job was started for, RFC 3339."
    )
    last_successful_time: str | None = Field(default=None, description="When a job of it last completed, RFC 3339.")
    next_schedule_time: str | None = Field(default=None, description="When it starts a job next, RFC 3339.")
    ahead_time: str | None = Field(
        default=None,
        description="The time to come that a job was made ahead for, as very many are to start then, RFC 3339.",
    )
    last_missed_time: str | None = Field(
        default=None, description="The newest of its times that it was too late for, RFC 3339."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: it starts jobs at its times; what others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )


class CronJob(Resource):
    """Jobs at the times of a schedule."""

    kind: str = "CronJob"
    spec: CronJobSpec = Field(description="What is wanted.")
    status: CronJobStatus = Field(default_factory=CronJobStatus, description="What is.")


def owner_reference(cron_job: Document, *, blocks: bool) -> Document:
    """Return the reference by which a job is a CronJob's own; `blocks` has its foreground deletion wait for the job."""
    metadata = cron_job["metadata"]
    reference = {"apiVersion": API_VERSION, "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    return reference | {"controller": True} | ({"blockOwnerDeletion": True} if blocks else {})


def job_of(cron_job: Document, name: str, annotations: Mapping[str, str], *, blocks: bool = False) -> Document:
    """Return the job that is made from a CronJob's template, as it is sent to be created."""
    template = cron_job["spec"]["jobTemplate"]
    given = template.get("metadata") or {}
    metadata = {
        "name": name,
        "namespace": cron_job["metadata"].get("namespace", ""),
        "labels": dict(given.get("labels") or {}),
        "annotations": {**(given.get("annotations") or {}), **annotations},
        "ownerReferences": [owner_reference(cron_job, blocks=blocks)],
    }
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _named_or_none(path: str) -> Cell:
    cell = field(path)
    return Cell(lambda document: cell(document) or "<none>", cell.json_path)


def _is_suspended(document: Document) -> str:
    return str(bool(document.get("spec", {}).get("suspend")))


def _active(document: Document) -> str:
    return str(len(document.get("status", {}).get("active") or ()))


def _template_command(document: Document) -> str:
    return command_line(document.get("spec", {}).get("jobTemplate", {}).get("spec", {}))


DEFINITION = Definition(
    type=CronJob,
    conditions=CONDITIONS,
    columns=(
        Column("Schedule", field("spec.schedule"), description="When it starts jobs."),
        Column("Timezone", _named_or_none("spec.timeZone"), description="The time zone that this is meant in."),
        Column("Suspend", _is_suspended, description="Whether it starts none."),
        Column("Active", _active, description="Its jobs that have not ended."),
        Column("Last Schedule", field("status.lastScheduleTime"), ago=True, description="How long ago it was time."),
        Column("Next", field("status.nextScheduleTime"), wide=True, description="When it is time next."),
        Column("Command", _template_command, wide=True, description="What its jobs run."),
    ),
)
