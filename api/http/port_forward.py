"""`pods/NAME/portforward`: connections to ports of a run, over one WebSocket, in the two ways that clients speak.

kubectl opens two SPDY streams a connection, one for data and one for errors, as often as it likes; the libraries have
one connection a port, and two channels for each. Never here: how one gets into the run (`ports.RunAccess`), and how
bytes go to and fro (`forwarding`).

Source: Kubernetes 1.32, `kubelet/pkg/cri/streaming/portforward` and `client-go/tools/portforward`.
"""

import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, suppress
from struct import Struct
from typing import Any, TypeAlias

import anyio
from anyio.abc import TaskGroup
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.errors import BadRequest
from api.http import runs, spdy
from api.http.exec import SPDY_IN_WEBSOCKET
from api.http.feed import Threads
from api.http.forwarding import Forward
from api.http.presence import has_gone
from api.http.sessions import Sessions, open_session
from api.http.spdy import Cause
from api.http.websockets import serve_or_refuse
from api.objects.projections import Pods
from api.ports import RunAccess

OVER_SPDY = SPDY_IN_WEBSOCKET
OVER_CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")
MOST_CONNECTIONS = 100
"""Of one WebSocket."""
_MOST_PORTS = 64
_LAST_PORT = 65535
_LOOK_SECONDS = 1.0
_GOING_AWAY, _NOT_UNDERSTOOD = 1000, 1002
_PORT = Struct("<H")

Run: TypeAlias = Callable[[Forward, int], Coroutine[Any, Any, None]]
"""Runs a connection to a port."""


class PodPorts:
    """Serves the ports of Pods."""

    def __init__(self, pods: Pods, access: RunAccess, threads: Threads, sessions: Sessions) -> None:
        """Connect by `access`; each connection is one of `sessions`, and so is each WebSocket."""
        self._pods = pods
        self._access = access
        self._threads = threads
        self._sessions = sessions

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one WebSocket, to its end."""
        await serve_or_refuse(websocket, self._serve)

    async def _serve(self, websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols", [])
        subprotocol = next((name for name in (OVER_SPDY, *OVER_CHANNELS) if name in offered), None)
        if subprotocol is None and offered:  # Who offers none, as kr8s does, speaks with channels.
            raise BadRequest(f"cannot serve this WebSocket: offer the subprotocol {OVER_SPDY} or {OVER_CHANNELS[0]}")
        ports = () if subprotocol == OVER_SPDY else _ports(websocket)
        namespace, name = websocket.path_params["namespace"], websocket.path_params["name"]
        with self._sessions.one_more():
            job, attempt = await self._threads.call(runs.run_of, self._pods, websocket, namespace, name)
            await self._threads.call(runs.refuse_ended, self._pods, namespace, name)

            async def run(forward: Forward, port: int) -> None:
                with ExitStack() as counted:

                    async def connect() -> socket.socket:
                        counted.enter_context(self._sessions.one_more())
                        return await open_session(self._sessions, lambda: self._access.connect(job, attempt, port))

                    await forward.run(connect)

            await websocket.accept(subprotocol)
            async with anyio.create_task_group() as tasks:
                client = _Client(websocket, tasks)
                speaker: _Channels | _Tunnel = _Channels(client, run, ports) if ports else _Tunnel(client, tasks, run)
                tasks.start_soon(speaker.serve)


class _Client:
    """A WebSocket's other side; when it has gone, `tasks` end."""

    def __init__(self, websocket: WebSocket, tasks: TaskGroup) -> None:
        self._websocket = websocket
        self._tasks = tasks

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield what it sends, until it goes."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while (message := await self._websocket.receive())["type"] == "websocket.receive":
                said = message.get("bytes")
                yield said if said is not None else (message.get("text") or "").encode()
        self._tasks.cancel_scope.cancel()

    async def send(self, message: bytes) -> None:
        try:
            await self._websocket.send_bytes(message)
        except (WebSocketDisconnect, RuntimeError):
            self._tasks.cancel_scope.cancel()

    async def close(self, code: int = _GOING_AWAY) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(code)
        self._tasks.cancel_scope.cancel()

    async def give(self, forward: Forward, content: bytes) -> None:
        """Give a connection what came for it. Nothing is read from the client meanwhile: so it is looked at."""
        taken = False
        while content and not taken:
            with anyio.move_on_after(_LOOK_SECONDS):
                await forward.take(content)
                taken = True
            if not taken and has_gone(self._websocket.scope):
                self._tasks.cancel_scope.cancel()
                await anyio.lowlevel.checkpoint()


