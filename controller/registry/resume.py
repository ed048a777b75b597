"""A download that goes on where it broke: one stream of bytes, read over as many connections as it takes.

With a part (`parts.py`) it also goes on where an earlier one was given up: what that had is read from the disk.
Never here: what the bytes are, and whether they are the right ones: whoever reads compares their checksum, which is
also what makes it safe to go on with a file that a server may have changed.
Invariants: a byte is given once and in its place; a server that stalls, trickles or breaks is given up after a
bounded time, in which only the time that *it* makes us wait counts.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass

import httpx

from controller.engine.clock import Clock, SystemClock
from controller.engine.errors import TransientError
from controller.registry import fetch, location
from controller.registry.access import ANYONE, Access
from controller.registry.fetch import Stream
from controller.registry.parts import Part

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_CLOCK: Clock = SystemClock()
_PARTIAL = 206
_SKIP_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Patience:
    """How much of a server is borne.

    No byte for `silence_seconds`, or less than `window_bytes` in `window_seconds` of waiting, is a break. After it the
    download goes on where it was, with pauses from `pause_seconds` on that double. Tries that bring less than
    `window_bytes` are in a row, of `attempts` at most; all waiting together ends after `total_seconds`.
    """

    silence_seconds: float = fetch.TIMEOUT_SECONDS
    window_seconds: float = 60.0
    window_bytes: int = 64 << 10
    total_seconds: float = 6 * 3600.0
    attempts: int = 5
    pause_seconds: float = 0.5


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, of whom, with what right and how patiently."""

    client: httpx.Client
    url: str
    access: Access = ANYONE
    patience: Patience = PATIENT
    clock: Clock = _CLOCK

    def open(self, headers: Mapping[str, str] | None = None) -> AbstractContextManager[Stream]:
        """Open a connection to it."""
        seconds = self.patience.silence_seconds
        return fetch.open_url(self.client, self.url, headers, access=self.access, timeout_seconds=seconds)


@contextmanager
def open_resuming(
    asked: Asked, on_break: Callable[[], None] | None = None, part: Part | None = None
) -> Iterator[Stream]:
    """Open a URL as `fetch.open_url` does; breaks while it is read are mended, `on_break` called before each try.

    With a `part`, what it has of it comes from there, and what comes from the server is added to it. It begins anew
    where the server does not give what comes after it, but gives the whole.

    Raises:
        TransientError: it cannot be opened, or breaks too often; SizeMismatch, it became another file meanwhile.
    """
    if part is not None and part.is_whole:
        yield Stream(part, part.length, {})
        return
    with ExitStack() as opened:
        body = _after(part, asked, on_break, opened) if part is not None and part.size else None
        if body is None:
            first = opened.enter_context(asked.open())
            if location.local_path(asked.url) is not None:
                yield first
                return
            body = _Resuming(asked, first, on_break, 0)
        try:
            source = body if part is None else _kept(part, body)
            yield Stream(source, body.length, body.headers)
        finally:
            body.close()


def _after(part: Part, asked: Asked, on_break: Callable[[], None] | None, opened: ExitStack) -> "_Resuming | None":
    """Ask for what comes after `part`, open until `opened` ends; None if that fails, as the whole may be had yet."""
    with ExitStack() as tried, suppress(TransientError):
        first = tried.enter_context(asked.open(_from(part.size, part.etag)))
        body = _Resuming(asked, first, on_break, part.size if first.status == _PARTIAL else 0)
        if body.begins_at:
            body.refuse_other(part.length)
            body.length = part.length
        opened.push(tried.pop_all())
        return body
    if on_break is not None:
        on_break()
    return None


def _from(count: int, etag: str) -> dict[str, str]:
    """Return the headers that ask for what comes after `count` bytes, if it is still the same."""
    headers = {"Range": f"bytes={count}-"}
    return headers | ({"If-Range": etag} if etag and not etag.startswith("W/") else {})


def _kept(part: Part, body: "_Resuming") -> "_Kept":
    """Return what the part has and then `body`; where that is the whole again, the part begins anew."""
    if body.begins_at:
        part.go_on()
    else:
        part.begin(body.length, body.headers.get("etag", ""))
    return _Kept(part, body)


class _Kept:
    """What a part has, and then what comes, which is added to it."""

    def __init__(self, part: Part, body: "_Resuming") -> None:
        self._part, self._body = part, body

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        if piece := self._part.read(size):
            return piece
        piece = self._body.read(size)
        self._part.add(piece)
        return piece


