"""The server: uvicorn in a thread of its own, on a unix socket, and with TLS on TCP where it is asked to.

Here: the socket's life and the thread's. Never here: what is answered (`app.py`).
"""

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import threading
from asyncio import sslproto
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from api.http import websockets
from api.http.listening import Listener, Places
from api.http.peers import PeerProtocol

_BACKLOG = 512
_GRACE_SECONDS = 3
IDLE_SECONDS = 100
"""How long a connection is kept for a further request. Longer than clients keep theirs (Go 90 s, httpx 5 s): whoever
closes first is to be the client, or its next request may meet a connection that is closing."""
_HANDSHAKE_SECONDS = 10
_GOODBYE_SECONDS = 3
_TLS_READ_BYTES = 32 << 10  # asyncio has 256 KiB for each connection, from its first byte on, whoever it is.
_LONGEST_UNIX_PATH = 107


class ServerError(Exception):
    """The server cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Where to listen beside the unix socket, the server's side of TLS there, and how many it has room for."""

    host: str
    port: int
    context: ssl.SSLContext
    places: Places = field(default_factory=Places)


class ApiServer:
    """Serves an application on a unix socket until stopped."""

    def __init__(self, app: Starlette, path: Path, tls: Tls | None = None, *, is_shared: bool = False) -> None:
        """Serve `app` at `path`, made with mode 0600, and at `tls`.

        A socket that `is_shared` can be connected to by all who reach it: the application tells them apart.
        """
        self._tls = tls
        self._mode = 0o666 if is_shared else 0o600
        self._encrypted: socket.socket | None = None
        self._app = app
        self._path = path
        self._socket: socket.socket | None = None
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None
        self._identity = (0, 0)

    def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            ServerError: another server answers at that path, or the path cannot be one.
        """
        self._socket = _listen(self._path, self._mode)
        self._identity = _identity(self._path)
        config = uvicorn.Config(
            self._app,
            http=PeerProtocol,
            ws=websockets.Protocol,
            ws_max_size=websockets.MOST_BYTES,
            ws_ping_interval=websockets.PING_SECONDS,
            ws_ping_timeout=websockets.PONG_SECONDS,
            ws_per_message_deflate=False,
            lifespan="on",
            loop="asyncio",
            access_log=False,
            log_config=None,
            proxy_headers=False,  # Nobody stands between, so nobody says for another where it comes from.
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._encrypted = self._listen_encrypted()
        self._server = _Uvicorn(config, self._encrypted, self._tls.context if self._tls else None)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)
        self._thread.start()
        self._server.settled.wait()
        if not self._server.started:
            self.stop()
            raise ServerError(f"cannot serve at {self._path}: the application did not start: see the log")

    def stop(self) -> None:
        """End watches cleanly, finish what is being answered, and remove the socket. May be called twice."""
        if self._server is not None:
            self._server.ask_to_stop(self._app)
        if self._thread is not None:
            self._thread.join()
        if self._encrypted is not None:
            self._encrypted.close()
        if self._socket is not None:
            _remove_own(self._path, self._identity)
            self._socket.close()
        self._server = self._thread = self._socket = self._encrypted = None

    def encrypted_port(self) -> int:
        """Return the port that TLS is served at, 0 if it is not."""
        return int(self._encrypted.getsockname()[1]) if self._encrypted is not None else 0

    def _listen_encrypted(self) -> socket.socket | None:
        if self._tls is None:
            return None
        try:
            return _listen_tcp(self._tls.host, self._tls.port, self._tls.places.within_descriptors())
        except OSError as error:
            self.stop()
            at = f"{self._tls.host}:{self._tls.port}"
            raise ServerError(f"cannot listen at {at}: {error.strerror}: choose another api.listen") from error


class _Uvicorn(uvicorn.Server):
    """uvicorn that says when it has started, or failed to, and can be stopped from another thread."""

    def __init__(
        self, config: uvicorn.Config, encrypted: socket.socket | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(config)
        self._encrypted = encrypted
        self._context = context
        self.settled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until asked to stop."""
        try:
            with contextlib.suppress(SystemExit):  # How uvicorn says that the application did not start.
                super().run(sockets)
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._encrypted is not None:
            self.servers.append(await self._serve_encrypted(self._loop, self._encrypted))
        self.settled.set()

    async def _serve_encrypted(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> asyncio.Server:
        """Serve the same application with TLS: uvicorn itself has one kind of listener a server."""

        def protocol() -> asyncio.Protocol:
            return PeerProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        sslproto.SSLProtocol.max_size = _TLS_READ_BYTES
        return await loop.create_server(
            protocol,
            sock=listener,
            ssl=self._context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )

    def ask_to_stop(self, app: Starlette) -> None:
        """Have it end its streams and then itself."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: it has ended by itself.
                self._loop.call_soon_threadsafe(app.state.end_streams)


def _listen_tcp(host: str, port: int, places: Places) -> Listener:
    """Return a socket that listens at an address, on both families if it is `::`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = Listener(family, kind, protocol, places=places)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen(path: Path, mode: int = 0o600) -> socket.socket:
    """Return a socket that listens at `path`, put there whole in one step.

    It gets its mode before it gets its name, so that nobody ever finds it open to others.
    """
    fresh = path.with_name(f".{path.name}.new")
    if len(os.fsencode(fresh)) > _LONGEST_UNIX_PATH:
        raise ServerError(f"cannot listen at {path}: the path is too long for a unix socket: choose a shorter root")
    _refuse_if_served(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    most = Places().within_descriptors().most_of_one
    listener = Listener(socket.AF_UNIX, socket.SOCK_STREAM, places=Places(most, most))
    try:
        os.fchmod(listener.fileno(), mode)  # What bind() gives the file: see unix(7).
        listener.bind(str(fresh))
        fresh.chmod(mode)
        listener.listen(_BACKLOG)
        fresh.rename(path)
    except OSError as error:
        listener.close()
        raise ServerError(f"cannot listen at {path}: {error.strerror}") from error
    return listener


def _refuse_if_served(path: Path) -> None:
    """Refuse to take the place of a server that is alive, or of a file that is no socket."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise ServerError(f"cannot listen at {path}: there is something else than a socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return  # A stale one, left by a server that was killed.
    raise ServerError(f"cannot listen at {path}: another server answers there: stop it first")


def _remove_own(path: Path, identity: tuple[int, int]) -> None:
    """Remove the socket file unless another server has replaced it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        if _identity(path) == identity:
            path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
