"""Long bodies, from the connection straight into a few buffers: the parser and uvicorn would copy each byte four times.

Once the head of a request is read, and what came with it, the rest of its body is so many bytes and nothing to parse.
So its connection is handed from uvicorn's protocol to a `LongBody` for as long, and back when it is over, or is wanted
no more: uvicorn's then lets the rest of it pass by. Bodies that are short, or of unknown length, stay where they are.
Buffers are lent, several at a time, so that whoever writes and whoever verifies them need not wait for each other; they
are whole pages, and full but for the last, so that they can be written past the page cache (open(2), O_DIRECT).
Invariants: exactly the body is taken; what follows it is parsed. Of a body so many buffers are in memory, and no more.
"""

import asyncio
import mmap
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from contextlib import aclosing, suppress
from typing import Any, NamedTuple, TypeAlias, cast

import anyio
import httptools
from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import RequestTimeout

Buffer: TypeAlias = bytes | memoryview

LEAST_BYTES = 1 << 20
"""Shorter ones are not worth it."""

_BUFFER_BYTES = 1 << 20
_BUFFERS = 5  # One is filled, one written, one verified, and one between each two.
_MOST_PIECES = 256
_SLOWEST_SENDER_SECONDS = 30.0
_CONNECTION = "runwright.connection"


def show_connection(scope: MutableMapping[str, Any], connection: HttpToolsProtocol) -> None:
    """Have `pieces_of` take the body of this request from its connection."""
    scope[_CONNECTION] = connection


class Lent(NamedTuple):
    """What came next of a body. `give_back` is called once, by any thread, when nobody looks at the pieces any more."""

    pieces: list[Buffer]
    give_back: Callable[[], None]


async def pieces_of(
    request: Request, place: int = 0, coming: "set[LongBody] | None" = None
) -> AsyncGenerator[Lent, None]:  # fmt: skip
    """Yield a request's body as it comes. No more of it comes while too much is lent. Close it.

    It goes to byte `place` of something: of a long one all pieces but the first begin there at whole blocks. As long as
    that one comes it is among those that are `coming`.

    Raises:
        ClientDisconnect: it broke off; all that had come was yielded.
        RequestTimeout: nothing more of it came, as above.
    """
    connection: HttpToolsProtocol | None = request.scope.get(_CONNECTION)
    size = _length(request.headers)
    if connection is None or size < LEAST_BYTES:
        async with aclosing(_gathered(request)) as gathered:
            async for some in gathered:
                yield some
        return
    coming = set() if coming is None else coming
    body = LongBody(connection, await _first_of(request), size, place)
    coming.add(body)
    try:
        while (lent := await body.next()) is not None:
            yield lent
    finally:
        coming.discard(body)
        body.leave()


