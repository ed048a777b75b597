"""Reading what a URL names, a local file or over HTTP, as a stream of its very bytes.

The only module that speaks HTTP to registries. Never here: what the bytes mean, going on where one broke
(`resume.py`), keeping them.
Invariants: a stream that ends early is an error, never a short result; a server cannot lead us from http to a
file or another scheme, nor from https to http; none can keep us waiting for headers for longer than the timeout.
"""

import logging
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urljoin, urlsplit

import httpx

from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.registry import location
from controller.registry.access import ANYONE, Access

TIMEOUT_SECONDS = 30.0
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 18
_NOT_MODIFIED = 304


for _name in ("httpx", "httpcore"):  # They tell of every request and of what its server said, which may be anything.
    logging.getLogger(_name).setLevel(logging.WARNING)


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
    status: int = 200

    @property
    def is_unchanged(self) -> bool:
        """Whether there are no bytes, as what was asked for is what we have."""
        return self.status == _NOT_MODIFIED


@dataclass(frozen=True, slots=True)
class Fetched:
    """A small document that was read whole, and what to ask with next time."""

    body: bytes
    etag: str = ""
    last_modified: str = ""


def new_client(credentials: Path | None = None) -> httpx.Client:
    """Return a client for `open_url`, to be shared between threads; the caller closes it.

    Args:
        credentials: the directory with the files of tokens; without it there are none.
    """
    return httpx.Client(
        timeout=TIMEOUT_SECONDS,
        event_hooks={"request": [partial(_authorize, credentials)]},
        headers={"User-Agent": "runwright", "Accept-Encoding": "identity"},
        # A connection of its own for each request: `_Alarm` ends it where its server dawdles.
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _authorize(credentials: Path | None, request: httpx.Request) -> None:
    access: Access = request.extensions.get("access", ANYONE)
    request.headers.update(access.headers(str(request.url), credentials))


@contextmanager
def open_url(
    client: httpx.Client,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    access: Access = ANYONE,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Iterator[Stream]:
    """Open what `url` names for reading; it is closed on leaving. Redirects are followed, `access` kept in mind.

    Raises:
        TransientError: Unreachable, NotFound, Refused, RedirectRefused or CredentialsUnusable, also while
            it is read; names the URL.
    """
    path = location.local_path(url)
    if path is not None:
        with _open_file(path, url) as file:
            yield Stream(file, os.fstat(file.fileno()).st_size, {})
        return
    try:
        with ExitStack() as opened:
            response = _follow(client, url, dict(headers or {}), access, timeout_seconds, opened)
            if response.status_code != _NOT_MODIFIED:
                _check_status(response, url)
            yield _stream(response)
    except httpx.TimeoutException as error:
        raise TransientError("Unreachable", f"cannot read {url}: no answer in {timeout_seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise TransientError("Unreachable", f"cannot read {url}: {_words_of(error)}") from error


def fetch(
    client: httpx.Client,
    url: str,
    clock: Clock,
    *,
    max_bytes: int,
    known: Fetched | None = None,
    access: Access = ANYONE,
) -> Fetched | None:
    """Return the document at `url`, or None if it is still `known`.

    Raises:
        TransientError: it cannot be read, is larger than `max_bytes`, or takes longer than the timeout in all.
    """
    deadline = clock.monotonic() + TIMEOUT_SECONDS
    with open_url(client, url, _conditions(known), access=access) as stream:
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


def _words_of(error: Exception) -> str:
    return re.sub(r"^\[Errno -?[0-9]+\] ", "", str(error)) or type(error).__name__


def _follow(
    client: httpx.Client, url: str, headers: dict[str, str], access: Access, timeout_seconds: float, opened: ExitStack
) -> httpx.Response:
    """Return the answer at the end of the redirects from `url`, open until `opened` is closed."""
    at = url
    for _ in range(_MAX_REDIRECTS + 1):
        with _Alarm(timeout_seconds) as alarm:
            request = client.build_request(
                "GET", at, headers=headers, timeout=timeout_seconds,
                extensions={"trace": alarm.trace, "access": access},
            )  # fmt: skip
            response = _sent(client, request, url)
        opened.callback(response.close)
        if not response.has_redirect_location:
            return response
        response.close()
        at = _redirected(url, at, response.headers["location"])
    raise TransientError("RedirectRefused", f"cannot read {url}: it redirects more than {_MAX_REDIRECTS} times")


def _sent(client: httpx.Client, request: httpx.Request, url: str) -> httpx.Response:
    """Send, and refuse a redirect that httpx cannot read; it tries to although it is not to follow any."""
    try:
        return client.send(request, stream=True, follow_redirects=False)
    except (httpx.InvalidURL, httpx.RemoteProtocolError) as error:
        if isinstance(error, httpx.RemoteProtocolError) and "location header" not in str(error):
            raise
        why = "it redirects to an address that is neither http nor https"
        raise TransientError("RedirectRefused", f"cannot read {url}: {why}") from None


def _redirected(url: str, at: str, said: str) -> str:
    """Return where a redirect leads, if it may; a strange address is not repeated, as it may hold a secret."""
    try:
        target = urljoin(at, said)
        parts = urlsplit(target)
        scheme, host, secret = parts.scheme, parts.hostname, parts.username or parts.password
    except ValueError:
        scheme, host, secret, target = "", None, None, ""
    if scheme not in ("http", "https") or not host:
        why = f"it redirects to {_shown(scheme)}://, an address that is neither http nor https"
    elif secret:
        why = "it redirects to an address with a password in it"
    elif at.startswith("https:") and scheme == "http":
        why = f"it redirects from https to http, at {host}"
    else:
        return target
    raise TransientError("RedirectRefused", f"cannot read {url}: {why}")


def _shown(scheme: str) -> str:
    return scheme[:20] if scheme.isascii() and scheme.isprintable() else "something strange"


class _Alarm:
    """Ends a request whose headers take longer than they may, however slowly they trickle in."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._is_over = False
        self._went_off = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._go_off)
        self._timer.daemon = True

    def __enter__(self) -> "_Alarm":
        self._timer.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with self._lock:
            self._is_over = True
        self._timer.cancel()
        self._timer.join()
        if self._went_off and isinstance(error, httpx.HTTPError):
            raise httpx.ReadTimeout("its headers took too long") from error

    def trace(self, event: str, about: Mapping[str, Any]) -> None:
        """Learn of the connection: what httpx calls while it makes a request."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = about["return_value"].get_extra_info("socket")
                if self._went_off:
                    self._end()

    def _go_off(self) -> None:
        with self._lock:
            if not self._is_over:
                self._went_off = True
                self._end()

    def _end(self) -> None:
        if self._socket is not None:
            try:
                # Not its own method: a TLS socket would forget, in the midst of a read, that it is one.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # It is closed already.


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
    # In the pieces in which it arrives: who waits for a full one cannot tell slow from nothing.
    body: Readable | BinaryIO = _Body(response.iter_raw())
    is_known = length.isascii() and length.isdigit() and len(length) < 19 and response.status_code != _NOT_MODIFIED
    return Stream(body, int(length) if is_known else None, response.headers, response.status_code)


def _open_file(path: Path, url: str) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # A pipe must not make us wait.
    except (OSError, ValueError) as error:
        reason = "NotFound" if isinstance(error, FileNotFoundError) else "Unreachable"
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise TransientError(reason, f"cannot read {url}: {why}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TransientError("Unreachable", f"cannot read {url}: it is no file")
    return os.fdopen(descriptor, "rb")


def _check_status(response: httpx.Response, url: str) -> None:
    if response.is_success:
        return
    reasons = {404: "NotFound", 410: "NotFound", 401: "Refused", 403: "Refused", 416: "SizeMismatch"}
    reason = reasons.get(response.status_code, "Unreachable")
    # Not in the server's own words: it knows the token, and may say anything.
    phrase = httpx.codes.get_reason_phrase(response.status_code)
    raise TransientError(reason, f"cannot read {url}: the server answered {response.status_code} {phrase}".rstrip())


def _conditions(known: Fetched | None) -> dict[str, str]:
    if known is None:
        return {}
    asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in asked.items() if value}
