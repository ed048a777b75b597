"""What keeps one client from taking the server from the others: limits on requests, bodies and streams of each.

Stands behind whatever says who asks. Health pages pass untouched. A body is read whole before its request takes a turn,
in bounded time and memory, so that who sends slowly holds nothing up. A watch or a followed log needs its turn until
its answer begins; after that it is a stream, of which there can be many. Files of a run are a stream from their
beginning: they are passed on as they come, either way; and so is a WebSocket. Of streams that hold more than memory, a
session in a run or a thread that follows a log, nobody has all, and masters find some left. Refusals are 429 with
Retry-After.
Invariant: what is kept in memory for requests that are not worked on yet is bounded, whatever is sent.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RequestTimeout, TooManyRequests
from api.http import answers, paths
from api.http.requests import MOST_BODY_BYTES, too_large
from api.http.turnstile import Room, Turn, Turnstile
from api.meta import GROUP

MASTERS = "system:masters"
HEALTH = frozenset(("/livez", "/readyz", "/healthz", "/metrics"))
_RETRY_SECONDS = 1
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_PIECE_BYTES = 64 << 10
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS"))


class Scarce(Enum):
    """What a stream holds, besides memory, of which there is little."""

    SESSION = "commands and copies are in runs"
    FOLLOWER = "logs are followed"
    CONTENT = "files are on their way"


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something scarce one client may have, and all but masters together."""

    of_one: int
    of_others: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is borne of one client, and of all together."""

    room: Room = field(default_factory=Room)
    wait_seconds: float = 30.0
    body_seconds: float = 30.0
    body_bytes: int = 64 << 20
    unread_bytes: int = 64 << 20
    requests_of_one: int = 1000
    streams_of_one: int = 2000
    streams: int = 4000
    sessions: Share = Share(50, 80)  # Of `sessions.MOST_SESSIONS`.
    followers: Share = Share(32, 56)  # Of `app.LOG_THREADS`.
    contents: Share = Share(16, 32)  # Each holds a few MiB of memory.

    def share_of(self, what: Scarce) -> Share:
        """Return how much of it there is."""
        return {Scarce.SESSION: self.sessions, Scarce.FOLLOWER: self.followers, Scarce.CONTENT: self.contents}[what]


USUAL_BOUNDS = Bounds()


class Protection:
    """Holds clients to their bounds. Belongs to one event loop."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        """Stand before `app`."""
        self._app = app
        self._bounds = bounds
        self._turnstile = Turnstile(bounds.room)
        self._bodies = self._unread = 0
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._scarce: dict[Scarce, Counter[str]] = {what: Counter() for what in Scarce}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through when it is its turn, or refuse it.

        Raises:
            TooManyRequests: the client, or all together, ask for too much at once.
            TooLarge: its body has more than 3 MiB.
            RequestTimeout: its body does not come.
        """
        if scope["type"] not in ("http", "websocket") or (scope["type"] == "http" and scope["path"] in HEALTH):
            await self._app(scope, receive, send)
            return
        client, is_master = client_of(scope)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, client, is_master=is_master)
            return
        if self._requests[client] >= self._bounds.requests_of_one:
            raise _busy(f"{client} has {self._requests[client]} requests that are not answered yet")
        if self._unread >= self._bounds.unread_bytes:
            raise _busy("too much of what was asked for is not read")
        if is_stream(scope):
            await self._stream(scope, receive, send, client, is_master=is_master)
            return
        _count(self._requests, client, 1)
        try:
            await self._request(scope, receive, send, client, is_master=is_master)
        finally:
            _count(self._requests, client, -1)

    async def _request(self, scope: Scope, receive: Receive, send: Send, client: str, *, is_master: bool) -> None:
        body = _Body(self, receive)
        try:
            if scope["method"] not in _NO_BODY:
                await body.read(Headers(scope=scope))
                receive = body.again
            held = [await self._turn(client, is_master=is_master)]
            try:
                await self._app(scope, receive, self._in_pieces(send, held))
            finally:
                self._give_back(held)
        finally:
            body.forget()

    def _in_pieces(self, send: Send, held: list[Turn]) -> Send:
        """Send a long answer as fast as it is read, without the turn: the work is done, and memory is what it costs."""

        async def sending(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _PIECE_BYTES:
                await send(message)
                return
            self._give_back(held)
            self._unread += len(body)
            try:
                for start in range(0, len(body), _PIECE_BYTES):
                    more = bool(message.get("more_body")) or start + _PIECE_BYTES < len(body)
                    await send({**message, "body": body[start : start + _PIECE_BYTES], "more_body": more})
            finally:
                self._unread -= len(body)

        return sending

    def _give_back(self, held: list[Turn]) -> None:
        while held:
            self._turnstile.give_back(held.pop())

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, client: str, *, is_master: bool) -> None:
        try:
            with self._counted(scope, client, is_master=is_master):
                await self._app(scope, receive, send)
        except TooManyRequests as error:
            await answers.refusal(error)(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, client: str, *, is_master: bool) -> None:
        held: list[Turn] = []

        async def sending(message: Message) -> None:
            self._give_back(held)  # From its beginning on it is worked on a little now and then.
            await send(message)

        with self._counted(scope, client, is_master=is_master):
            try:
                # A run answers when it likes, a client sends when it likes, and how many of them there are is bounded.
                if not (_is_copy(scope) or _is_content(scope)):
                    held.append(await self._turn(client, is_master=is_master))
                await self._app(scope, receive, sending)
            finally:
                self._give_back(held)

    @contextmanager
    def _counted(self, scope: Scope, client: str, *, is_master: bool) -> Iterator[None]:
        """Count a stream while it is there. Raises TooManyRequests: there are too many."""
        bounds, held = self._bounds, () if is_master else scarce(scope)
        if self._streams[client] >= bounds.streams_of_one or self._streams.total() >= bounds.streams:
            raise _busy(f"{self._streams[client]} watches, logs and sessions are held by {client}")
        for what in held:
            share, those = bounds.share_of(what), self._scarce[what]
            if those[client] >= share.of_one or those.total() >= share.of_others:
                raise _busy(f"{those.total()} {what.value}, {those[client]} of them by {client}")
        counters = (self._streams, *(self._scarce[what] for what in held))
        for counter in counters:
            _count(counter, client, 1)
        try:
            yield
        finally:
            for counter in counters:
                _count(counter, client, -1)

    async def _turn(self, client: str, *, is_master: bool) -> Turn:
        turn = await self._turnstile.take(client, is_master=is_master, seconds=self._bounds.wait_seconds)
        if turn is None:
            raise _busy("more is asked for than can be done")
        return turn

    def is_idle(self) -> bool:
        """Return whether nothing is counted."""
        return not (self._requests or self._streams or any(self._scarce.values()) or self._bodies or self._unread)

    def keep(self, size: int) -> None:
        """Count bytes of a body that are kept. Raises TooManyRequests: there is no room for them."""
        if self._bodies + size > self._bounds.body_bytes:
            raise _busy("too much is being sent at once")
        self._bodies += size

    def let_go(self, size: int) -> None:
        """Count bytes that are kept no more."""
        self._bodies -= size

    @property
    def body_seconds(self) -> float:
        """How long a body may take to come."""
        return self._bounds.body_seconds


