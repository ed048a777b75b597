"""Sending many small files ahead of the job that they are for: those that are missing there, many in one request.

Each is read twice, first for its digest and then to be sent, so that of all of them one pack is in memory. What a
command had sent before it broke off is not missing any more. Larger files go each by itself (`sending.py`).
Invariant: the digest that is put into the Job is that of what was read both times.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from api import upload_packs
from api.cli.progress import FileProgress
from api.cli.uploads import BadUpload
from api.client import Client
from api.upload_packs import Content

MOST_BYTES = 128 << 10
"""Of one file: what is larger is worth a request of its own, which can be gone on with."""
LABEL = "small files"


class Packing:
    """Small files on their way."""

    def __init__(self, client: Client, namespace: str, paths: Sequence[Path], bars: FileProgress) -> None:
        """Prepare to send the files at `paths`."""
        self._client, self._namespace, self._bars = client, namespace, bars
        self._paths = paths
        self._digests: dict[Path, str] = {}

    def run(self) -> dict[Path, str]:
        """Send what is missing, and return the digests. May be called again when it broke off.

        Raises:
            BadUpload: a file cannot be read, or changes meanwhile.
            ApiError, Unreachable: the server does not take it.
        """
        for path in self._paths:
            if path not in self._digests:
                self._digests[path] = digest_of(read(path))
        wanted = {digest: path for path, digest in self._digests.items()}
        missing = self._client.missing_uploads(self._namespace, tuple(wanted))
        sent = len(wanted) - len(missing)
        self._bars.show(LABEL, sent, len(wanted))
        for pack in self._packs([path for digest, path in wanted.items() if digest in missing]):
            self._client.upload_pack(self._namespace, pack)
            sent += len(pack)
            self._bars.show(LABEL, sent, len(wanted))
        return self._digests

    def _packs(self, paths: Sequence[Path]) -> Iterator[list[Content]]:
        pack: list[Content] = []
        size = 0
        for path in paths:
            content = self._again(path)
            if pack and (size + len(content.body) > upload_packs.MOST_BYTES or len(pack) == upload_packs.MOST_CONTENTS):
                yield pack
                pack, size = [], 0
            pack.append(content)
            size += len(content.body)
        if pack:
            yield pack

    def _again(self, path: Path) -> Content:
        body = read(path)
        if digest_of(body) != self._digests[path]:
            raise BadUpload(f"cannot upload {path}: it changed while it was sent: send it again")
        return Content(self._digests[path], body)


def read(path: Path) -> bytes:
    """Return what is in a small file. Raises BadUpload if it cannot be read, or is none by now."""
    try:
        with path.open("rb") as file:
            body = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadUpload(f"cannot upload {path}: {error.strerror}") from error
    if len(body) > MOST_BYTES:
        raise BadUpload(f"cannot upload {path}: it changed while it was sent: send it again")
    return body


def digest_of(body: bytes) -> str:
    """Return what a content is called."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
