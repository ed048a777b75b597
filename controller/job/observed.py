"""What there is of a job on the host, as plain data: its runs, its runtime, what can be enforced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from controller.launcher.records import Exited, Lost, Running, Unclaimed

RunRecord: TypeAlias = Unclaimed | Running | Exited | Lost


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One run directory: what its records say, whether it is frozen, and when a stop was sent.

    `may_be_frozen` holds from before a freeze until after a thaw: whoever wants it to run thaws it then.
    """

    attempt: int
    record: RunRecord
    frozen: bool = False
    stop_sent_at: datetime | None = None
    stop_grace_seconds: float | None = None
    may_be_frozen: bool = False


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

    `directory` is the host's; without it each run has an empty one of its own, and `problem` says why.
    """

    tool: str
    volume: str
    directory: str = ""
    problem: str = ""


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


class Runtimes(Protocol):
    """The runtimes of this host, as jobs need them; the Runtime kind is behind it, unknown to us."""

    def find(self, spec: str, *, may_install: bool) -> RuntimeReady | RuntimeMissing:
        """Return what `spec` means now, or why it cannot be used and what to ask for."""
        ...


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """All that a plan for a job is decided from, beside the job itself.

    `forbidden` says why the host's policy lets no run begin, `devices_gone` why a run that is on record cannot be
    started with the devices it was given.
    """

    now: datetime
    boot_id: str
    runs: tuple[ObservedRun, ...]
    runtime: RuntimeReady | RuntimeMissing
    unenforceable: str = ""
    crowded: str = ""
    unresolved: str = ""  # What of the Secrets and ConfigMaps that it refers to is missing.
    logs_present: bool = False
    devices: DevicesFree | DevicesMissing = DevicesFree()
    devices_gone: str = ""
    forbidden: str = ""

    def run(self, attempt: int) -> ObservedRun | None:
        """Return what there is of run `attempt`."""
        return next((run for run in self.runs if run.attempt == attempt), None)