class _Body:
    """The body of one request, read before it is worked on."""

    def __init__(self, protection: Protection, receive: Receive) -> None:
        self._protection = protection
        self._receive = receive
        self._messages: list[Message] = []
        self._size = 0

    async def read(self, headers: Headers) -> None:
        announced = headers.get("content-length", "")
        if announced.isdigit() and (len(announced) > 9 or int(announced) > MOST_BODY_BYTES):
            raise too_large()
        try:
            async with asyncio.timeout(self._protection.body_seconds):
                await self._read()
        except TimeoutError:
            limit = f"{self._protection.body_seconds:g} s"
            why = f"cannot read the request: its body did not come within {limit}: send it again"
            raise RequestTimeout(why) from None

    async def _read(self) -> None:
        more = True
        while more:
            message = await self._receive()
            size = len(message.get("body", b""))
            if self._size + size > MOST_BODY_BYTES:
                raise too_large()
            self._protection.keep(size)
            self._size += size
            self._messages.append(message)
            more = bool(message.get("more_body"))

    async def again(self) -> Message:
        return self._messages.pop(0) if self._messages else await self._receive()

    def forget(self) -> None:
        self._protection.let_go(self._size)
        self._messages.clear()


def client_of(scope: Scope) -> tuple[str, bool]:
    """Return who asks, and whether it is a master: by user where users are known, else by address.

    Who reaches the unix socket where nobody is asked who they are is its owner, and so a master.
    """
    state: dict[str, Any] = scope.get("state") or {}
    user = state.get("user")
    if user is not None:
        return str(user.name), MASTERS in user.groups
    address = scope.get("client")
    return (str(address[0]), False) if address else ("owner", True)


def is_stream(scope: Scope) -> bool:
    """Whether it goes on for as long as the client likes: a watch, a log that is followed, files of or for a job."""
    if _is_copy(scope) or _is_content(scope):
        return True
    if scope["method"] != "GET":
        return False
    query = QueryParams(scope.get("query_string", b""))
    if query.get("watch") in _TRUE or query.get("follow") in _TRUE:
        return True
    return "text/event-stream" in Headers(scope=scope).get("accept", "")


def scarce(scope: Scope) -> tuple[Scarce, ...]:
    """Return what a stream holds besides memory; who is attached to a run follows both its outputs."""
    if scope["type"] == "websocket":
        is_attached = scope["path"].rstrip("/").endswith("/attach")
        return (Scarce.SESSION, Scarce.FOLLOWER, Scarce.FOLLOWER) if is_attached else (Scarce.SESSION,)
    if _is_copy(scope):
        return (Scarce.SESSION,)
    if _is_content(scope):
        return (Scarce.CONTENT,)
    is_watch = QueryParams(scope.get("query_string", b"")).get("watch") in _TRUE
    return () if is_watch else (Scarce.FOLLOWER,)


def _is_copy(scope: Scope) -> bool:
    """Whether files are passed on as they come, out of a run or into it, however many: nothing of them is kept."""
    path = paths.parse(scope["path"])
    is_of_files = path is not None and (path.group, path.plural, path.subresource) == ("", "pods", "files")
    return is_of_files and scope["method"] in ("GET", "PUT")


def _is_content(scope: Scope) -> bool:
    """Whether a content is passed on as it comes, to or from the disk: an upload, or a file that a run left."""
    path = paths.parse(scope["path"])
    if path is None or path.group != GROUP:
        return False
    asked = (path.plural, path.subresource, scope["method"])
    return asked in (("uploads", "", "PUT"), ("jobs", "artifacts", "GET"))


def _count(counter: Counter[str], client: str, by: int) -> None:
    counter[client] += by
    if not counter[client]:
        del counter[client]


def _busy(why: str) -> TooManyRequests:
    error = TooManyRequests(f"too many requests: {why}: try again later")
    error.retry_after_seconds = _RETRY_SECONDS
    return error