class _Resuming:
    """The bytes of a file on a server, whatever connection they come by."""

    def __init__(self, asked: Asked, first: Stream, on_break: Callable[[], None] | None, begins_at: int) -> None:
        self._asked = asked
        self._on_break = on_break
        self._stream = first
        self.begins_at = self._count = begins_at
        self.length = self._total(first, begins_at) if begins_at else first.length
        self.headers = first.headers
        self._etag = first.headers.get("etag", "")
        self._opened = ExitStack()
        self._breaks = 0
        self._broke_at = self._row_began_at = begins_at
        self._waited = 0.0
        self._came = 0
        self._window = (0.0, 0)

    def close(self) -> None:
        """Close the connection that is open, unless it is the first, which is not ours."""
        self._opened.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; what breaks is mended first.

        Raises:
            TransientError: Unreachable, it broke too often; or what the server said when it was asked again.
        """
        while True:
            try:
                piece = self._take(size)
                if not piece and self.length is not None and self._count < self.length:
                    raise self._broken(f"it ended after {self._count} of {self.length} bytes")
            except TransientError as error:
                self._mend(error)
                continue
            self._count += len(piece)
            return piece

    def _take(self, size: int) -> bytes:
        """Read from the connection that is open, and count the time that its server takes."""
        before = self._asked.clock.monotonic()
        try:
            piece = self._stream.body.read(size)
        except httpx.TimeoutException as error:
            raise self._broken(f"nothing came for {self._asked.patience.silence_seconds:g} s") from error
        except httpx.RemoteProtocolError as error:
            if self.length is None:
                raise self._broken(str(error)) from error
            # Not in its own words, which are about what this one connection was to bring.
            raise self._broken(f"the connection broke after {self._count} of {self.length} bytes") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._broken(str(error) or type(error).__name__) from error
        finally:
            self._waited += self._asked.clock.monotonic() - before
        self._came += len(piece)
        self._check_pace()
        return piece

    def _check_pace(self) -> None:
        patience, (since, at) = self._asked.patience, self._window
        if self._waited - since < patience.window_seconds:
            return
        self._window = (self._waited, self._came)
        if self._came - at < patience.window_bytes:
            raise self._broken(f"only {self._came - at} bytes came in {self._waited - since:.3g} s")

    def _mend(self, error: TransientError) -> None:
        """Open the URL again from where we are.

        Raises:
            TransientError: `error`, after too many breaks, or one of its own.
        """
        patience = self._asked.patience
        if not self._breaks or self._count - self._broke_at >= patience.window_bytes:
            self._breaks, self._row_began_at = 0, self._count
        self._broke_at = self._count
        while True:
            self._breaks += 1
            if self._breaks > patience.attempts or self._waited > patience.total_seconds:
                raise TransientError(error.reason, f"{error.message}; {self._tried()}") from error
            if self._on_break is not None:
                self._on_break()
            try:
                self._reopen(patience.pause_seconds * 2 ** (self._breaks - 1))
            except TransientError as again:
                if again.reason != "Unreachable":
                    raise
                error = again
            else:
                return

    def _tried(self) -> str:
        """Say what was tried in vain."""
        if self._waited > self._asked.patience.total_seconds:
            return f"{self._count} bytes had come in {self._waited:.0f} s of waiting"
        gained = self._count - self._row_began_at
        said = f"{self._row_began_at} bytes had come, {self._breaks - 1} more tries gave "
        return said + (f"only {gained} bytes more" if gained else "no more")

    def _reopen(self, pause_seconds: float) -> None:
        before = self._asked.clock.monotonic()
        try:
            threading.Event().wait(pause_seconds)
            self._opened.close()
            self._stream = self._opened.enter_context(self._asked.open(_from(self._count, self._etag)))
        finally:
            self._waited += self._asked.clock.monotonic() - before
        self._window = (self._waited, self._came)
        if self._stream.status != _PARTIAL:
            self.refuse_other(self._stream.length)
            self._skip()
            return
        self.refuse_other(self._total(self._stream, self._count))

    def _total(self, stream: Stream, count: int) -> int | None:
        """Return how long the whole is of which `stream` is what comes after `count` bytes."""
        said = _CONTENT_RANGE.fullmatch(stream.headers.get("content-range", ""))
        if said is None or int(said[1]) != count:
            raise self._broken("it sends another part than the one that it was asked for")
        return None if said[2] == "*" else int(said[2])

    def refuse_other(self, length: int | None) -> None:
        """Raise TransientError, SizeMismatch, if what is `length` bytes long is another file than this."""
        if None not in (length, self.length) and length != self.length:
            url = self._asked.url
            raise TransientError("SizeMismatch", f"cannot read {url}: it changed while it was downloaded")

    def _skip(self) -> None:
        """Read past what we have already, where the server gives the whole again."""
        left = self._count
        while left:
            piece = self._take(min(left, _SKIP_BYTES))
            if not piece:
                raise self._broken(f"it ended before byte {self._count}")
            left -= len(piece)

    def _broken(self, why: str) -> TransientError:
        return TransientError("Unreachable", f"cannot read {self._asked.url}: {why}")
