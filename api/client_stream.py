"""A WebSocket to runwrightd, for a process in a run: over the same addresses as requests, refusals as the same errors.

Sans-IO's wsproto says what goes over the wire, so one poll of the caller's serves socket, terminal and signals without
a thread. Never here: what the messages mean (`api.channels`), nor a terminal.
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlencode, urlsplit

from wsproto import ConnectionType, WSConnection, events
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from api import channels
from api.client_parts import connected
from api.client_transport import CONNECT_SECONDS, Address, Unreachable, context_of, error_of

_READ_BYTES = 1 << 18
_MOST_PENDING = 1 << 20
_HTTPS_PORT, _HTTP_PORT = 443, 80


class Stream:
    """One WebSocket. `poll` its descriptor, for writing too while `is_behind`; then `receive` and `flush`."""

    def __init__(self, connection: socket.socket, websocket: WSConnection, address: Address) -> None:
        self._socket = connection
        self._websocket = websocket
        self._address = address
        self._pending = bytearray()
        self._message = bytearray()
        self._early = True
        self.is_over = False

    @classmethod
    def open(cls, address: Address, path: str, params: Sequence[tuple[str, str]]) -> Self:
        """Open a stream.

        Raises:
            ApiError: the server refused.
            Unreachable: nobody answered.
        """
        websocket = WSConnection(ConnectionType.CLIENT)
        try:
            connection = _connect(address)
        except OSError as error:
            raise Unreachable(f"cannot reach {address}: {error.strerror or error}: is runwrightd running?") from error
        stream = cls(connection, websocket, address)
        try:
            host = urlsplit(address.url).netloc
            target = f"{path}?{urlencode(params)}"
            wanted = list(channels.SUBPROTOCOLS)
            request = events.Request(host=host, target=target, subprotocols=wanted, extra_headers=_own_headers(address))
            connection.sendall(websocket.send(request))
            stream._await_acceptance()
        except OSError as error:
            connection.close()
            raise Unreachable(f"cannot talk to {address}: {error.strerror or error}") from error
        except BaseException:
            connection.close()
            raise
        connection.setblocking(False)  # noqa: FBT003 - the method's own argument
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether there is something that could not be sent so far."""
        return bool(self._pending)

    @property
    def may_send(self) -> bool:
        """Whether more may be given to `send`: else wait until some of it is away."""
        return len(self._pending) < _MOST_PENDING

    def send(self, message: bytes) -> None:
        """Send a message, now or with later calls of `flush`. Raises Unreachable."""
        if not self.is_over:
            self._pending += self._websocket.send(events.BytesMessage(data=message))
            self.flush()

    def flush(self) -> None:
        """Send what can be sent now. Raises Unreachable."""
        try:
            while self._pending:
                del self._pending[: self._socket.send(self._pending)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            raise self._broken(error) from error

    def receive(self) -> list[bytes]:
        """Return the messages that came, none if none has come whole. Raises Unreachable if it broke."""
        if not self._early:
            self._read()
        self._early = False
        return self._messages()

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def _read(self) -> None:
        try:
            received = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise self._broken(error) from error
        if not received:
            raise Unreachable(f"cannot talk to {self._address}: it closed the connection: did runwrightd stop?")
        self._feed(received)

    def _feed(self, received: bytes) -> None:
        try:
            self._websocket.receive_data(received)
        except ProtocolError as error:
            raise Unreachable(f"cannot talk to {self._address}: it sent no WebSocket: {error}") from error

    def _messages(self) -> list[bytes]:
        messages = []
        for event in self._websocket.events():
            match event:
                case events.BytesMessage() | events.TextMessage():
                    data = event.data
                    self._message += data.encode() if isinstance(data, str) else data
                    if event.message_finished:
                        messages.append(bytes(self._message))
                        self._message.clear()
                case events.Ping():
                    self._pending += self._websocket.send(event.response())
                    self.flush()
                case events.CloseConnection():
                    self.is_over = True
                    if event.code not in (CloseReason.NORMAL_CLOSURE, CloseReason.NO_STATUS_RCVD):
                        raise Unreachable(f"the stream from {self._address} was ended: {event.reason or event.code}")
        return messages

    def _await_acceptance(self) -> None:
        body, code = bytearray(), 0
        while True:
            received = self._socket.recv(_READ_BYTES)
            if not received:
                raise error_of(code, bytes(body)) if code else ConnectionError("it closed the connection")
            self._feed(received)
            for event in self._websocket.events():
                match event:
                    case events.AcceptConnection():
                        return  # Whatever came with it waits in the protocol for `receive`.
                    case events.RejectConnection():
                        code = event.status_code
                        if not event.has_body:
                            raise error_of(code, b"")
                    case events.RejectData():
                        body += event.data
                        if event.body_finished:
                            raise error_of(code, bytes(body))

    def _broken(self, error: OSError) -> Unreachable:
        return Unreachable(f"cannot talk to {self._address}: {error.strerror or error}: did runwrightd stop?")


def _own_headers(address: Address) -> list[tuple[bytes, bytes]]:
    proof = address.credentials
    token = [(b"Authorization", f"Bearer {proof.token}".encode())] if proof and proof.token else []
    return [(b"User-Agent", channels.OWN_USER_AGENT.encode()), *token]


def _connect(address: Address) -> socket.socket:
    if address.socket is not None:
        return connected(address.socket, CONNECT_SECONDS)
    parts = urlsplit(address.url)
    is_secure = parts.scheme == "https"
    port = parts.port or (_HTTPS_PORT if is_secure else _HTTP_PORT)
    connection = socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS)
    connection.settimeout(None)
    if not is_secure:
        return connection
    context = context_of(address.credentials) if address.credentials else ssl.create_default_context()
    try:
        return context.wrap_socket(connection, server_hostname=parts.hostname)
    except OSError:
        connection.close()
        raise
