"""`pods/NAME/exec` and `pods/NAME/attach`: a process in a run, or its output and input, over a WebSocket.

Nothing is kept here beyond one message a stream: a client that does not read holds up the process that writes,
and nobody else. When the client goes, so does what it had executed. Never here: how one gets into a run
(`ports.RunAccess`).
"""

import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import channels
from api.channels import Channel
from api.errors import ApiError, BadRequest, NotFound
from api.http import answers, requests, runs
from api.http.feed import Threads
from api.http.logs import busy, streamed
from api.http.run_input import Fed, Feeding, give
from api.http.sessions import Sessions, ended, open_session, read_from
from api.http.websockets import serve_or_refuse
from api.meta import Document
from api.objects.projections import Pods
from api.ports import CannotExecute, Execution, LogOptions, RunAccess, RunLogs, RunSession

_FIRST_SIZE = (80, 24)
_HEAD_START_SECONDS = 0.1
SPDY_IN_WEBSOCKET = "SPDY/3.1+portforward.k8s.io"
"""The subprotocol in which kubectl forwards ports."""
_PIPE_BYTES = 1 << 18  # The most that is in a pipe of a session.
_OUTPUTS = (("stdout", Channel.STDOUT), ("stderr", Channel.STDERR))
_UNSHOWN: tuple[str, Channel | None] = ("stderr", None)
"""What is read, and not sent, for who wants to see nothing: by its end we know that of the run."""


class UpgradeRequired:
    """Answers who asks for a stream of a Pod without a WebSocket: the SPDY of older clients is not spoken.

    kubectl asks so when its WebSocket was refused, and shows this answer alone: so whatever else is wrong comes first.
    """

    def __init__(self, pods: Pods, threads: Threads) -> None:
        """Look at these Pods."""
        self._pods = pods
        self._threads = threads

    async def answer(self, request: Request, namespace: str, name: str) -> Response:
        """Say what is wrong.

        Raises:
            NotFound: there is no such Pod.
            BadRequest: its run cannot be gone into, or at least not so.
        """
        await self._threads.call(runs.run_of, self._pods, request, namespace, name)
        await self._threads.call(runs.refuse_ended, self._pods, namespace, name)
        spoken = f"this is served over a WebSocket that speaks {channels.V5}, or to forward ports {SPDY_IN_WEBSOCKET}"
        raise BadRequest(f"Upgrade request required: {spoken}; if one was refused just now, ask again for the cause")

    async def answer_post(self, request: Request) -> Response:
        """Say what is wrong, on a route of its own. Raises as `answer`."""
        return await self.answer(request, request.path_params["namespace"], request.path_params["name"])


