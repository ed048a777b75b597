"""What there is of a job on the host, as plain data: its runs, its runtime, what can be enforced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from api.types.artifacts import Artifacts
from api.types.job_after import AfterStatus
from api.types.job_network import RunNetwork
from api.types.network_refusal import Refusal
from controller.capacity.amounts import Need
from controller.job.volumes import NO_VOLUMES, VolumesMissing, VolumesReady
from controller.launcher.records import Exited, Lost, Plain, Running, Unclaimed

RunRecord: TypeAlias = Unclaimed | Running | Exited | Lost


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One run directory: what its records say, whether it is frozen, and when a stop was sent.

    `may_be_frozen` holds from before a freeze until after a thaw: whoever wants it to run thaws it then. `gives_way`
    says to whom, if it is to be stopped for another. `receipt` is what it is held to, if that is not on record so far.
    """

    attempt: int
    record: RunRecord
    frozen: bool = False
    stop_sent_at: datetime | None = None
    stop_grace_seconds: float | None = None
    may_be_frozen: bool = False
    gives_way: str = ""
    receipt: Mapping[str, Plain] | None = None


@dataclass(frozen=True, slots=True)
class RuntimeMount:
    """A part of a runtime's tree, relative to it, and where jobs see it; `selective` names what of it."""

    source: str
    target: str
    read_only: bool = True
    selective: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageCache:
    """What a runtime's package manager, `tool`, keeps its downloads in: /volumes/VOLUME of its runs.

    `directory` is the host's; without it each run has an empty one of its own, and `problem` says why. Where the job
    names a volume in its place, that is the cache, and `at` says where the run sees it.
    """

    tool: str
    volume: str
    directory: str = ""
    problem: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeReady:
    """The runtime is installed: this version, in this tree. A job without a runtime has an empty name.

    `digest` is of the tree's content, where it is known.
    """

    name: str = ""
    version: str = ""
    path: str = ""
    mounts: tuple[RuntimeMount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    min_memory_bytes: int | None = None
    digest: str = ""
    cache: PackageCache | None = None

    def __str__(self) -> str:
        """Print as NAME@VERSION, or just the name when the tree has no version."""
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class RuntimeMissing:
    """The runtime cannot be used now. `request` is the (name, version) of a Runtime to ask for."""

    reason: str
    message: str
    request: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DevicesFree:
    """The devices that the job's next run would get now, by qualified name; none for a job that wants none.

    `nodes` are those of the host behind each of them, in the same order.
    """

    names: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DevicesMissing:
    """The job's next run cannot have the devices it wants. `is_elsewhere`: for a run whose end nobody here hears of."""

    reason: str
    message: str
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class NetworkGiven:
    """Where the job's next run would be in its network; None for a job without a network."""

    network: RunNetwork | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """How many connections of the job its network refused, and the last of them."""

    count: int = 0
    last: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkMissing:
    """The job's next run cannot have its network. `request` is the built-in one to be made."""

    reason: str
    message: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It is the job's turn: its next run is promised `need`. Since when it has waited, in microseconds, if it has."""

    need: Need = ()
    priority: int = 0
    queued_at: int | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """The job's next run has to wait for its turn, behind so many others."""

    reason: str
    message: str
    queued_at: int | None = None
    priority: int = 0
    ahead: int = 0
    place: str = ""


class Runtimes(Protocol):
    """The runtimes of this host, as jobs need them; the Runtime kind is behind it, unknown to us."""

    def find(self, spec: str, *, may_install: bool) -> RuntimeReady | RuntimeMissing:
        """Return what `spec` means now, or why it cannot be used and what to ask for."""
        ...


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """All that a plan for a job is decided from, beside the job itself.

    `after` is how far the jobs are that it waits for, `is_awaited` whether another one has still to see how it ended.
    `forbidden` says why the host's policy lets no run begin, `devices_gone` why a run that is on record cannot be
    started with the devices it was given. `ready_from` is from when on a run that is not due is made ready, and held.
    """

    now: datetime
    boot_id: str
    runs: tuple[ObservedRun, ...]
    runtime: RuntimeReady | RuntimeMissing
    unenforceable: str = ""
    unresolved: str = ""  # What of the Secrets and ConfigMaps that it refers to is missing.
    logs_present: bool = False
    devices: DevicesFree | DevicesMissing = DevicesFree()
    devices_gone: str = ""
    forbidden: str = ""
    after: tuple[AfterStatus, ...] = ()
    is_awaited: bool = False
    turn: Admitted | Queued = Admitted()
    artifacts: Artifacts | None = None  # What was kept of a run.
    artifacts_present: bool = False  # Looked at when the job is being deleted.
    volumes: VolumesReady | VolumesMissing = NO_VOLUMES
    network: NetworkGiven | NetworkMissing = NetworkGiven()
    refused: Refused = Refused()
    ready_from: datetime | None = None

    @property
    def may_be_early(self) -> bool:
        """Whether a run that is not due may be made ready for its moment."""
        return self.ready_from is not None and self.ready_from <= self.now

    def run(self, attempt: int) -> ObservedRun | None:
        """Return what there is of run `attempt`."""
        return next((run for run in self.runs if run.attempt == attempt), None)