class _Tunnel:
    """Connections as pairs of SPDY streams with the same `requestid`: one for errors first, then one for data."""

    def __init__(self, client: _Client, tasks: TaskGroup, run: Run) -> None:
        self._client = client
        self._tasks = tasks
        self._run = run
        self._writer = spdy.Writer()
        self._error_streams: dict[str, int] = {}
        """Of the requests whose stream of data is still to come."""
        self._forwards: dict[int, Forward] = {}

    async def serve(self) -> None:
        reader = spdy.Reader()
        try:
            async for message in self._client.messages():
                for event in reader.feed(message):
                    await self._take(event)
        except spdy.ProtocolError:
            await self._client.close(_NOT_UNDERSTOOD)

    async def _take(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened(stream, headers, ended):
                cause = self._open(stream, headers)
                if cause is not None:
                    await self._client.send(self._writer.reset(stream, cause))
                    return
                await self._client.send(self._writer.reply(stream))
                if stream in self._forwards:
                    self._tasks.start_soon(self._forward, stream, int(headers["port"]))
                    await self._end_input(stream, ended=ended)
            case spdy.Data(stream, content, ended) if stream in self._forwards:
                await self._client.give(self._forwards[stream], content)
                await self._end_input(stream, ended=ended)
            case spdy.Reset(stream) if stream in self._forwards:
                self._forwards[stream].cancel()
            case spdy.Reset(stream):
                self._error_streams = {key: each for key, each in self._error_streams.items() if each != stream}
            case spdy.Ping(number) if number % 2:  # Those of clients.
                await self._client.send(self._writer.ping(number))
            case _:
                pass  # Of a stream that is over, or the client's end of a stream of errors.

    def _open(self, stream: int, headers: dict[str, str]) -> Cause | None:
        """Make room for a stream; return why there is none for it."""
        is_error = headers.get("streamtype") == "error"
        request = headers.get("requestid", str(stream if is_error else stream - 2))  # Without: it follows its errors'.
        is_port = _is_port(headers.get("port", ""))
        match headers.get("streamtype"):
            case "error" if is_port and request not in self._error_streams:
                if len(self._error_streams) + len(self._forwards) >= MOST_CONNECTIONS:
                    return Cause.REFUSED_STREAM
                self._error_streams[request] = stream
            case "data" if is_port and request in self._error_streams and stream not in self._forwards:
                outlet = _SpdyOutlet(self._client, self._writer, stream, self._error_streams.pop(request))
                self._forwards[stream] = Forward(outlet)
            case _:
                return Cause.PROTOCOL_ERROR
        return None

    async def _forward(self, stream: int, port: int) -> None:
        try:
            await self._run(self._forwards[stream], port)
        finally:
            del self._forwards[stream]

    async def _end_input(self, stream: int, *, ended: bool) -> None:
        if ended and stream in self._forwards:
            self._forwards[stream].end_input()


class _SpdyOutlet:
    """One connection's two streams."""

    half_closes = True

    def __init__(self, client: _Client, writer: spdy.Writer, stream: int, error_stream: int) -> None:
        self._client = client
        self._writer = writer
        self._stream = stream
        self._error_stream = error_stream
        self._has_ended = False

    async def send(self, content: bytes) -> None:
        await self._client.send(self._writer.data(self._stream, content))

    async def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            await self._client.send(self._writer.data(self._stream, b"", ended=True))

    async def fail(self, why: str) -> None:
        await self._client.send(self._writer.data(self._error_stream, why.encode()))

    async def close(self) -> None:
        await self._client.send(self._writer.data(self._error_stream, b"", ended=True))
        await self.end()


class _Channels:
    """One connection for each of `ports`, on two channels each: 0 and 1 for the first, and so on."""

    def __init__(self, client: _Client, run: Run, ports: tuple[int, ...]) -> None:
        self._client = client
        self._run = run
        self._ports = ports
        self._forwards = [Forward(_ChannelOutlet(client, 2 * index)) for index in range(len(ports))]

    async def serve(self) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._client.send(bytes((channel,)) + _PORT.pack(port))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            async with anyio.create_task_group() as connections:
                for forward, port in zip(self._forwards, self._ports, strict=True):
                    connections.start_soon(self._run, forward, port)
            await self._client.close()
            tasks.cancel_scope.cancel()

    async def _listen(self) -> None:
        async for message in self._client.messages():
            index, is_error = divmod(message[0], 2) if message else (len(self._forwards), 0)
            if index < len(self._forwards) and not is_error:
                await self._client.give(self._forwards[index], message[1:])


class _ChannelOutlet:
    """One connection's two channels. There is no way to say that one of them has ended: all end together."""

    half_closes = False

    def __init__(self, client: _Client, channel: int) -> None:
        self._client = client
        self._channel = channel

    async def send(self, content: bytes) -> None:
        await self._client.send(bytes((self._channel,)) + content)

    async def end(self) -> None:
        pass

    async def fail(self, why: str) -> None:
        await self._client.send(bytes((self._channel + 1,)) + why.encode())

    async def close(self) -> None:
        pass


def _ports(websocket: WebSocket) -> tuple[int, ...]:
    """Return the ports that are asked for.

    Raises:
        BadRequest: there are none, too many, or others than there can be.
    """
    words = [word for value in websocket.query_params.getlist("ports") for word in value.split(",")]
    if not words:
        raise BadRequest('query parameter "ports" is required: say which, such as ports=8080')
    if len(words) > _MOST_PORTS:
        raise BadRequest(f"cannot forward {len(words)} ports over one WebSocket: at most {_MOST_PORTS}")
    bad = next((word for word in words if not _is_port(word)), None)
    if bad is not None:
        raise BadRequest(f"unable to parse {bad!r:.40} as a port: use 1 to {_LAST_PORT}")
    return tuple(map(int, words))


def _is_port(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= len(str(_LAST_PORT)) and 0 < int(word) <= _LAST_PORT
