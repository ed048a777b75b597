"""One connection to a port of a run, and its client's end of it: both ways until both have ended, or either has gone.

Never here: how the client's end is carried (`port_forward`). Invariant: what is kept of what a client sends is a few
messages; who sends more waits until the run has taken them.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import anyio

from api.errors import ApiError
from api.http.sessions import read_from, write_to
from api.ports import CannotConnect

MOST_BYTES = 1 << 15
"""Of one message to a client."""
HALF_CLOSED_SECONDS = 30.0
"""How long a client may go on sending to a run that has nothing more to say."""
_MESSAGES = 8


class Outlet(Protocol):
    """A client's end of one connection. `half_closes`: it can be told that nothing more comes, and still send."""

    half_closes: bool

    async def send(self, content: bytes) -> None:
        """Give it bytes."""

    async def end(self) -> None:
        """Tell it that no more come, if it can be told."""

    async def fail(self, why: str) -> None:
        """Tell it what went wrong."""

    async def close(self) -> None:
        """Tell it that the connection is over."""


class Forward:
    """One connection; `run` it in a task, and give it what the client sends."""

    def __init__(self, outlet: Outlet) -> None:
        """Speak to the client by `outlet`."""
        self._outlet = outlet
        self._input, self._queue = anyio.create_memory_object_stream[bytes](_MESSAGES)
        self._scope = anyio.CancelScope()
        self._taken = anyio.Event()

    async def take(self, content: bytes) -> None:
        """Take bytes from the client, waiting until there is room; after the end they are dropped."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._input.send(content)

    def end_input(self) -> None:
        """The client sends no more."""
        self._input.close()

    def cancel(self) -> None:
        """The client wants no more of it."""
        self._scope.cancel()

    async def run(self, connect: Callable[[], Awaitable[socket.socket]]) -> None:
        """Connect, and copy until the end."""
        try:
            with self._scope:
                await self._connect_and_copy(connect)
        finally:
            self._queue.close()
            self._input.close()
        await self._outlet.close()

    async def _connect_and_copy(self, connect: Callable[[], Awaitable[socket.socket]]) -> None:
        try:
            connection = await connect()
        except (ApiError, CannotConnect) as error:
            await self._outlet.fail(str(error))
            return
        with connection:
            await self._copy(connection)

    async def _copy(self, connection: socket.socket) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._copy_in, connection)
            with suppress(ConnectionError):
                while content := await read_from(connection.fileno(), MOST_BYTES):
                    await self._outlet.send(content)
            await self._outlet.end()
            if self._outlet.half_closes:
                with anyio.move_on_after(HALF_CLOSED_SECONDS):
                    await self._taken.wait()
            tasks.cancel_scope.cancel()

    async def _copy_in(self, connection: socket.socket) -> None:
        with suppress(OSError):  # The run reads no more; what it has to say is still read.
            async for content in self._queue:
                await write_to(connection.fileno(), content)
            connection.shutdown(socket.SHUT_WR)
        self._queue.close()
        self._taken.set()
