"""What the API asks of the layers above it about files of jobs, as Protocols: `ports.py` has the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from api.meta import Document
from api.upload_packs import Content


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload is: the bytes that are here, and the content's digest once it is whole, empty before."""

    received_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A file that was kept of a run, open to be read; whoever has it closes it."""

    fd: int
    size_bytes: int
    digest: str


class Artifacts(Protocol):
    """What was kept of runs."""

    def listing(
        self, job: Document, patterns: Sequence[str], attempt: int | None = None, *, limit: int = 0, continue_: str = ""
    ) -> Document:
        """Return {metadata, attempt, leftOut, items} of a job: path, sizeBytes, digest and mode of each that matches.

        They are of run `attempt`, or of the newest that left any; at most `limit`, 0 is all, from where `continue_`
        says. Raises BadRequest for what is no pattern or no such token, Expired if the run's files are gone since.
        """
        ...

    def open(self, job: Document, path: str, attempt: int | None = None) -> OpenArtifact:
        """Open what was kept of the file at a path of /work, of that run. Raises NotFound."""
        ...


class UploadSink(Protocol):
    """One upload while a request writes to it; what came stays when it is left."""

    def __enter__(self) -> "UploadSink":
        """Return it."""

    def __exit__(self, *_: object) -> None:
        """Let others go on with it."""

    def write(self, pieces: Sequence[bytes | memoryview], done: Callable[[], None]) -> None:
        """Write what comes next, not too many pieces. By any thread `done` is called when they may be changed.

        Raises Invalid, ServiceUnavailable; then `done` is not called.
        """

    def finish(self) -> UploadState:
        """Return how far it is; verified and kept once all is here. Raises Invalid if it is another content."""


class Uploads(Protocol):
    """Contents that users hand in for their jobs, of one namespace each."""

    def present(self, namespace: str, digest: str) -> int | None:
        """Return how large a content of the namespace is, None if it has not handed it in; it is kept for a while."""
        ...

    def state(self, namespace: str, sender: str, name: str) -> UploadState | None:
        """Return how far an upload is; None if nothing of it came."""
        ...

    def begin(self, namespace: str, sender: str, name: str, offset: int | None, total: int) -> UploadSink:
        """Go on with an upload of `total` bytes at `offset`, or where it is; or begin it at 0.

        Raises Conflict if it is not so far; for want of room TooLarge, Forbidden, ServiceUnavailable, TooManyRequests.
        """
        ...

    def take(self, namespace: str, contents: Sequence[Content]) -> None:
        """Keep contents that came whole, all or none of them.

        Raises Invalid if one has another digest; for want of room as `begin`.
        """
        ...