async def _first_of(request: Request) -> bytes:
    """Return what came with the head, or soon after; who waits to be told to go on is told."""
    try:
        with anyio.fail_after(_SLOWEST_SENDER_SECONDS):
            first = await request.receive()
    except TimeoutError:
        raise _too_slow() from None
    if first["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = first["body"]
    return body


def _length(headers: Mapping[str, str]) -> int:
    """Return how long a body is, 0 if that is not known."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and "transfer-encoding" not in headers else 0


class LongBody(asyncio.BufferedProtocol):
    """The rest of a body, while it has the connection. Belongs to its event loop, and to one reader there."""

    def __init__(self, connection: HttpToolsProtocol, first: bytes, size: int, place: int) -> None:
        """Take the connection of a request with `size` bytes of body, `first` of which the application has received.

        They go to byte `place` of something.
        """
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._free: list[memoryview] = []
        self._made = 0
        self._filling = self._next_buffer()
        if self._filling is not None:
            self._filling = self._filling[: _BUFFER_BYTES - place % mmap.PAGESIZE]
        self._filled = 0
        self._full: list[Buffer] = []
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._has_connection = True
        cycle = connection.cycle
        early, cycle.body = first + bytes(cycle.body), bytearray()
        self._left = size - len(early)
        self._begin_with(early)
        if self._left:
            connection.transport.set_protocol(self)
            connection.flow.resume_reading()
        else:
            self._has_connection = False

    async def next(self) -> Lent | None:
        """Return what came next; None is the end.

        Raises:
            ClientDisconnect: it broke off. RequestTimeout: nothing more of it came.
        """
        while not self._full:
            if self._failure is not None:
                raise self._failure
            if not self._left:
                return None
            await self._wait()
        pieces, self._full = self._full, []
        return Lent(pieces, lambda: self._give_back(pieces))

    def leave(self) -> None:
        """Give the connection back, whatever of the body is still to come."""
        self._failure = None  # It refers to this by its traceback, and this has the buffers.
        if self._has_connection:
            self._has_connection = False
            self._connection.transport.set_protocol(self._connection)
            self._connection.parser = cast(Any, _Rest(self._connection, self._left))
            self._connection.flow.resume_reading()

    def break_off(self) -> None:
        """Close the connection: its client is to go on elsewhere, or later."""
        if self._has_connection:
            self._connection.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes are to be put: into what is free of a buffer, never more than the body."""
        assert self._filling is not None, f"{sizehint} bytes are read while nothing is to be"
        return self._filling[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what was put there, and hand a buffer on that is full or the last."""
        self._filled += nbytes
        self._left -= nbytes
        if not self._left:
            self._hand_on()
            self._has_connection = False
            self._connection.transport.set_protocol(self._connection)
            _end(self._connection)
        elif self._filling is not None and self._filled == len(self._filling):
            self._hand_on()

    def eof_received(self) -> None:
        """Have the connection closed: nothing more comes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on what came, and tell the protocol that the connection belongs to."""
        self._has_connection = False
        self._fail(ClientDisconnect())
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the client does not read."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads."""
        self._connection.resume_writing()

    def _begin_with(self, early: bytes) -> None:
        """Hand on what came with the head: in a buffer, so that the next ones begin at whole pages."""
        if self._filling is None or len(early) > len(self._filling):
            self._full.append(early)
            return
        self._filling[: len(early)] = early
        self._filled = len(early)
        if self._filled == len(self._filling) or not self._left:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._filling is not None and self._filled:
            self._full.append(self._filling[: self._filled])
            self._filling = self._next_buffer() if self._left else None
            self._filled = 0
            if self._filling is None and self._left:
                self._connection.flow.pause_reading()
        self._changed.set()

    def _next_buffer(self) -> memoryview | None:
        """Return one that is free. Few are made as long as whoever takes them is quicker than who sends."""
        if not self._free and self._made < _BUFFERS:
            self._made += 1
            return memoryview(mmap.mmap(-1, _BUFFER_BYTES))  # Of whole pages, and shared: open(2), O_DIRECT, of fork.
        return self._free.pop() if self._free else None

    def _give_back(self, pieces: list[Buffer]) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody wants them.
            self._loop.call_soon_threadsafe(self._take_back, pieces)

    def _take_back(self, pieces: list[Buffer]) -> None:
        """Have buffers that were lent filled again."""
        whole = [memoryview(piece.obj) for piece in pieces if isinstance(piece, memoryview)]
        if self._filling is None and whole:
            self._filling, self._filled = whole.pop(), 0
            if self._has_connection:
                self._connection.flow.resume_reading()
        self._free += whole

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._hand_on()

    async def _wait(self) -> None:
        before = self._left
        try:
            with anyio.fail_after(_SLOWEST_SENDER_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            if self._left == before and self._filling is not None:  # Else it is not the sender who is slow.
                self._fail(_too_slow())
        self._changed.clear()


class _Rest:
    """Stands where the parser stood while the rest of a body comes that nobody takes: lets it pass by."""

    def __init__(self, connection: HttpToolsProtocol, size: int) -> None:
        self._connection = connection
        self._left = size

    def feed_data(self, data: bytes) -> None:
        passing = min(self._left, len(data))
        self._left -= passing
        if not self._left:
            _end(self._connection)
            if len(data) > passing:
                self._connection.parser.feed_data(data[passing:])

    def should_upgrade(self) -> bool:
        return False


def _end(connection: HttpToolsProtocol) -> None:
    """Tell a connection's protocol that the body is over, and have it parse what comes next."""
    connection.parser = httptools.HttpRequestParser(connection)
    connection.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn has it.
    connection.on_message_complete()


async def _gathered(request: Request) -> AsyncGenerator[Lent, None]:
    """Yield a body that is parsed, some of it at a time, so that little is handed on."""
    pieces, size, body = list[Buffer](), 0, request.stream()
    chunk: bytes | None = b""
    failure: Exception | None = None
    while chunk is not None:
        try:
            with anyio.fail_after(_SLOWEST_SENDER_SECONDS):
                chunk = await anext(body, None)
        except TimeoutError:
            chunk, failure = None, _too_slow()
        except ClientDisconnect as error:
            chunk, failure = None, error
        if chunk:
            pieces.append(chunk)
            size += len(chunk)
        if pieces and (chunk is None or size >= _BUFFER_BYTES or len(pieces) >= _MOST_PIECES):
            yield Lent(pieces, _nothing)
            pieces, size = [], 0
    if failure is not None:
        raise failure


def _nothing() -> None:
    """Take back what is not used again."""


def _too_slow() -> RequestTimeout:
    limit = f"{_SLOWEST_SENDER_SECONDS:g} s"
    return RequestTimeout(f"cannot take the upload: nothing more of it came within {limit}: go on with it")
