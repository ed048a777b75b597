"""What the API asks of the layers above it so that a client can feed the standard input of a run, as Protocols."""

from typing import Protocol

from api.meta import Document


class RunInput(Protocol):
    """What writes to the standard input of a run's job. It never blocks; closing it ends nothing."""

    def fileno(self) -> int:
        """Return its descriptor."""

    def end(self) -> None:
        """Let go of it, and have the job read an end once nobody else writes. Raises ServiceUnavailable."""

    def close(self) -> None:
        """Let go of it; a second time does nothing."""


class RunInputs(Protocol):
    """Opens the standard inputs of runs. All methods raise as those of `ports.RunAccess`."""

    def open_stdin(self, job: Document, attempt: int) -> RunInput:
        """Return what writes to the standard input of the run's job. Raises BadRequest if there is none any more."""
        ...
