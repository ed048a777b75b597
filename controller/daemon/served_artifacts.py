"""What the API serves of artifacts: which there are of a job, in pages, and their contents.

What was kept of a run changes no more until it is gone, so a page goes on where the one before ended: a token holds of
which job and run it is, and how many of its files were looked at.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from api.errors import BadRequest, Expired, NotFound
from api.file_ports import OpenArtifact
from api.meta import Document
from api.objects import continue_tokens
from api.types.artifacts import check_patterns
from controller.job.artifacts import Index, KeptArtifacts
from controller.launcher.globs import Globs


class _Place(NamedTuple):
    """Where a list goes on: of which job and run, after so many of its files."""

    uid: str
    attempt: int
    looked_at: int


class ServedArtifacts:
    """The artifacts of jobs, by their documents."""

    def __init__(self, artifacts: KeptArtifacts) -> None:
        """Serve `artifacts`."""
        self._artifacts = artifacts

    def listing(
        self, job: Document, patterns: Sequence[str], attempt: int | None = None, *, limit: int = 0, continue_: str = ""
    ) -> Document:
        """Return {metadata, attempt, leftOut, items} of a job: path, sizeBytes, digest and mode of each that matches.

        They are of run `attempt`, or of the newest that left any; at most `limit`, 0 is all, from where `continue_`
        says.

        Raises:
            BadRequest: one of `patterns` is none, or the token is none of this list.
            Expired: what the token goes on with is not there any more: list again from the start.
        """
        try:
            globs = Globs(check_patterns(tuple(patterns))) if patterns else None
        except PydanticCustomError as error:
            raise BadRequest(f"cannot list artifacts: a pattern {error.message()}") from error
        uid = job["metadata"]["uid"]
        if not continue_:
            index = self._artifacts.newest(uid, attempt)
            none: Document = {"metadata": {}, "attempt": 0, "leftOut": "", "items": []}
            return _page(uid, index, globs, 0, limit) if index else none
        place = _read_token(continue_)
        if attempt not in (None, place.attempt):
            raise BadRequest(f"continue key is of run {place.attempt}, not {attempt}: list again without it")
        index = self._artifacts.newest(uid, place.attempt) if place.uid == uid else None
        if index is None:
            raise Expired(f"what was kept of run {place.attempt} is not there any more: list again without continue")
        return _page(uid, index, globs, place.looked_at, limit)

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


def _page(uid: str, index: Index, globs: Globs | None, start: int, limit: int) -> Document:
    """Return one page; how many come after it is known only where nothing chooses among them, as of other lists."""
    items: list[Document] = []
    metadata: Document = {}
    for number in range(start, len(index.files)):
        file = index.files[number]
        if globs is not None and not globs.match(file.path):
            continue
        if limit and len(items) == limit:
            place = _Place(uid, index.attempt, number)
            metadata = {"continue": continue_tokens.write(place._asdict())}
            metadata |= {"remainingItemCount": len(index.files) - number} if globs is None else {}
            break
        items.append(file.to_document())
    return {"metadata": metadata, "attempt": index.attempt, "leftOut": index.left_out, "items": items}


def _read_token(token: str) -> _Place:
    facts = continue_tokens.read(token)
    uid, attempt, looked_at = (facts.get(name) for name in _Place._fields)
    if isinstance(uid, str) and isinstance(attempt, int) and isinstance(looked_at, int) and min(attempt, looked_at) > 0:
        return _Place(uid, attempt, looked_at)
    raise continue_tokens.unreadable()
