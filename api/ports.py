"""What the API asks of the layers above it, as Protocols; `controller/daemon/manager.py` plugs them in.

Documents are JSON objects (`api.meta.Document`) with apiVersion, kind and metadata. Revisions are
the store's integers; on the wire they are the opaque strings of `metadata.resourceVersion`.
"""

import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from api.input_ports import RunInputs
from api.meta import Document, ObjectKey


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects as they were at one revision; `remaining` counts those after the last, when cut off."""

    items: tuple[Document, ...]
    revision: int
    remaining: int = 0


class ChangeType(StrEnum):
    """What a change did to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the journal: the object after it (for DELETED its last state), and before it."""

    type: ChangeType
    revision: int
    key: ObjectKey
    document: Document
    previous: Document | None


class Storage(Protocol):
    """The store: optimistic locking, one order of all changes, watch by reading on.

    Every write returns the object as stored. `metadata.resourceVersion` of what is sent is compared
    with what is stored. All methods may be called from any thread.
    """

    def get(self, key: ObjectKey) -> Document | None:
        """Return the object, or None."""
        ...

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        at_revision: int | None = None,
        after: ObjectKey | None = None,
        limit: int = 0,
    ) -> Listing:
        """Return objects of a kind in key order; `None` is all namespaces, `limit` 0 is no limit.

        Raises:
            Expired: `at_revision` was compacted away.
        """
        ...

    def each(self, kind: str, namespace: str | None = None, *, words: Sequence[str] = ()) -> Iterator[Document]:
        """Yield all objects of a kind in key order, as they are at one moment; none is kept. Read on, to the end.

        Of `words`, each as it is in JSON, an object has at least one: a cheap way not to look at those without, though
        one or the other of these may come too.
        """
        ...

    def keys(self, kind: str, namespace: str | None = None) -> Sequence[ObjectKey]:
        """Return the keys of all objects of a kind, in order."""
        ...

    def create(self, document: Document) -> Document:
        """Store a new object with uid, creationTimestamp, generation 1. Raises AlreadyExists."""
        ...

    def create_all(self, documents: Sequence[Document]) -> Sequence[Document | Exception]:
        """Store new objects as `create` does, in as few commits as can be; return each, or why it is not stored."""
        ...

    def update(self, document: Document) -> Document:
        """Replace all but status and server-owned metadata. Raises NotFound, Conflict, Invalid."""
        ...

    def update_status(self, document: Document) -> Document:
        """Replace the status (and managedFields) only. Raises NotFound, Conflict."""
        ...

    def delete(
        self, key: ObjectKey, *, uid: str | None = None, revision: int | None = None, grace_seconds: int | None = None
    ) -> Document:
        """Delete, or mark as deleting while finalizers remain; return the last state.

        `grace_seconds` is how long it may take to end by itself, if that is not left to it.

        Raises NotFound, or Conflict when a precondition does not hold.
        """
        ...

    def revision(self) -> int:
        """Return the newest revision."""
        ...

    def changes(self, since: int, *, kind: str | frozenset[str] | None = None, limit: int = 1000) -> Sequence[Change]:
        """Return changes of one kind, of some, or of all after revision `since`, oldest first; they are read only.

        Raises:
            Expired: changes after `since` were compacted away.
        """
        ...

    def subscribe(self, wake: Callable[[], None], kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Call `wake` after each commit that changes one of `kinds`, None is all; return what ends it.

        The writer's thread calls it. A wake-up is only a hint: read `changes`. `wake` must be quick and never raise.
        """
        ...


class RunLogs(Protocol):
    """The logs of a run."""

    def read(self, job: Document, attempt: int, options: "LogOptions", stopped: Callable[[], bool]) -> Iterator[bytes]:
        """Yield log text, line by line or more; when following, until the run ends or `stopped()`.

        An empty chunk is a heartbeat while nothing comes. Raises NotFound when the run left no log.
        """
        ...

    def records(
        self, job: Document, attempt: int, options: "LogOptions", after: str, stopped: Callable[[], bool]
    ) -> Iterator["LogRecord | None"]:
        """Yield the log record by record, after the place of an earlier one if `after` is not empty.

        None is a heartbeat while nothing comes. Raises NotFound when the run left no log, BadRequest for no place.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line of a log, or a part of one if it is not `whole`; `place` is where to go on after it."""

    place: str
    time: str
    text: bytes
    whole: bool


