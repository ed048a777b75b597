"""What a client sends to a run: written to a pipe as the run reads it, and what its end means for the run.

Invariant: while the run does not take what was sent, nothing more is read from that client, and nobody else waits.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import channels
from api.channels import Channel
from api.errors import ApiError, BadRequest
from api.http.feed import Threads
from api.http.presence import has_gone
from api.input_ports import RunInput
from api.meta import Document

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LEAVING_SECONDS = 1.0
_SERVICE_RESTART = 1012  # What uvicorn says for a client, when it is itself that ends. Source: RFC 6455, 7.4.2.


async def give(websocket: WebSocket, fd: int, payload: bytes) -> None:
    """Write what a client sent. Nothing is read from it meanwhile: so it is looked at, whether it has gone.

    Raises:
        OSError: nobody reads it any more.
        WebSocketDisconnect: the client has gone.
    """
    left = memoryview(payload)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            with anyio.move_on_after(_LOOK_SECONDS):
                await anyio.wait_writable(fd)
            if has_gone(websocket.scope):
                raise WebSocketDisconnect from None


class Feeding:
    """Who has the standard input of which run to themselves: those that end when the first who attached does.

    Belongs to one event loop.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._runs: set[tuple[str, int]] = set()

    @contextmanager
    def alone(self, job: Document, attempt: int) -> Iterator[None]:
        """Have it for the block, if it is such a run.

        Raises:
            BadRequest: somebody else has; or it has no standard input to write to.
        """
        spec, name = job["spec"], f"{job['metadata']['name']}-{attempt}"
        if not spec.get("stdin"):
            cause = "it is /dev/null: set spec.stdin of its job, or use exec -i"
            raise BadRequest(f"cannot write to the standard input of pod {name}: {cause}")
        run = (job["metadata"]["uid"], attempt)
        if run in self._runs:
            cause = "somebody is attached, and it ends when they go (stdinOnce): attach without stdin"
            raise BadRequest(f"cannot write to the standard input of pod {name}: {cause}")
        held = {run} if spec.get("stdinOnce") else set()
        self._runs |= held
        try:
            yield
        finally:
            self._runs -= held


class Fed:
    """The standard input of a run that a client is attached to, until it ends it or goes.

    Args:
        once: whether either ends the input of the run.
    """

    def __init__(
        self, websocket: WebSocket, run_input: RunInput, threads: Threads, *, once: bool, can_close: bool
    ) -> None:
        self._websocket = websocket
        self._input: RunInput | None = run_input
        self._threads = threads
        self._once = once
        self._can_close = can_close
        self._left_by: int | None = None
        self._has_ended = anyio.Event()
        self._problem: ApiError | None = None

    async def listen(self, tasks: TaskGroup) -> None:
        """Take what the client says, until it goes: then `tasks` end."""
        try:
            while self._left_by is None:
                await self._take(await self._said())
        except (WebSocketDisconnect, RuntimeError):
            pass
        tasks.cancel_scope.cancel()

    async def until_ended(self, others: TaskGroup) -> None:
        """Wait until the client has ended its input, and that has become the run's; then end `others`."""
        await self._has_ended.wait()
        others.cancel_scope.cancel()

    def over(self) -> dict[str, Any]:
        """Let go of the input, as nobody has more to say; return what the client is told of how all went."""
        self.let_go()
        return channels.end_of(0) if self._problem is None else self._problem.status()

    def let_go(self) -> None:
        """Write no more; the input of the run has not ended by that."""
        run_input, self._input = self._input, None
        if run_input is not None:
            run_input.close()

    async def leave(self) -> None:
        """Do what it means for the input that the client, or the daemon, has gone; whether cancelled or not."""
        if self._input is None:
            return
        is_ours = False
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_LEAVING_SECONDS if self._once else 0):
                is_ours = not self._once or await self._is_ours()
            if is_ours:
                self.let_go()
            else:
                await self._end()

    async def _said(self) -> bytes:
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            self._left_by = int(message.get("code") or 0)
            return b""
        said = message.get("bytes")
        return said if said is not None else (message.get("text") or "").encode()

    async def _take(self, said: bytes) -> None:
        channel, payload = channels.split(said)
        match channel:
            case Channel.STDIN if self._input is not None:
                try:
                    await give(self._websocket, self._input.fileno(), payload)
                except OSError:  # The job reads no more: what is for it is of no use, and its output goes on.
                    self.let_go()
            case Channel.CLOSE if self._can_close and payload == bytes((Channel.STDIN,)):
                await self._end() if self._once else self.let_go()
                self._has_ended.set()
            case _:
                pass  # As a server may that has no such channel.

    async def _is_ours(self) -> bool:
        """Whether the connection ends because the daemon does: then the client may come back to its successor."""
        try:
            while self._left_by is None:
                await self._said()
        except (WebSocketDisconnect, RuntimeError):
            return False
        return self._left_by == _SERVICE_RESTART

    async def _end(self) -> None:
        run_input, self._input = self._input, None
        if run_input is None:
            return
        try:
            await self._threads.call(run_input.end)
        except ApiError as error:
            self._problem = error
            log.warning("cannot end a standard input", extra={"error": error.message})
