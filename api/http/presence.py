"""Whether the client of a request is still there, and work that ends when it is not.

Asked of the socket itself: while what a client sent waits for somebody slow, nothing more is read from it, and its end
would go unnoticed for as long.
"""

import select
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeVar, cast

import anyio
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SOCKET = "runwright.socket"
_LOOK_SECONDS = 1.0

T = TypeVar("T")


class HttpProtocol(HttpToolsProtocol):
    """The server's side of HTTP requests, which lets the application look at the socket."""

    def on_message_begin(self) -> None:
        """Begin a request as uvicorn does."""
        super().on_message_begin()
        show_socket(cast(MutableMapping[str, Any], self.scope), self.transport.get_extra_info("socket"))


def show_socket(scope: MutableMapping[str, Any], connection: socket.socket | None) -> None:
    """Have `has_gone` look at this socket."""
    scope[_SOCKET] = connection


def has_gone(scope: Mapping[str, Any]) -> bool:
    """Whether the client of a request has closed its side, read or not."""
    connection: socket.socket | None = scope.get(_SOCKET)
    if connection is None:
        return False
    fd = connection.fileno()
    if fd < 0:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))


async def beside(work: Callable[[], Awaitable[T]], other: Callable[[], Coroutine[Any, Any, None]]) -> T:
    """Return what `work` returns, or raise what it raises; `other` is done meanwhile, and cancelled then."""
    done: list[T] = []
    failures: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        try:
            done.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below, as it is and not as one of a group
            failures.append(error)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return done[0]


async def unless_gone(scope: Mapping[str, Any], work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` returns; it is cancelled when the client goes.

    Raises:
        ClientDisconnect: it has gone.
    """
    with anyio.CancelScope() as wanted:

        async def watch() -> None:
            while not has_gone(scope):
                await anyio.sleep(_LOOK_SECONDS)
            wanted.cancel()

        return await beside(work, watch)
    raise ClientDisconnect
