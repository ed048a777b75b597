"""Parts of files as bodies of requests. On a unix socket the kernel passes them on, and this process copies no byte.

There `http.client` says the request and reads the answer, since its socket can be used in between: httpx takes bodies
as bytes alone, and copies each of them several times. Never here: what an answer means (`client_transport.py`).
"""

import errno
import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

_PIECE_BYTES = 1 << 20


class Shorter(Exception):
    """The file became shorter than its part while that was sent."""


class FilePart(NamedTuple):
    """An open file from byte `offset` to its end, byte `end`. `show` is told at which byte it is now."""

    fd: int
    offset: int
    end: int
    show: Callable[[int], None]

    def pieces(self) -> Iterator[bytes]:
        """Yield what it is. Raises Shorter, OSError."""
        at = self.offset
        while at < self.end:
            self.show(at)
            piece = os.pread(self.fd, min(_PIECE_BYTES, self.end - at), at)
            if not piece:
                raise Shorter
            yield piece
            at += len(piece)
        self.show(at)

    def send(self, connection: socket.socket) -> None:
        """Have the kernel send it, on a socket that blocks. Raises Shorter, OSError."""
        at = self.offset
        while at < self.end:
            self.show(at)
            try:
                sent = os.sendfile(connection.fileno(), self.fd, at, min(_PIECE_BYTES, self.end - at))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                for piece in self._replace(offset=at).pieces():  # Of a file system that cannot pass it on so.
                    connection.sendall(piece)
                return
            if not sent:
                raise Shorter
            at += sent
        self.show(at)


def connected(path: Path, seconds: float) -> socket.socket:
    """Return a socket that is connected to the unix socket at `path`, and blocks. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_over(connection: socket.socket) -> bool:
    """Whether the other end has closed it, or has said something."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def put(server: socket.socket, target: str, headers: Mapping[str, str], part: FilePart) -> tuple[int, bytes]:
    """PUT a part on a connection, which is closed then; return the answer's code and body.

    Raises:
        Shorter, OSError: of the file.
        ConnectionError, HTTPException: the connection broke, or what came is no answer.
    """
    with closing(HTTPConnection("runwright")) as http:
        http.sock = server
        http.putrequest("PUT", target, skip_accept_encoding=True)
        for name, value in headers.items():
            http.putheader(name, value)
        http.endheaders()
        try:
            part.send(server)
        except ConnectionError:
            if not _is_over(server):
                raise OSError(errno.EIO, "it cannot be read") from None  # A file of another host's.
            # Who closes it before the end has said why.
        with http.getresponse() as response:
            return response.status, response.read()
