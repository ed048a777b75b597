"""Job: one command in one runtime, with files, limits, retries and a deadline.

Field names are batch/v1's and Pod's wherever they have one. A change of what a run is made of
(everything that `template()` returns) replaces the run; other changes take effect in place.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from api import conditions
from api.conditions import Condition, ReasonEnum
from api.model import ApiModel, Resource
from api.types.artifacts import Artifacts
from api.types.job_after import AfterStatus
from api.types.job_network import RunNetwork
from api.types.job_spec import JobSpec
from api.types.network_refusal import Refusal

CONDITIONS = frozenset({"Complete", "Failed", "Suspended", "Scheduled"})
"""The types of conditions that runwright sets on jobs."""
OUTPUT_ANNOTATION, WHOLE_OUTPUT = "runwright.dev/output", "whole"
"""Set before a run starts, more of its log is kept: up to the setting logs.whole_size."""


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
    RESCHEDULED = (
        "Rescheduled",
        "The run was ready for its moment, and its job is to start at another one, is suspended or forbidden by "
        "now; or its supervisor was killed before. Nothing of it was executed, and it counts as no failure.",
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
    JOB_ENDED = (
        "JobEnded",
        "The run was stopped as its job needed it no more: others had completed it, or failed it for good. It counts "
        "as no failure.",
    )
    SCALED_DOWN = (
        "ScaledDown",
        "The run was stopped as parallelism, or completions, was lowered; it counts as no failure.",
    )
    FAILED_INDEXES = (
        "FailedIndexes",
        "All indexes of the job are over, and some have failed for good: more than backoffLimitPerIndex allows.",
    )
    MAX_FAILED_INDEXES_EXCEEDED = (
        "MaxFailedIndexesExceeded",
        "More indexes have failed than maxFailedIndexes allows; the job has failed for good.",
    )
    BACKOFF_LIMIT_EXCEEDED = (
        "BackoffLimitExceeded",
        "More runs failed than backoffLimit allows; the job has failed for good.",
    )
    BACK_OFF = "BackOff", "A run failed, and the next one waits until status.nextRetryTime."
    SCHEDULED = (
        "Scheduled",
        "spec.startAt is to come; the message says when it is, and what else would keep the job from starting now.",
    )
    DUE = "Due", "Of the condition Scheduled: its start time has come, or is waited for no more."
    CANCELED = "Canceled", "Somebody asked for the stop before the start time had come, so nothing was executed."
    SUSPENDED = "Suspended", "spec.suspend is true: no run is started, and a running one is frozen."
    RUNTIME_NOT_FOUND = (
        "RuntimeNotFound",
        "The runtime is not installed, and no registry offers it to this host, or installPolicy Never forbids to "
        "install it.",
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
        "the field and the setting. A run that was begun and not started before the policy was so ends so, as no "
        "failure.",
    )
    CONFIG_ERROR = (
        "CreateContainerConfigError",
        "A Secret or ConfigMap that the job takes values from, or a key of it, an upload, or a file of the host, is "
        "not there or cannot be used so; the message names it. The run starts as soon as it is there. A run that was "
        "begun and cannot have a file of the host ends so, as a failure.",
    )
    WAITING_FOR_JOBS = (
        "WaitingForJobs",
        "Jobs that it runs after have not ended so far, or are not there; the message names them.",
    )
    DEPENDENCY_FAILED = (
        "DependencyFailed",
        "A job that it runs after ended otherwise than spec.after wants, was deleted, or never came: it can never run. "
        "It runs, if it can then, once its spec is changed.",
    )
    DEPENDENCY_CYCLE = (
        "DependencyCycle",
        "By their spec.after, it and other jobs wait for each other, so that none of them can ever run; the message "
        "names them.",
    )
    HOST_BUSY = "HostBusy", "As many runs are active as the setting jobs.max_active allows."
    INSUFFICIENT_CPU = (
        "InsufficientCPU",
        "Too little processor time is left to promise to a run; the message says what is missing, and the job's place "
        "in the queue.",
    )
    INSUFFICIENT_MEMORY = (
        "InsufficientMemory",
        "Too little memory is left to promise to a run; the message says what is missing, and the job's place in the "
        "queue.",
    )
    INSUFFICIENT_STORAGE = (
        "InsufficientEphemeralStorage",
        "Too little of the disk is left to promise to a run; the message says what is missing, and the job's place in "
        "the queue.",
    )
    QUEUED = (
        "Queued",
        "Other jobs come first: what the run needs is kept for one of them; the message says the job's place in the "
        "queue.",
    )
    HOST_CORDONED = (
        "HostCordoned",
        "Somebody has cordoned the host, so no run begins on it until it is uncordoned; those that run go on.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "The job requests more than this host has in all, so it can never run here; the message says what to lower.",
    )
    PREEMPTED = (
        "Preempted",
        "The run was stopped for a job of a higher priority; its job waits for its turn again. It is no failure.",
    )
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
    VOLUME_NOT_FOUND = (
        "VolumeNotFound",
        "The job names a volume that nobody declared, and the setting volumes.auto_create is false.",
    )
    VOLUME_NOT_READY = "VolumeNotReady", "A volume that the job names is not ready; the Volume of that name says why."
    VOLUME_IN_USE = (
        "VolumeInUse",
        "Another run has a volume that the job names, which its access modes let one run have at a time; the message "
        "names it. The job runs as soon as that has ended.",
    )
    VOLUME_MODE = (
        "VolumeModeForbidden",
        "The job wants to write to a volume whose access modes let nobody write; mount it with readOnly: true.",
    )
    FAILED_MOUNT = (
        "FailedMount",
        "A volume that the run was to have cannot be mounted, so nothing was executed; it is tried again.",
    )
    NETWORK_NOT_FOUND = (
        "NetworkNotFound",
        "There is no Network of that name in the job's namespace, and it is no built-in one.",
    )
    NETWORK_NOT_READY = "NetworkNotReady", "Its Network is being made or cannot be; the Network object says more."
    NETWORK_FULL = "NetworkFull", "All addresses of its Network are in use; it runs when another run has ended."
    PORT_TAKEN = "PortTaken", "A port of the host that it wants is in use; the message says which."
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


class RunVolume(ApiModel):
    """A volume that a run has."""

    name: str = Field(description="The Volume's name.")
    uid: str = Field(description="The Volume's uid: a later one of that name is another.")
    read_only: bool = Field(default=False, description="Whether the run may only read it.")


class Run(ApiModel):
    """One attempt at the command; seen as Pod JOB-ATTEMPT, or JOB-INDEX-ATTEMPT where it has an index."""

    attempt: int = Field(description="Counts from 1 over the job's life.")
    index: int | None = Field(default=None, description="Its index, of an indexed job.")
    index_failures: int | None = Field(
        default=None, description="With backoffLimitPerIndex: how often its index had failed before."
    )
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
    requests: dict[str, str] = Field(
        default_factory=dict, description="What this host has promised to it until it is gone: cpu, memory and others."
    )
    priority: int = Field(default=0, description="The priority with which it began.")
    queued_at: str | None = Field(
        default=None,
        description="Of a job of many runs: since when it had wanted to begin, which it keeps if preempted.",
    )
    volumes: tuple[RunVolume, ...] = Field(default=(), description="The volumes that it has until it is gone.")
    network: RunNetwork | None = Field(
        default=None, description="Where it is in its network, and its ports on the host."
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
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Complete, Failed and Suspended, as in batch/v1, and Scheduled; what others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    start_time: str | None = Field(default=None, description="When the first run of this template started.")
    completion_time: str | None = Field(default=None, description="When the job completed.")
    active: int = Field(
        default=0, description="Runs that are running; of a job of many runs, also those that are about to."
    )
    ready: int | None = Field(default=None, description="Of a job of many runs: those that are running.")
    succeeded: int = Field(default=0, description="Runs that succeeded; of an indexed job, indexes.")
    failed: int = Field(default=0, description="Runs that failed since the template last changed.")
    completed_indexes: str | None = Field(
        default=None, description="Of an indexed job: the indexes that have succeeded, such as 0-3,5."
    )
    failed_indexes: str | None = Field(
        default=None, description="With backoffLimitPerIndex: the indexes that have failed for good."
    )
    attempts: int = Field(default=0, description="Runs begun over the job's life.")
    next_retry_time: str | None = Field(default=None, description="When the next run is due.")
    queued_at: str | None = Field(
        default=None, description="Since when the job's last run wanted to begin; a run that is preempted keeps it."
    )
    priority: int | None = Field(default=None, description="The job's priority, as its PriorityClass said last.")
    resolved_runtime: str = Field(default="", description="The runtime version in use, NAME@VERSION.")
    stop_request: str = Field(default="", description="The stop that was heard: the value of its annotation.")
    stopped_template_hash: str = Field(default="", description="What runs were made of when it was heard.")
    work_bytes: int | None = Field(default=None, description="The size of /work, in bytes.")
    after: tuple[AfterStatus, ...] = Field(default=(), description="How far each of spec.after is.")
    artifacts: Artifacts | None = Field(default=None, description="The files that were kept, of its last run.")
    refused: int = Field(
        default=0, description="Connections of and to its runs that its network was seen to refuse, by packets."
    )
    refusals: tuple[Refusal, ...] = Field(default=(), description="The last of them, the last one last.")
    runs: tuple[Run, ...] = Field(
        default=(),
        description="The last ten runs, oldest first; of a job of many runs, all that go on and the last fifty.",
    )


class Job(Resource):
    """One command in one runtime, kept until it has succeeded or failed for good."""

    kind: str = "Job"
    spec: JobSpec = Field(description="What is wanted.")
    status: JobStatus = Field(default_factory=JobStatus, description="What is.")

    @property
    def has_many_runs(self) -> bool:
        """Whether it has, or has had, more than one run at a time or more than one to succeed: once so, always so."""
        return self.status.ready is not None or self.spec.has_many_runs
