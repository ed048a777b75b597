"""Those who ask the launcher for something: taking their connections, reading their messages, answering them.

Never here: what is done about a message (`server`).
Invariant: nobody is waited for; who does not read gets the rest when there is room, and who talks nonsense is told and
let go.
"""

import contextlib
import os
import select
import socket
from collections.abc import Callable

from controller.launcher import protocol
from controller.launcher.children import Connection
from controller.launcher.protocol import Message, ProtocolError

_READ_BYTES = 1 << 16  # Of more, each buffer were mapped, and unmapped again.


class Clients:
    """All connections of one listener, which is listening and does not block, in the launcher's own poll.

    Args:
        answer: called with each message that came whole; raises ProtocolError for one that is nonsense.
    """

    def __init__(
        self, listener: socket.socket, epoll: select.epoll, answer: Callable[[Connection, Message], None]
    ) -> None:
        self._listener = listener
        self._epoll = epoll
        self._answer = answer
        self._connections: dict[int, Connection] = {}
        epoll.register(listener.fileno(), select.EPOLLIN)

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._connections)

    def on_event(self, fd: int, event: int) -> None:
        """Do what there is to be done about `fd`, if it is the listener or one of the connections."""
        if fd == self._listener.fileno():
            self._accept()
        elif fd in self._connections:
            connection = self._connections[fd]
            if event & select.EPOLLOUT:
                self._flush(connection)
            elif not connection.closing:
                self._receive(connection)

    def send(self, connection: Connection, message: Message) -> None:
        """Have it told `message`, now or as soon as it reads; if it has gone, nobody is."""
        if connection.socket.fileno() >= 0:
            connection.out += protocol.encode(message)
            self._flush(connection)

    def flush(self) -> None:
        """Tell all of them what they can be told now."""
        for connection in list(self._connections.values()):
            self._flush(connection)

    def disconnect(self, connection: Connection) -> None:
        """Have no more to do with it; twice is once."""
        fd = connection.socket.fileno()
        if fd >= 0:
            # Before the close: a supervisor being set up has a copy, which would keep it armed.
            self._epoll.unregister(fd)
            del self._connections[fd]
            connection.socket.close()
            for each in connection.take_fds():
                os.close(each)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.settimeout(0)
            self._connections[client.fileno()] = Connection(client)
            self._epoll.register(client.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        received = connection.receive(_READ_BYTES)
        if received is None:
            return
        if not received:
            self.disconnect(connection)
            return
        try:
            for message in connection.decoder.feed(received):
                self._answer(connection, message)
        except ProtocolError as error:
            connection.closing = True
            self.send(connection, {"id": None, "error": str(error), "kind": "protocol"})

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.out:
                del connection.out[: connection.socket.send(connection.out)]
        except BlockingIOError:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            return
        except ConnectionError:
            self.disconnect(connection)
            return
        if connection.closing:
            self.disconnect(connection)
        else:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
