"""What a run leaves in its directory, and what that tells: the claim at its start, the record of its exit.

`claim.json` appears once, and whole, before anything of the run is executed: who has made it runs the run, and
nobody else ever will. `exit.json` appears once, and whole, when the run has ended, and is durable a moment later. Both
say all there is to know, so that a controller started later needs no memory of its own. Until then there is, in the
place that is kept for the record, the receipt.

Neither is waited for to be on the disk, as no process's death takes it away. A loss of power may, but then the job's
record of the run, durable before anybody is asked to start it, is of another boot: no run of another boot is ever
started, and one whose end was not stored anywhere is lost, as its job knows.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from controller.linux import pidfd, process, procfs

CLAIM = "claim.json"
EXIT = "exit.json"
EXIT_TO_BE = "exit.json.new"
"""What the record is called until it is whole."""
_DEAD_STATES = "ZXx"

Plain: TypeAlias = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None


class Reason:
    """Why a run ended, in the words of the exit record. A stop brings its own, `STOPPED` unless it says otherwise."""

    COMPLETED = "Completed"
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STOPPED = "Stopped"
    SANDBOX_FAILED = "SandboxFailed"
    CONTAINER_CANNOT_RUN = "ContainerCannotRun"


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How a run ended. `exit_code` is None if nothing was executed, and 128 + `signal` for a death by signal."""

    run_id: str
    reason: str
    message: str
    exit_code: int | None
    signal: int | None
    started_at: str
    finished_at: str
    usage: Mapping[str, float] = field(default_factory=dict)
    oom_kills: int = 0
    dropped_log_bytes: int = 0
    receipt: Mapping[str, Plain] = field(default_factory=dict)  # What was really enforced.


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs the run: a supervisor, by (boot, pid, start time); and the path of the FIFO it listens on.

    A run that was cancelled before anybody ran it has its `outcome` here. One that is made ready ahead of its moment
    has that in `not_before`, and no `started_at`: when it began is told with the receipt.
    """

    run_id: str
    boot_id: str
    pid: int
    start_time: int
    started_at: str
    control: str
    outcome: ExitRecord | None = None
    not_before: str = ""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Nothing of the run was executed so far."""


