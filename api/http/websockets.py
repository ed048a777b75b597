"""WebSockets as uvicorn serves them, with what it lacks: the application can look at the socket (`presence`), a client
whose frames cannot be is told so, and one that pings and does not read is not heard.

While what a client sent waits for somebody slow, nothing more is read from it, so that memory stays bounded.
Source: RFC 6455, 7.1.7 "Fail the WebSocket Connection".
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping

from api.errors import ApiError
from api.http import answers, presence

log = logging.getLogger(__name__)

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
        scope = cast(MutableMapping[str, Any], self.scope)
        presence.show_socket(scope, self.transport.get_extra_info("socket"))
        await super().run_asgi()

    def handle_close(self, event: CloseConnection) -> None:
        """End; if that is because of what the client sent, and not as it asked, say so to it first."""
        if self.conn.state is ConnectionState.OPEN and not self.transport.is_closing():
            self.transport.write(self.conn.send(CloseConnection(event.code, event.reason)))
        super().handle_close(event)

    def handle_ping(self, event: Ping) -> None:
        """Answer; who pings and does not read the answers is not heard until it has, as they would have to be kept."""
        super().handle_ping(event)
        if not self.writable.is_set():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on, unless what it has sent is not taken so far."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()


async def serve_or_refuse(websocket: WebSocket, serve: Callable[[WebSocket], Awaitable[None]]) -> None:
    """Serve a WebSocket by `serve`, to its end. What it raises before it has accepted is the answer instead."""
    try:
        await serve(websocket)
    except ApiError as error:
        await websocket.send_denial_response(answers.refusal(error))
    except (WebSocketDisconnect, anyio.ClosedResourceError):
        return
    except Exception:
        log.exception("stream failed", extra={"path": websocket.scope["path"]})
