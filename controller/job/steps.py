"""The steps that a job's plan is made of, as plain data; `act.py` carries them out."""

from dataclasses import dataclass, field
from datetime import datetime

from api.types.job import RunVolume
from api.types.job_network import RunNetwork
from controller.job.observed import Admitted


@dataclass(frozen=True, slots=True)
class RequestRuntime:
    """Ask for a runtime version by declaring it; the Runtime kind installs it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class RequestVolume:
    """Ask for a volume that nobody declared by declaring it; the Volume kind makes it."""

    name: str


@dataclass(frozen=True, slots=True)
class BeginRun:
    """Put run `attempt` on record, with what it was promised. It is started in the next pass, once that is stored."""

    attempt: int
    devices: tuple[str, ...] = ()
    device_nodes: tuple[str, ...] = ()
    turn: Admitted = field(default_factory=Admitted)
    volumes: tuple[RunVolume, ...] = ()
    network: RunNetwork | None = None
    index: int | None = None
    index_failures: int | None = None


@dataclass(frozen=True, slots=True)
class RequestNetwork:
    """Have this built-in network be in the job's namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """Have the launcher start run `attempt`; asking twice starts it once. Its command is held until `not_before`."""

    attempt: int
    deadline_seconds: float | None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AbandonRun:
    """End run `attempt`, which is on record and was not started, so that it never is."""

    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StopRun:
    """Send SIGTERM to run `attempt`, and SIGKILL after the grace."""

    attempt: int
    reason: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class TakeBackRun:
    """End run `attempt`, which is ready for a moment that it is not to begin at, unless it has begun."""

    attempt: int


@dataclass(frozen=True, slots=True)
class KillRun:
    """Kill run `attempt` and its supervisor, which did not heed a stop."""

    attempt: int


@dataclass(frozen=True, slots=True)
class FreezeRun:
    """Freeze run `attempt`; its deadline stops counting."""

    attempt: int


@dataclass(frozen=True, slots=True)
class ThawRun:
    """Let run `attempt` go on, with `deadline_seconds` from now."""

    attempt: int
    deadline_seconds: float | None


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Hold run `attempt` to another deadline, `deadline_seconds` from now."""

    attempt: int
    deadline_seconds: float | None


@dataclass(frozen=True, slots=True)
class RemoveRun:
    """Remove what run `attempt`, which has ended, left on the host; its log stays."""

    attempt: int


@dataclass(frozen=True, slots=True)
class RemoveLogs:
    """Remove the job's logs."""


@dataclass(frozen=True, slots=True)
class RemoveArtifacts:
    """Remove the files that were kept of the job's runs."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the job itself: its time to live after its end is over."""
