"""What the API serves of artifacts: which there are of a job, and their contents."""

from collections.abc import Sequence

from pydantic_core import PydanticCustomError

from api.errors import BadRequest, NotFound
from api.file_ports import OpenArtifact
from api.meta import Document
from api.types.artifacts import check_patterns
from controller.job.artifacts import KeptArtifacts
from controller.launcher.globs import Globs


class ServedArtifacts:
    """The artifacts of jobs, by their documents."""

    def __init__(self, artifacts: KeptArtifacts) -> None:
        """Serve `artifacts`."""
        self._artifacts = artifacts

    def listing(self, job: Document, patterns: Sequence[str], attempt: int | None = None) -> Document:
        """Return {attempt, leftOut, items} of a job: path, sizeBytes, digest and mode of each that matches, or of all.

        They are of run `attempt`, or of the newest that left any.

        Raises:
            BadRequest: one of `patterns` is none.
        """
        try:
            globs = Globs(check_patterns(tuple(patterns)))
        except PydanticCustomError as error:
            raise BadRequest(f"cannot list artifacts: a pattern {error.message()}") from error
        index = self._artifacts.newest(job["metadata"]["uid"], attempt)
        if index is None:
            return {"attempt": 0, "leftOut": "", "items": []}
        items = [file.to_document() for file in index.files if not patterns or globs.match(file.path)]
        return {"attempt": index.attempt, "leftOut": index.left_out, "items": items}

    def open(self, job: Document, path: str, attempt: int | None = None) -> OpenArtifact:
        """Open what was kept of the file at a path of /work, of that run.

        Raises:
            NotFound: nothing was, or it was removed meanwhile.
        """
        metadata = job["metadata"]
        missing = NotFound(f'cannot read "{path[:200]}" of job {metadata["name"]}: no such file was kept of it')
        try:
            fd, file = self._artifacts.open(metadata["uid"], path, attempt)
        except FileNotFoundError:
            raise missing from None
        return OpenArtifact(fd, file.size_bytes, file.digest)
