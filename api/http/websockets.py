"""WebSockets as uvicorn serves them, with one thing more: whether the client has gone can be asked without reading.

While what a client sent waits for somebody slow, nothing more is read from it, so that memory stays bounded; its end
would then go unnoticed for as long.
"""

import logging
import select
import socket
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

_SOCKET = "runwright.socket"
PING_SECONDS = 20.0
PONG_SECONDS = 600.0
"""A client that is held up reads no pings either: so this is for connections that are dead for good."""
MOST_BYTES = 4 << 20


_quiet = logging.getLogger("uvicorn.error.websockets")
_quiet.setLevel(logging.WARNING)


class Protocol(WSProtocol):
    """The server's side of one WebSocket. What it asks for is in no log: commands have passwords in them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Begin as uvicorn does."""
        super().__init__(*arguments, **named)
        self.logger = _quiet

    async def run_asgi(self) -> None:
        """Run the application, and let it look at the socket."""
        scope: MutableMapping[str, Any] = cast(MutableMapping[str, Any], self.scope)
        scope[_SOCKET] = self.transport.get_extra_info("socket")
        await super().run_asgi()


def has_gone(scope: Mapping[str, Any]) -> bool:
    """Whether the client of a WebSocket has closed its side, read or not."""
    connection: socket.socket | None = scope.get(_SOCKET)
    if connection is None:
        return False
    fd = connection.fileno()
    if fd < 0:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))