class BuildLogs(Protocol):
    """What the builds of runtimes said."""

    def read(self, runtime: Document, version: str, *, follow: bool, stopped: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the log of the last build of `version`, empty is whichever was built last; whole lines.

        When following, until the build ends or `stopped()`; an empty chunk is a heartbeat while nothing comes.
        Raises NotFound when there is no such log.
        """
        ...


class Catalogues(Protocol):
    """What registries offer."""

    def offered(self, registry: Document, *, refresh: bool) -> Document:
        """Return {fetchedAt, problem, runtimes}: by name and version description, sizeBytes, platforms, unsupported.

        `unsupported` says why it does not run here; empty if it does. Raises ServiceUnavailable when nothing is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a log is wanted; stream None is both. A `whole` one lacks nothing; `cri` is as it is kept."""

    follow: bool = False
    tail_lines: int | None = None
    since_seconds: float | None = None
    since_time: str | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    stream: str | None = None
    whole: bool = False
    cri: bool = False


class Explainer(Protocol):
    """Says why an object is where it is, and what would be done next."""

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        """Return {object, summary, reasons[], plan[], sandbox[]} as plain data. Raises NotFound."""
        ...


class Health(Protocol):
    """Whether the daemon works, part by part."""

    def checks(self) -> dict[str, str]:
        """Return each part with an empty string when it works, else what is wrong with it."""
        ...


class Exposition(Protocol):
    """The metrics."""

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        ...


class HostReport(Protocol):
    """What this host has, and how it is."""

    def node(self) -> Document:
        """Return metadata, spec and status of the host as a core/v1 Node."""
        ...

    def usage(self) -> "HostUsage":
        """Return what the host as a whole uses."""
        ...


class AuditLog(Protocol):
    """The record of who did what."""

    def write(self, entry: Document) -> None:
        """Put one entry on record; never raises, and is on its way to the disk when it returns."""
        ...

    def problem(self) -> str:
        """Return why entries cannot be put on record now, or an empty string."""
        ...


class CertificateAuthority(Protocol):
    """The CA of this host."""

    def certificate_pem(self) -> bytes:
        """Return the CA's own certificate."""
        ...

    def server(self) -> str:
        """Return the URL that the API is served at beside its unix socket, empty if it is not."""
        ...

    def sign(self, request: bytes, user: str, groups: Sequence[str], expires: datetime) -> tuple[bytes, str]:
        """Return a client's certificate (PEM) and its serial number. Raises BadRequest."""
        ...


class SecretsKey(Protocol):
    """The key that Secrets are encrypted with."""

    def rotate_key(self) -> int:
        """Put all Secrets under a new key; return how many stored texts that were.

        Raises:
            OSError: the file of keys cannot be used.
            ServiceUnavailable: something cannot be read or written.
        """
        ...


class ManifestReports(Protocol):
    """What the manifest sources hold and which of it is invalid."""

    def reports(self) -> Sequence[Document]:
        """Return one document a manifest: source, file, line, object, state, message, since."""
        ...


class CannotConnect(Exception):
    """Nobody listens on that port of the run, or takes the connection."""


class CannotExecute(Exception):
    """The command is not in the run, or cannot be executed; `exit_code` is what a shell would say, 127 or 126."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Say why, and with which exit code."""
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Execution:
    """A command to be executed in a run. `terminal` is its columns and rows; it takes the place of all streams."""

    command: tuple[str, ...]
    streams: tuple[str, ...] = ()
    terminal: tuple[int, int] | None = None


class RunSession(Protocol):
    """A process of ours or of a user in a run. Its descriptors never block; None is a stream that it has not."""

    @property
    def stdin(self) -> int | None:
        """What is written here is its input."""

    @property
    def stdout(self) -> int | None:
        """Its output is read here; a terminal's ends by EIO."""

    @property
    def stderr(self) -> int | None:
        """Its other output is read here."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `end` may have something to say."""

    def end(self) -> int | None:
        """Return the exit code once it has ended; None before. Raises ServiceUnavailable if it was lost."""

    def close_stdin(self) -> None:
        """Tell it that its input has ended."""

    def resize(self, columns: int, rows: int) -> None:
        """Give its terminal, if it has one, another size."""

    def signal(self, name: str) -> None:
        """Send it a signal, such as TERM."""

    def close(self) -> None:
        """Let go of it, which ends it; a second time does nothing."""


class RunAccess(RunInputs, Protocol):
    """Goes into runs. All methods raise BadRequest if the run is not running, ServiceUnavailable if that fails."""

    def execute(self, job: Document, attempt: int, execution: Execution) -> RunSession:
        """Execute a command in a run, confined as the run is. Raises CannotExecute."""
        ...

    def copy_out(self, job: Document, attempt: int, path: str) -> RunSession:
        """Have what is at `path` in the run packed as a tar stream on stdout; problems are lines of stderr."""
        ...

    def copy_in(self, job: Document, attempt: int, path: str) -> RunSession:
        """Have a tar stream on stdin unpacked at `path` in the run; problems are lines of stderr."""
        ...

    def connect(self, job: Document, attempt: int, port: int) -> socket.socket:
        """Return a connection, which never blocks, to a port of the run's loopback. Raises CannotConnect."""
        ...


@dataclass(frozen=True, slots=True)
class HostUsage:
    """What the host uses, and used since it was started; everything together, whoever used it."""

    running_seconds: float
    cpu_seconds: float
    memory_bytes: int
    memory_total_bytes: int
    disk_bytes: int
    disk_total_bytes: int
    processes: int
    read_bytes: int
    written_bytes: int
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What a running run uses, and used since its start; None is what this host does not count."""

    namespace: str
    job: str
    attempt: int
    running_seconds: float
    cpu_seconds: float
    memory_bytes: int
    memory_peak_bytes: int | None
    processes: int
    read_bytes: int | None = None
    written_bytes: int | None = None
    index: int | None = None


class RunUsages(Protocol):
    """What runs use, read from the kernel when asked."""

    def usages(self, namespace: str | None) -> Sequence[RunUsage]:
        """Return that of all runs that are running, in order of their names; `None` is all namespaces."""
        ...