@dataclass(frozen=True, slots=True)
class Running:
    """The run is on its way; `control` is the path of its supervisor's FIFO.

    With `is_ending` its supervisor was killed, and is not dead as the kernel has it wait for what it cannot end: on
    version 1 of cgroups that is what is frozen. Nothing of it was executed so far, as it is ready ahead of the moment
    `not_before`, if there is that and no `started_at`.
    """

    pid: int
    start_time: int
    started_at: str
    control: str = field(default="", compare=False)
    is_ending: bool = False
    not_before: str = ""

    @property
    def is_held(self) -> bool:
        """Whether it is ready, and waits for its moment."""
        return bool(self.not_before) and not self.started_at

    def hold(self) -> int:
        """Open a pidfd of its supervisor. The caller closes it.

        Raises:
            ProcessLookupError: it has ended: observe again.
        """
        return pidfd.open_identified(self.pid, self.start_time)

    def open_end(self) -> int:
        """Open what has an event in any poll once the run has ended: then observe again. The caller closes it.

        It is the writing end of a FIFO that its supervisor alone reads, and lets go of as soon as the exit record is
        written: what is left of the supervisor by then, some 0.7 ms of memory to free, is not waited for. One that is
        killed lets go a moment before it is dead: what is Running still, then, is to be waited for again.

        Raises:
            ProcessLookupError: it has ended: observe again.
        """
        try:
            fd = os.open(self.control, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # ENXIO: nobody reads it any more.
            return self.hold()
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return self.hold()


@dataclass(frozen=True, slots=True)
class Exited:
    """The run has ended and said how."""

    record: ExitRecord


@dataclass(frozen=True, slots=True)
class Lost:
    """The run was begun and ended without saying how: its machine or its supervisor was killed."""

    reason: str
    started_at: str
    not_before: str = ""


Observed: TypeAlias = Unclaimed | Running | Exited | Lost


def observe(run_dir: Path) -> Observed:
    """Say where a run stands, from its directory and the kernel alone."""
    try:
        directory_fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Unclaimed()
    try:
        return _observe(directory_fd)
    finally:
        os.close(directory_fd)


def _observe(directory_fd: int) -> Observed:
    torn = None
    try:
        record = read_exit(directory_fd)
    except ValueError as error:
        record, torn = None, error
    if record is not None:
        return Exited(record)
    try:
        claim = read_claim(directory_fd)
    except ValueError as error:  # So the machine's power may leave it, too.
        return _unnamed_exit(directory_fd) or Lost(str(error), "")
    if torn is not None and (claim is None or claim.boot_id == process.boot_id()):
        raise torn  # No loss of power explains it.
    if claim is None:
        return _unnamed_exit(directory_fd) or Unclaimed()
    if claim.outcome is not None:
        return Exited(claim.outcome)
    return _as_claimed(directory_fd, claim, was_torn=torn is not None)


def _as_claimed(directory_fd: int, claim: Claim, *, was_torn: bool) -> Observed:
    """Say where a claimed run stands that had no record when we looked."""
    found = _supervisor_of(claim)
    started_at = _told_start(directory_fd) if claim.not_before else claim.started_at
    running = Running(claim.pid, claim.start_time, started_at, claim.control, not_before=claim.not_before)
    if isinstance(found, procfs.Stat) and not found.is_exiting:
        return running
    if not was_torn:  # It was alive when we looked for the record at first, and may have written it since.
        record = read_exit(directory_fd)
        if ended := Exited(record) if record is not None else _unnamed_exit(directory_fd):
            return ended
    if isinstance(found, procfs.Stat):
        return replace(running, is_ending=True)
    # Of another boot, nobody knows by which clock it was.
    return Lost(found, started_at, claim.not_before if claim.boot_id == process.boot_id() else "")


def _unnamed_exit(directory_fd: int) -> Exited | None:
    """Return a record that is whole but lost its name, and the claim perhaps, to a loss of power; see `recording`."""
    try:
        record = read_exit(directory_fd, EXIT_TO_BE)
    except ValueError:
        return None
    return None if record is None else Exited(record)


def _supervisor_of(claim: Claim) -> procfs.Stat | str:
    """Return what the kernel says of the run's supervisor, or why it says nothing: it is dead."""
    if claim.boot_id != process.boot_id():
        return "the machine was restarted while the run was running"
    gone = f"its supervisor (process {claim.pid}) ended without a record of the run's exit"
    try:
        with open(f"/proc/{claim.pid}/stat", "rb") as file:
            found = procfs.parse_stat(file.read().decode(errors="surrogateescape"))
    except (FileNotFoundError, ProcessLookupError):
        return gone
    alive = found.start_time_ticks == claim.start_time and found.state not in _DEAD_STATES
    return found if alive else gone


def read_claim(directory_fd: int) -> Claim | None:
    """Return the claim of the run in this directory, or None if nobody has claimed it.

    Raises:
        ValueError: there is one, and it cannot be read.
    """
    fields = _read(directory_fd, CLAIM)
    return None if fields is None else parse_claim(fields)


def parse_claim(fields: dict[str, object]) -> Claim:
    """Read a claim from its JSON object.

    Raises:
        ValueError: it is none.
    """
    outcome = fields.pop("outcome", None)
    try:
        return Claim(**fields, outcome=None if outcome is None else ExitRecord(**outcome))  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"cannot read {CLAIM}: {error}") from error


def read_exit(directory_fd: int, name: str = EXIT) -> ExitRecord | None:
    """Return how the run in this directory ended, or None if it has not.

    Raises:
        ValueError: there is a record, and it cannot be read.
    """
    try:
        fields = _read(directory_fd, name)
        return None if fields is None else ExitRecord(**fields)  # type: ignore[arg-type]  # TypeError if it is not.
    except (ValueError, TypeError) as error:
        raise ValueError(f"cannot read {name}: {error}") from error


def read_receipt(run_dir: Path) -> Mapping[str, Plain] | None:
    """Return what a run that has not said how it ended is held to; None if it has not been told so far."""
    try:
        directory_fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        match _told(directory_fd):
            case {"receipt": dict(receipt)}:
                return receipt
    finally:
        os.close(directory_fd)
    return None


def _told_start(directory_fd: int) -> str:
    """Return when a run that was made ready ahead of its moment began; empty if it has not."""
    match _told(directory_fd):
        case {"started_at": str(started_at)}:
            return started_at
    return ""


def _told(directory_fd: int) -> Mapping[str, object]:
    """Return what a run has told of itself so far; nothing if it has not, or is writing its record over it."""
    try:
        return _read(directory_fd, EXIT_TO_BE) or {}
    except ValueError:  # Blanks.
        return {}


def _read(directory_fd: int, name: str) -> dict[str, "object"] | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        fields = json.loads(file.read())
    if not isinstance(fields, dict):
        raise ValueError(f"cannot read {name}: it is no object")
    return fields
