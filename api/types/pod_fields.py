"""What a Pod has here: for `explain`, and for clients that are made of OpenAPI.

Pods are never read into these types: `pod.py` makes them of jobs, as documents. A test holds the two together.
"""

from enum import StrEnum

from pydantic import ConfigDict, Field

from api.model import ApiModel, Resource
from api.types.job_spec import EnvVar
from api.types.references import EnvFromSource


class Shown(ApiModel):
    """Base of what is described and never read: it is built when somebody asks what it has."""

    model_config = ConfigDict(defer_build=True)


class PodPhase(StrEnum):
    """How far a run is."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class ContainerResources(Shown):
    """What the run may use, and what it was promised."""

    limits: dict[str, str] = Field(
        default_factory=dict,
        description="The most that it may use: cpu in processors (`500m` is half of one), memory and ephemeral-storage "
        "in bytes (`512Mi`), devices by number. Those of the job's spec.resources.limits that pods have too.",
    )
    requests: dict[str, str] = Field(
        default_factory=dict,
        description="What the queue keeps for it on the host, such as `memory: 64Mi`, in the same units.",
    )


class Container(Shown):
    """The command of a run; each pod has this one."""

    name: str = Field(description="Always `job`.")
    image: str = Field(
        description="The runtime that it runs in, NAME@VERSION, such as python-3.11@1.0.0; `host` is the host's own."
    )
    command: tuple[str, ...] = Field(default=(), description='The job\'s command, such as ["python", "train.py"].')
    args: tuple[str, ...] = Field(default=(), description="The job's args, which come after the command.")
    env: tuple[EnvVar, ...] = Field(
        default=(),
        description="The variables that the job says; of values out of Secrets and ConfigMaps only where they come "
        "from. A run of a spec that was changed since has none here.",
    )
    env_from: tuple[EnvFromSource, ...] = Field(
        default=(), description="The Secrets and ConfigMaps whose keys are variables."
    )
    stdin: bool = Field(default=False, description="Whether attach gives it a standard input.")
    stdin_once: bool = Field(default=False, description="Whether that ends with the first who attached to it.")
    resources: ContainerResources = Field(
        default_factory=ContainerResources, description="What it may use, and what it was promised."
    )


class PodSpec(Shown):
    """What the run was made of, as far as pods have a field for it; all of it is in the job."""

    containers: tuple[Container, ...] = Field(description="The one command.")
    restart_policy: str = Field(
        default="Never", description="Always Never: what is run again is a pod of its own, with the next number."
    )
    node_name: str = Field(default="", description="The host's name.")
    host_network: bool = Field(default=False, description="Whether it is, or was, in the host's own network.")
    priority: int = Field(default=0, description="The priority in the queue that it was begun with; higher is sooner.")
    priority_class_name: str | None = Field(default=None, description="The job's PriorityClass, if it names one.")


class PodCondition(Shown):
    """One of the facts that every pod states."""

    type: str = Field(description="PodScheduled, Initialized, ContainersReady or Ready.")
    status: str = Field(description="True or False.")
    reason: str = Field(default="", description="Where it is False: PodCompleted, or ContainersNotReady.")
    last_transition_time: str | None = Field(
        default=None, description="When the run started, or ended, RFC 3339, such as 2026-12-31T23:59:00Z."
    )


class ContainerWaiting(Shown):
    """It has not started."""

    reason: str = Field(default="", description="Why not, one word, such as Pending.")


class ContainerRunning(Shown):
    """It runs."""

    started_at: str | None = Field(default=None, description="When its command started, RFC 3339.")


class ContainerTerminated(Shown):
    """It has ended."""

    exit_code: int = Field(description="The command's exit code, or 128 + its signal; 255 where nobody knows it.")
    signal: int | None = Field(default=None, description="The number of the signal that ended it, if one did.")
    reason: str = Field(default="", description="Why it ended, one word, such as Completed, Error or OOMKilled.")
    message: str = Field(default="", description="The same for a person, and what to do.")
    started_at: str | None = Field(
        default=None, description="When its command started, RFC 3339; absent if it never did."
    )
    finished_at: str | None = Field(default=None, description="When it ended, RFC 3339.")


class ContainerState(Shown):
    """How the command is; exactly one is there."""

    waiting: ContainerWaiting | None = Field(default=None, description="There while it has not started.")
    running: ContainerRunning | None = Field(default=None, description="There while it runs.")
    terminated: ContainerTerminated | None = Field(default=None, description="There once it has ended.")


class ContainerStatus(Shown):
    """How the command of the run is."""

    name: str = Field(description="Always `job`.")
    image: str = Field(description="The runtime that it runs in, NAME@VERSION, or `host`.")
    image_id: str = Field(
        alias="imageID", description="Always empty: which content a runtime has is in the job's status."
    )
    ready: bool = Field(description="Whether it runs.")
    started: bool = Field(default=False, description="Whether it runs.")
    restart_count: int = Field(description="Always 0: what is run again is a pod of its own.")
    state: ContainerState = Field(default_factory=ContainerState, description="How it is now.")
    last_state: ContainerState = Field(
        default_factory=ContainerState, description="Always empty, as it never restarts."
    )


class PodStatus(Shown):
    """How the run is; the job's status.runs has more of it, with what was enforced and used."""

    phase: PodPhase = Field(
        default=PodPhase.PENDING,
        description="Pending before its command starts, Running, Succeeded if it ended with exit code 0, else Failed.",
    )
    reason: str | None = Field(default=None, description="Why it waits or ended, one word, such as OOMKilled.")
    message: str | None = Field(default=None, description="The same for a person.")
    start_time: str | None = Field(default=None, description="When its command started, RFC 3339.")
    conditions: tuple[PodCondition, ...] = Field(
        default=(), description="What clients wait for: PodScheduled, Initialized, ContainersReady and Ready."
    )
    container_statuses: tuple[ContainerStatus, ...] = Field(default=(), description="How its one command is.")


class Pod(Resource):
    """One run of a job, as Kubernetes' tools know it: run N of job NAME is the pod NAME-N.

    It is its job's status, seen otherwise. It can be read, watched, entered and deleted, which ends the run; whatever
    else is to be changed is changed in the job.
    """

    model_config = ConfigDict(defer_build=True)

    api_version: str = Field(default="v1", description="Group and version of the schema, v1.")
    kind: str = Field(default="Pod", description="Pod.")
    spec: PodSpec = Field(description="What the run was made of.")
    status: PodStatus = Field(default_factory=PodStatus, description="How the run is.")
