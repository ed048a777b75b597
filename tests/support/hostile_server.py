"""A real HTTP server that does to each request what a test says: tells lies, stalls, trickles, redirects, hangs up."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Exchange:
    """One request and the ways to answer it."""

    path: str
    headers: dict[str, str]
    number: int
    _handler: BaseHTTPRequestHandler
    _released: threading.Event

    @property
    def range_start(self) -> int:
        """The first byte that is asked for."""
        said = self.headers.get("range", "")
        return int(said.removeprefix("bytes=").partition("-")[0]) if said else 0

    def head(self, status: int = 200, length: int | None = None, **headers: str) -> None:
        self._handler.send_response(status)
        if length is not None:
            self._handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        # Said, or a client that keeps connections may ask for more on this one in the moment before it is closed.
        # (`send_header` notes it: this connection is closed.)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # Who asked has hung up: that is for the test to judge.
            self._handler.wfile.write(data)

    def answer(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.head(status, len(data), **headers)
        self.send(data)

    def redirect(self, to: str, status: int = 302) -> None:
        self.answer(b"", status, Location=to)

    def serve_range(self, data: bytes, etag: str = '"1"', upto: int | None = None) -> None:
        """Answer as a good server does, the connection ending early at byte `upto`."""
        start = self.range_start
        if not start:
            self.head(200, len(data), ETag=etag, Accept_Ranges="bytes")
        else:
            self.head(206, len(data) - start, ETag=etag, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send(data[start : len(data) if upto is None else upto])

    def raw(self, data: bytes) -> None:
        """Send bytes that need not be HTTP."""
        self.send(data)
        self._handler.close_connection = True

    def stall(self) -> None:
        """Say nothing any more until the test is over, or the other side hangs up."""
        self._handler.connection.setblocking(False)
        self._released.wait(30)

    def trickle(self, data: bytes, seconds: float = 0.01) -> None:
        """Send a byte at a time, each after a little wait, until the other side has enough."""
        for byte in data:
            if self._released.wait(seconds):
                return
            try:
                self._handler.wfile.write(bytes([byte]))
            except OSError:
                return


@dataclass
class HostileServer:
    """The server's address and what it was asked."""

    url: str = ""
    requests: list[Exchange] = field(default_factory=list)

    @property
    def ranges(self) -> list[str]:
        return [request.headers.get("range", "") for request in self.requests]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        return


@contextmanager
def hostile_server(behave: Callable[[Exchange], None]) -> Iterator[HostileServer]:
    """Answer every request with `behave` for as long as the block runs."""
    server, released, lock = HostileServer(), threading.Event(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(self.path, headers, len(server.requests), self, released)
                server.requests.append(exchange)
            behave(exchange)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)

        def log_message(self, format: str, *args: object) -> None:
            return

    with _Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            released.set()
            http.shutdown()
            thread.join()