class PodStreams:
    """Serves the WebSockets of Pods."""

    def __init__(
        self, pods: Pods, access: RunAccess, logs: RunLogs, threads: Threads, sessions: Sessions, slow: Threads
    ) -> None:
        """Go into runs by `access`, in `sessions`; those who follow a log hold one of `slow` while they wait."""
        self._sessions = sessions
        self._feeding = Feeding()
        self._pods = pods
        self._access = access
        self._logs = logs
        self._threads = threads
        self._slow = slow

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one of them, to its end."""
        await serve_or_refuse(websocket, self._serve)

    async def _serve(self, websocket: WebSocket) -> None:
        if websocket.path_params["what"] not in ("exec", "attach"):
            raise NotFound("there is no such stream: use exec, attach or portforward")
        subprotocol = channels.choose(websocket.scope.get("subprotocols", []))
        if subprotocol is None:
            raise BadRequest(f"cannot serve this WebSocket: offer the subprotocol {channels.V5}")
        with self._sessions.one_more():
            await self._go_in(websocket, subprotocol)

    async def _go_in(self, websocket: WebSocket, subprotocol: str) -> None:
        namespace, name = websocket.path_params["namespace"], websocket.path_params["name"]
        job, attempt = await self._threads.call(runs.run_of, self._pods, websocket, namespace, name)
        wanted = _wanted(websocket)
        if websocket.path_params["what"] == "attach":
            await self._attach(websocket, subprotocol, job, attempt, wanted)
            return
        execution = _execution(websocket, wanted)
        await self._threads.call(runs.refuse_ended, self._pods, namespace, name)
        try:
            session = await open_session(self._sessions, lambda: self._access.execute(job, attempt, execution))
        except CannotExecute as error:
            await _accept(websocket, subprotocol)
            # A client that asked for no stderr, as with a terminal none is, shows nothing of it.
            channel = Channel.STDERR if "stderr" in wanted and execution.terminal is None else Channel.STDOUT
            async with anyio.create_task_group() as tasks:
                sender = _Sender(websocket, tasks)
                await sender.send(channel, f"{error}\r\n".encode() if execution.terminal else f"{error}\n".encode())
                await sender.finish(channels.end_of(error.exit_code))
            return
        with closing(session):
            await _accept(websocket, subprotocol)
            await _Conversation(websocket, session, subprotocol).run()

    async def _attach(
        self, websocket: WebSocket, subprotocol: str, job: Document, attempt: int, wanted: tuple[str, ...]
    ) -> None:
        """Copy what the run prints from now on, until it ends, and give it what the client sends, if it takes that."""
        if "stdin" not in wanted:
            await self._copy_logs(websocket, subprotocol, job, attempt, wanted, None)
            return
        with self._feeding.alone(job, attempt):
            opened = await open_session(self._sessions, lambda: self._access.open_stdin(job, attempt))
            once = bool(job["spec"].get("stdinOnce"))
            fed = Fed(websocket, opened, self._threads, once=once, can_close=subprotocol == channels.V5)
            try:
                await self._copy_logs(websocket, subprotocol, job, attempt, wanted, fed)
            finally:
                await fed.leave()

    async def _copy_logs(
        self, websocket: WebSocket, subprotocol: str, job: Document, attempt: int, wanted: tuple[str, ...],
        fed: Fed | None,
    ) -> None:  # fmt: skip
        if self._slow.are_busy:
            raise busy()
        shown: list[tuple[str, Channel | None]] = [each for each in _OUTPUTS if each[0] in wanted]
        logs = [(channel, *self._output(job, attempt, name)) for name, channel in shown or [_UNSHOWN]]
        # Each is read once, before there is anything to answer: so what is printed from here on is in it.
        begun = [await self._slow.call(next, chunks, None) for _, chunks, _ in logs]
        await _accept(websocket, subprotocol)
        async with anyio.create_task_group() as tasks:
            sender = _Sender(websocket, tasks)
            if fed is None:
                tasks.start_soon(_until_gone, websocket, tasks)
            else:
                tasks.start_soon(fed.listen, tasks)
            failures: list[ApiError] = []
            async with anyio.create_task_group() as copies:
                if fed is not None and not shown:
                    tasks.start_soon(fed.until_ended, copies)
                for first, (channel, chunks, stopped) in zip(begun, logs, strict=True):
                    output = streamed(self._slow, first, chunks, stopped)
                    copies.start_soon(self._copy_log, sender, channel, output, failures)
            status = channels.end_of(0) if fed is None else fed.over()
            await sender.finish(failures[0].status() if failures else status)

    def _output(self, job: Document, attempt: int, name: str) -> tuple[Iterator[bytes], threading.Event]:
        """Return what is printed on one stream, and what stops it: each has its own, for one may end before another."""
        stopped = threading.Event()
        options = LogOptions(follow=True, tail_lines=0, stream=name)
        return self._logs.read(job, attempt, options, stopped.is_set), stopped

    @staticmethod
    async def _copy_log(
        sender: "_Sender", channel: Channel | None, chunks: AsyncGenerator[bytes, None], failures: list[ApiError]
    ) -> None:
        """Copy it to its end. What is wrong with it is one of `failures`: the client is accepted already."""
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if channel is None:
                        continue
                    for start in range(0, len(chunk), channels.MOST_BYTES):
                        await sender.send(channel, chunk[start : start + channels.MOST_BYTES])
        except ApiError as error:
            failures.append(error)


class _Sender:
    """Sends to one client; when that has gone, `tasks` end. What was not sent as its sender was cancelled is known."""

    def __init__(self, websocket: WebSocket, tasks: TaskGroup) -> None:
        self._websocket = websocket
        self._tasks = tasks
        self._unsent: dict[Channel, bytes] = {}

    async def send(self, channel: Channel, content: bytes) -> None:
        self._unsent[channel] = content
        try:
            await self._websocket.send_bytes(channels.frame(channel, content))
        except (WebSocketDisconnect, RuntimeError):
            self._tasks.cancel_scope.cancel()
        else:
            del self._unsent[channel]

    async def send_unsent(self) -> None:
        for channel, content in list(self._unsent.items()):
            await self.send(channel, content)

    async def finish(self, status: dict[str, Any]) -> None:
        await self.send(Channel.STATUS, answers.to_json(status))
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(1000)
        self._tasks.cancel_scope.cancel()


class _Conversation:
    """One process in a run and one client, until either has ended."""

    def __init__(self, websocket: WebSocket, session: RunSession, subprotocol: str) -> None:
        self._websocket = websocket
        self._session = session
        self._can_close = subprotocol == channels.V5

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            sender = _Sender(self._websocket, tasks)
            tasks.start_soon(self._listen, tasks)
            async with anyio.create_task_group() as copies:
                for channel, fd in self._outputs():
                    copies.start_soon(self._copy, sender, fd, channel)
                status = await self._status()
                copies.cancel_scope.cancel()
            await sender.send_unsent()
            for channel, fd in self._outputs():
                await self._copy_rest(sender, fd, channel)
            await sender.finish(status)

    def _outputs(self) -> list[tuple[Channel, int]]:
        found = [(channel, getattr(self._session, name)) for name, channel in _OUTPUTS]
        return [(channel, fd) for channel, fd in found if fd is not None]

    async def _status(self) -> dict[str, Any]:
        try:
            return channels.end_of(await ended(self._session))
        except ApiError as error:
            return error.status()

    @staticmethod
    async def _copy(sender: _Sender, fd: int, channel: Channel) -> None:
        while chunk := await read_from(fd, channels.MOST_BYTES):
            await sender.send(channel, chunk)

    @staticmethod
    async def _copy_rest(sender: _Sender, fd: int, channel: Channel) -> None:
        """Send what it had written when it ended, which a pipe holds; others who go on writing are not waited for."""
        left = _PIPE_BYTES
        while left > 0:
            try:
                chunk = os.read(fd, min(left, channels.MOST_BYTES))
            except OSError:
                return
            if not chunk:
                return
            left -= len(chunk)
            await sender.send(channel, chunk)

    async def _listen(self, tasks: TaskGroup) -> None:
        """Take what the client says, until it goes: then all of this ends."""
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] != "websocket.receive":
                    break
                said = message.get("bytes")
                await self._take(said if said is not None else (message.get("text") or "").encode())
        except (WebSocketDisconnect, RuntimeError):
            pass
        tasks.cancel_scope.cancel()

    async def _take(self, said: bytes) -> None:
        channel, payload = channels.split(said)
        match channel:
            case Channel.STDIN:
                await self._give(payload)
            case Channel.CLOSE if self._can_close and payload == bytes((Channel.STDIN,)):
                self._session.close_stdin()
            case Channel.RESIZE if (size := channels.size(payload)) is not None:
                self._session.resize(*size)
            case Channel.SIGNAL:
                self._session.signal(payload.decode(errors="replace"))
            case _:
                pass  # As a server may that has no such channel.

    async def _give(self, payload: bytes) -> None:
        if (fd := self._session.stdin) is None:
            return
        try:
            await give(self._websocket, fd, payload)
        except OSError:  # It reads no more: what is for it is of no use, and its output goes on.
            self._session.close_stdin()


async def _accept(websocket: WebSocket, subprotocol: str) -> None:
    """Accept, and give the client a moment before it is sent anything, unless it is ours.

    kubectl 1.32 and its like begin to read before they have made the streams, and drop what comes for those that are
    not there yet ("Unknown stream id 1, discarding message"): on one host, that is the first of what is printed.
    """
    await websocket.accept(subprotocol)
    if not websocket.headers.get("user-agent", "").startswith(channels.OWN_USER_AGENT):
        await anyio.sleep(_HEAD_START_SECONDS)


async def _until_gone(websocket: WebSocket, tasks: TaskGroup) -> None:
    while (await websocket.receive())["type"] == "websocket.receive":
        pass
    tasks.cancel_scope.cancel()


def _wanted(websocket: WebSocket) -> tuple[str, ...]:
    wanted = tuple(name for name in ("stdin", "stdout", "stderr") if requests.is_set(websocket, name))
    if not wanted:
        raise BadRequest("at least one of stdin, stdout, stderr must be true")
    return wanted


def _execution(websocket: WebSocket, wanted: tuple[str, ...]) -> Execution:
    command = tuple(websocket.query_params.getlist("command"))
    if not command or not command[0]:
        raise BadRequest("you must specify at least 1 command for the container")
    if any("\0" in word for word in command):
        raise BadRequest("cannot execute a command that has a NUL character in it")
    if requests.is_set(websocket, "tty"):
        return Execution(command, terminal=_FIRST_SIZE)
    return Execution(command, wanted)
