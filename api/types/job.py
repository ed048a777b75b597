"""Job: one command in one runtime, with files, limits, retries and a deadline.

Field names are batch/v1's and Pod's wherever they have one. A change of what a run is made of
(everything that `template()` returns) replaces the run; other changes take effect in place.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from api.conditions import Condition, ReasonEnum
from api.meta import ApiModel, Resource
from api.types.job_spec import JobSpec


class Reason(ReasonEnum):
    """Why a run ended, or why a job waits; listed in docs/reference/conditions.md."""

    COMPLETED = "Completed", "The command exited with 0."
    ERROR = "Error", "The command exited with another code than 0, or was killed by a signal."
    OOM_KILLED = (
        "OOMKilled",
        "The run needed more memory than its limit, or all runs together more than there is for them, and was killed; "
        "the message says which.",
    )
    DEADLINE_EXCEEDED = "DeadlineExceeded", "activeDeadlineSeconds were over; there is no retry after that."
    STOPPED = "Stopped", "Somebody asked for the stop: rnx job stop, or the deletion of the job."
    POD_DELETED = "PodDeleted", "The pod of the run was deleted; it counts as a failure, so the job may run it again."
    SUPERSEDED = (
        "Superseded",
        "What the run was made of was changed in the spec, so another run takes its place; it counts as no failure.",
    )
    SANDBOX_FAILED = (
        "SandboxFailed",
        "The sandbox could not be made, so nothing was executed; the message names the step.",
    )
    CANNOT_RUN = (
        "ContainerCannotRun",
        "The sandbox was made, but the command is not in it or cannot be executed (exit codes 127 and 126).",
    )
    RUN_LOST = (
        "RunLost",
        "The run left no exit record: its supervisor was killed, or the host went down. It counts as a failure.",
    )
    BACKOFF_LIMIT_EXCEEDED = (
        "BackoffLimitExceeded",
        "More runs failed than backoffLimit allows; the job has failed for good.",
    )
    BACK_OFF = "BackOff", "A run failed, and the next one waits until status.nextRetryTime."
    SUSPENDED = "Suspended", "spec.suspend is true: no run is started, and a running one is frozen."
    RUNTIME_NOT_FOUND = (
        "RuntimeNotFound",
        "The runtime is not installed, and installPolicy Never forbids to install it.",
    )
    RUNTIME_NOT_READY = (
        "RuntimeNotReady",
        "The runtime is being installed, or cannot be; the Runtime object of that name says more.",
    )
    RUNTIME_BROKEN = (
        "RuntimeBroken",
        "The runtime is there but cannot be used; the message says what is wrong with its tree.",
    )
    RUNTIMES_DISABLED = "RuntimesDisabled", "The job names a runtime, and the setting runtime.enabled is false."
    LIMIT_UNENFORCEABLE = (
        "LimitUnenforceable",
        "This host cannot hold a run to a limit, so none is started: its cgroups cannot, or there is no such disk or "
        "CPU; the message says which.",
    )
    POLICY_FORBIDS = (
        "PolicyForbids",
        "The host's policy does not allow what the job asks for, or wants what it or the host lacks; the message names "
        "the field and the setting.",
    )
    CONFIG_ERROR = (
        "CreateContainerConfigError",
        "A Secret or ConfigMap that the job takes values from, or a key of it, is not there or cannot be used so; the "
        "message names it. The run starts as soon as it is there.",
    )
    HOST_BUSY = "HostBusy", "As many runs are active as the setting jobs.max_active allows."
    DEVICES_UNAVAILABLE = (
        "DevicesUnavailable",
        "Other runs have the devices that the job wants; it runs as soon as enough of them have ended.",
    )
    DEVICES_NOT_FOUND = (
        "DevicesNotFound",
        "No CDI spec of this host declares devices of the kind that the job wants; the message says where it looked.",
    )
    DEVICES_INSUFFICIENT = (
        "DevicesInsufficient",
        "The job wants more devices than this host has in all, so it can never run here.",
    )
    DEVICES_UNUSABLE = (
        "DevicesUnusable",
        "The devices are declared, but cannot be given to a run; the message says what of their spec cannot be had.",
    )
    DEVICES_GONE = (
        "DevicesGone",
        "A device that the run was given was gone before it started; another run takes its place; it counts as no "
        "failure.",
    )
    REQUIREMENTS_NOT_MET = "RequirementsNotMet", "The job's memory limit is below what its runtime says it needs."
    INVALID_RUN = (
        "InvalidRun",
        "No sandbox can be made of what the job and its runtime say together; change one of them.",
    )
    PENDING = "Pending", "The job was accepted; its next run is about to start."
    RUNNING = "Running", "A run is running."
    RESUMED = "Resumed", "Of the condition Suspended: the job was suspended, and is not any more."
    DELETING = "Deleting", "The job is being deleted: its run is stopped and what it left is removed."


class RunState(StrEnum):
    """How far a run is."""

    PENDING = "Pending"
    RUNNING = "Running"
    ENDED = "Ended"


class Usage(ApiModel):
    """What a run has used, as the kernel counted."""

    cpu_seconds: float = Field(default=0, description="Processor time in seconds.")
    memory_peak_bytes: int = Field(default=0, description="The most memory at once, in bytes.")
    throttled_seconds: float = Field(default=0, description="Seconds it was held back by its cpu limit.")
    read_bytes: int = Field(default=0, description="Bytes read from disks; what was in memory already is not counted.")
    written_bytes: int = Field(default=0, description="Bytes written to files on disks.")


class Run(ApiModel):
    """One attempt at the command; seen as Pod JOB-ATTEMPT."""

    attempt: int = Field(description="Counts from 1 over the job's life.")
    template_hash: str = Field(default="", description="Hash of what this run is made of.")
    state: RunState = Field(default=RunState.PENDING, description="Pending, Running or Ended.")
    boot_id: str = Field(default="", description="The host's boot that it was started in.")
    pid: int | None = Field(default=None, description="The supervisor's process id on the host.")
    deadline_seconds: float | None = Field(default=None, description="The deadline that its supervisor holds it to.")
    started_at: str | None = Field(default=None, description="When the command started, RFC 3339.")
    finished_at: str | None = Field(default=None, description="When it ended, RFC 3339.")
    exit_code: int | None = Field(default=None, description="The command's exit code, or 128 + its signal.")
    signal: int | None = Field(default=None, description="The signal that ended it, if one did.")
    reason: str = Field(default="", description="Why it ended, one word.")
    message: str = Field(default="", description="The same for a person.")
    runtime: str = Field(default="", description="The runtime version it ran in, NAME@VERSION.")
    runtime_digest: str = Field(default="", description="The sha256 of that version's content, where it is known.")
    package_cache: str = Field(
        default="", description="Where its package manager's cache is; `private: WHY` if it is this run's alone."
    )
    devices: tuple[str, ...] = Field(
        default=(), description="The devices it was given, VENDOR/CLASS=NAME; nobody else has them until it is gone."
    )
    device_nodes: tuple[str, ...] = Field(
        default=(), description="The host's nodes behind each of them: c or b, MAJOR:MINOR, with spaces between."
    )
    usage: Usage | None = Field(default=None, description="What it used.")
    receipt: dict[str, Any] | None = Field(default=None, description="What isolation and limits were really enforced.")


class JobStatus(ApiModel):
    """What became of a job."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    template_hash: str = Field(default="", description="Hash of what runs are made of; failures are counted for it.")
    phase: Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Terminating"] = Field(
        default="Pending", description="A printed summary of the conditions."
    )
    reason: str = Field(default="", description="Why it is in this phase, one word.")
    message: str = Field(default="", description="The same for a person: what happened and what to do.")
    conditions: tuple[Condition, ...] = Field(default=(), description="Complete, Failed and Suspended, as in batch/v1.")
    start_time: str | None = Field(default=None, description="When the first run of this template started.")
    completion_time: str | None = Field(default=None, description="When the job completed.")
    active: int = Field(default=0, description="Runs that are running.")
    succeeded: int = Field(default=0, description="Runs that succeeded.")
    failed: int = Field(default=0, description="Runs that failed since the template last changed.")
    attempts: int = Field(default=0, description="Runs begun over the job's life.")
    next_retry_time: str | None = Field(default=None, description="When the next run is due.")
    resolved_runtime: str = Field(default="", description="The runtime version in use, NAME@VERSION.")
    stop_request: str = Field(default="", description="The stop that was heard: the value of its annotation.")
    stopped_template_hash: str = Field(default="", description="What runs were made of when it was heard.")
    work_bytes: int | None = Field(default=None, description="The size of /work, in bytes.")
    runs: tuple[Run, ...] = Field(default=(), description="The last ten runs, oldest first.")


class Job(Resource):
    """One command in one runtime, kept until it has succeeded or failed for good."""

    kind: str = "Job"
    spec: JobSpec = Field(description="What is wanted.")
    status: JobStatus = Field(default_factory=JobStatus, description="What is.")
