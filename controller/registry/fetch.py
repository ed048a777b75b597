"""Reading what a URL names, a local file or over HTTP, as a stream of its very bytes.

The only module that speaks HTTP to registries. Never here: what the bytes mean, retrying (the
worker does, on `TransientError`), keeping them.
Invariant: a stream that ends early is an error, never a short result.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import httpx

from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.registry import location

TIMEOUT_SECONDS = 30.0
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 18
_NOT_MODIFIED = 304


class Readable(Protocol):
    """What can be read piece by piece; nothing means the end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, or nothing at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """An open source: its bytes, how many there will be if that is known, and the headers it came with."""

    body: Readable
    length: int | None
    headers: Mapping[str, str]
    is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A small document that was read whole, and what to ask with next time."""

    body: bytes
    etag: str = ""
    last_modified: str = ""


def new_client() -> httpx.Client:
    """Return a client for `open_url`, to be shared between threads; the caller closes it."""
    return httpx.Client(
        timeout=TIMEOUT_SECONDS,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        headers={"User-Agent": "runwright", "Accept-Encoding": "identity"},
    )


@contextmanager
def open_url(client: httpx.Client, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
    """Open what `url` names for reading; it is closed on leaving.

    Raises:
        TransientError: Unreachable, NotFound or Refused, also while it is read; names the URL.
    """
    path = location.local_path(url)
    if path is not None:
        with _open_file(path, url) as file:
            yield Stream(file, os.fstat(file.fileno()).st_size, {})
        return
    try:
        with client.stream("GET", url, headers=dict(headers or {})) as response:
            if response.status_code != _NOT_MODIFIED:
                _check_status(response, url)
            yield _stream(response)
    except httpx.TimeoutException as error:
        raise TransientError("Unreachable", f"cannot read {url}: no answer in {TIMEOUT_SECONDS:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransientError("Unreachable", f"cannot read {url}: {error or type(error).__name__}") from error


def fetch(
    client: httpx.Client, url: str, clock: Clock, *, max_bytes: int, known: Fetched | None = None
) -> Fetched | None:
    """Return the document at `url`, or None if it is still `known`.

    Raises:
        TransientError: it cannot be read, is larger than `max_bytes`, or takes longer than the timeout in all.
    """
    deadline = clock.monotonic() + TIMEOUT_SECONDS
    with open_url(client, url, _conditions(known)) as stream:
        if stream.is_unchanged:
            return None
        body = bytearray()
        while chunk := stream.body.read(_CHUNK_BYTES):
            body += chunk
            if len(body) > max_bytes:
                raise TransientError("TooLarge", f"cannot read {url}: it has more than {max_bytes} bytes")
            if clock.monotonic() > deadline:
                raise TransientError("Unreachable", f"cannot read {url}: not all of it in {TIMEOUT_SECONDS:.0f} s")
        if stream.length is not None and len(body) != stream.length:
            raise TransientError(
                "Unreachable", f"cannot read {url}: it ended after {len(body)} of {stream.length} bytes"
            )
        return Fetched(bytes(body), stream.headers.get("etag", ""), stream.headers.get("last-modified", ""))


class _Body:
    """The bytes of a response as they came over the wire, readable like a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._piece = b""
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return what is there, at most `size` bytes; wait for the next piece when nothing is."""
        while self._at == len(self._piece):
            self._piece, self._at = next(self._chunks, b""), 0
            if not self._piece:
                return b""
        start = self._at
        self._at = len(self._piece) if size < 0 else min(start + size, len(self._piece))
        return self._piece[start : self._at]


def _stream(response: httpx.Response) -> Stream:
    length = response.headers.get("content-length", "")
    is_unchanged = response.status_code == _NOT_MODIFIED
    body: Readable | BinaryIO = _Body(response.iter_raw(_CHUNK_BYTES))
    known = int(length) if length.isascii() and length.isdigit() and not is_unchanged else None
    return Stream(body, known, response.headers, is_unchanged)


def _open_file(path: Path, url: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = "NotFound" if isinstance(error, FileNotFoundError) else "Unreachable"
        raise TransientError(reason, f"cannot read {url}: {error.strerror}") from error


def _check_status(response: httpx.Response, url: str) -> None:
    if response.is_success:
        return
    reason = {404: "NotFound", 410: "NotFound", 401: "Refused", 403: "Refused"}.get(response.status_code, "Unreachable")
    raise TransientError(
        reason, f"cannot read {url}: the server answered {response.status_code} {response.reason_phrase}"
    )


def _conditions(known: Fetched | None) -> dict[str, str]:
    if known is None:
        return {}
    asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in asked.items() if value}
