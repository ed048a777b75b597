"""The server: uvicorn in a thread of its own, on a unix socket that only root may use.

Here: the socket's life and the thread's. Never here: what is answered (`app.py`).
"""

import asyncio
import contextlib
import os
import socket
import stat
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from api.http import presence, websockets

_BACKLOG = 512
_GRACE_SECONDS = 3
_LONGEST_UNIX_PATH = 107


class ServerError(Exception):
    """The server cannot start; the message says what to do."""


class ApiServer:
    """Serves an application on a unix socket until stopped."""

    def __init__(self, app: Starlette, path: Path) -> None:
        """Serve `app` at `path`, which is made with mode 0600."""
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
        self._socket = _listen(self._path)
        self._identity = _identity(self._path)
        config = uvicorn.Config(
            self._app,
            http=presence.HttpProtocol,
            ws=websockets.Protocol,
            ws_max_size=websockets.MOST_BYTES,
            ws_ping_interval=websockets.PING_SECONDS,
            ws_ping_timeout=websockets.PONG_SECONDS,
            ws_per_message_deflate=False,
            lifespan="on",
            loop="asyncio",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Uvicorn(config)
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
        if self._socket is not None:
            _remove_own(self._path, self._identity)
            self._socket.close()
        self._server = self._thread = self._socket = None


class _Uvicorn(uvicorn.Server):
    """uvicorn that says when it has started, or failed to, and can be stopped from another thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
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
        self.settled.set()

    def ask_to_stop(self, app: Starlette) -> None:
        """Have it end its streams and then itself."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: it has ended by itself.
                self._loop.call_soon_threadsafe(app.state.end_streams)


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, put there whole in one step.

    It gets its mode before it gets its name, so that nobody ever finds it open to others.
    """
    fresh = path.with_name(f".{path.name}.new")
    if len(os.fsencode(fresh)) > _LONGEST_UNIX_PATH:
        raise ServerError(f"cannot listen at {path}: the path is too long for a unix socket: choose a shorter root")
    _refuse_if_served(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # What bind() gives the file: see unix(7).
        listener.bind(str(fresh))
        fresh.chmod(0o600)
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
