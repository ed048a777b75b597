"""What a client asks about files of jobs: handing contents in, fetching what runs left. `client.py` has the rest."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from api import client_lists, upload_packs
from api.client_parts import FilePart
from api.client_paths import path_of_artifacts, path_of_upload, path_of_uploads
from api.client_transport import Transport
from api.meta import Document

_CONTENT = "application/octet-stream"


class FileVerbs:
    """The client's methods about files."""

    transport: Transport

    def begin_upload(self, namespace: str, name: str, total: int) -> Document:
        """Return {receivedBytes} of an upload of `total` bytes, and its digest if it is whole already.

        Raises:
            TooLarge, Forbidden, ServiceUnavailable, TooManyRequests: there is no room for it.
        """
        said = {"Content-Length": "0", "Content-Range": f"bytes */{total}"}
        answer = self.transport.upload(path_of_upload(namespace, name), {}, (), _CONTENT, said)
        status: Document = answer.document["status"]
        return status

    def upload(self, namespace: str, name: str, rest: FilePart) -> Document:
        """Send the rest of an upload, from where it is to the end of the file; return as `begin_upload` does.

        Raises:
            Conflict: it is not so far. Unreachable: it broke off, and can be gone on with.
            Shorter: so is the file, now. OSError: it cannot be read.
        """
        said = {"Content-Range": f"bytes {rest.offset}-{rest.end - 1}/{rest.end}"} if rest.end else {}
        answer = self.transport.upload_part(path_of_upload(namespace, name), rest, _CONTENT, said)
        status: Document = answer.document["status"]
        return status

    def missing_uploads(self, namespace: str, digests: Sequence[str]) -> set[str]:
        """Return which contents the namespace has not handed in, or no more; those that it has are kept for a while."""
        missing: set[str] = set()
        for start in range(0, len(digests), upload_packs.MOST_ASKED):
            body = {"digests": digests[start : start + upload_packs.MOST_ASKED]}
            said = self.transport.send("POST", path_of_uploads(namespace), body=body).document
            missing.update(said["status"]["missing"])
        return missing

    def upload_pack(self, namespace: str, contents: Iterable[upload_packs.Content]) -> None:
        """Hand in small contents, of `upload_packs.MOST_BYTES` together; all of them are kept, or none.

        Raises:
            Invalid: one has another digest. TooLarge, Forbidden, ServiceUnavailable: there is no room for them.
        """
        body = upload_packs.pack(contents)
        self.transport.send("POST", path_of_uploads(namespace), body=body, content_type=upload_packs.MEDIA_TYPE)

    def artifacts(
        self, namespace: str, job: str, patterns: Sequence[str] = (), attempt: int | None = None
    ) -> Document:  # fmt: skip
        """Return {attempt, leftOut, items} of what was kept of a job's newest run, or of run `attempt`, that matches.

        Long lists are fetched in pages. Raises NotFound.
        """
        params = {"match": list(patterns)} | ({} if attempt is None else {"attempt": [str(attempt)]})
        return client_lists.whole(self.transport, path_of_artifacts(namespace, job), params)

    @contextmanager
    def artifact(
        self, namespace: str, job: str, path: str, digest: str, offset: int, attempt: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Open the content of one of them, of that run, from `offset` on if that is of `digest`; give it as it comes.

        Raises:
            NotFound: it is not there any more. Unreachable: it broke off.
        """
        wanted = {"Range": f"bytes={offset}-", "If-Range": f'"{digest}"'} if offset else {}
        with self.transport.stream(
            path_of_artifacts(namespace, job),
            params={"path": path} | ({} if attempt is None else {"attempt": str(attempt)}),
            accept="*/*",
            silence_seconds=60,
            headers=wanted,
        ) as chunks:
            yield chunks
