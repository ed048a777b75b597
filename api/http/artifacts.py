"""`jobs/NAME/artifacts`: the files that were kept of a job's last run, as a list, and with `path=…` the content of one.

The list comes in pages if a `limit` asks for it, as others do. With `attempt=N` they are those of that run: of a job of
many runs, those of each are kept.
Contents are sent in parts if a Range asks for one; their ETag is their digest. Nothing is kept in memory but a piece.
"""

import os
import re
from collections.abc import AsyncGenerator

import anyio
from starlette.requests import Request
from starlette.responses import Response

from api.errors import BadRequest
from api.file_ports import Artifacts, OpenArtifact
from api.http import answers, requests
from api.http.feed import Threads
from api.kinds import JOB
from api.meta import API_VERSION, Document
from api.objects.verbs import Verbs

_THREADS = 16
_PIECE_BYTES = 512 << 10
_MOST_PATTERNS = 100
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class ArtifactPages:
    """Answers the requests for what was kept of runs."""

    def __init__(self, verbs: Verbs, artifacts: Artifacts) -> None:
        """Read what was kept by `artifacts`."""
        self._verbs = verbs
        self._artifacts = artifacts
        self._threads = Threads(_THREADS)

    async def answer(self, request: Request, namespace: str, name: str) -> Response:
        """Answer with the list, of what matches any `match=…` if there is one; or with the content of one file.

        Raises:
            NotFound: there is no such job, or no such file of it.
            BadRequest: a pattern, the range or the token cannot be read, or the range has nothing of the file.
            Expired: what the token goes on with is not there any more.
        """
        job = await self._threads.call(self._verbs.get, JOB, namespace, name)
        path, attempt = request.query_params.get("path"), requests.number(request, "attempt")
        if path is None:
            return await self._list(request, job, attempt)
        opened = await self._threads.call(self._artifacts.open, job, path, attempt)
        try:
            return self._content(request, opened)
        except BaseException:
            os.close(opened.fd)
            raise

    async def _list(self, request: Request, job: Document, attempt: int | None) -> Response:
        patterns = request.query_params.getlist("match")[: _MOST_PATTERNS + 1]
        limit, continue_ = max(0, requests.signed_number(request, "limit")), request.query_params.get("continue", "")

        def read() -> Response:
            listing = self._artifacts.listing(job, patterns, attempt, limit=limit, continue_=continue_)
            return answers.answer({"kind": "ArtifactList", "apiVersion": API_VERSION, **listing})

        return await self._threads.call(read)

    def _content(self, request: Request, opened: OpenArtifact) -> Response:
        size, etag = opened.size_bytes, f'"{opened.digest}"'
        part = _part(request, etag, size)
        first, last = part or (0, size - 1)
        headers = {"etag": etag, "accept-ranges": "bytes"}
        answer = answers.Stream(self._read(opened.fd, first, last + 1), "application/octet-stream", headers)
        answer.headers["content-length"] = str(last + 1 - first)
        if part is not None:
            answer.status_code = 206
            answer.headers["content-range"] = f"bytes {first}-{last}/{size}"
        return answer

    async def _read(self, fd: int, at: int, end: int) -> AsyncGenerator[bytes, None]:
        try:
            while at < end and (piece := await self._threads.call(os.pread, fd, min(_PIECE_BYTES, end - at), at)):
                yield piece
                at += len(piece)
        finally:
            with anyio.CancelScope(shield=True):
                os.close(fd)


def _part(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are wanted, None for all. Source: RFC 9110, 14."""
    said = request.headers.get("range")
    if said is None or request.headers.get("if-range", etag) != etag:
        return None
    found = _RANGE.fullmatch(said)
    if found is None or not (found[1] or found[2]):
        raise BadRequest(f'cannot read Range "{said[:60]}": write bytes=FIRST-LAST')
    first = int(found[1]) if found[1] else max(0, size - int(found[2]))
    last = min(int(found[2]), size - 1) if found[1] and found[2] else size - 1
    if not first <= last:
        raise BadRequest(f'cannot send Range "{said[:60]}" of {size} bytes')
    return first, last
