"""The controller's side of the launcher: it asks for runs, and starts the launcher where there is none.

The only module of this package that the launcher's process never imports. Thread-safe.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.launcher import joined, protocol, runspec
from controller.launcher.join_request import JoinRequest
from controller.launcher.joined import Session
from controller.launcher.protocol import PROTOCOL_VERSION, Decoder, Message
from controller.launcher.runspec import RunSpec
from controller.sandbox.compile import can_be_shared

_READ_BYTES = 1 << 16
_READY_SECONDS = 20
_REPLY_SECONDS = 60
# -I and -S: nothing of the environment or of site-packages is in reach, so it starts fast and imports little.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from controller.launcher.__main__ import main; sys.exit(main())"
)
_SOURCE_ROOT = Path(__file__).resolve().parents[2]


class LauncherError(ConnectionError):
    """The launcher could not be reached, or could not do it now: try again later."""


class RunRefused(Exception):
    """The launcher does not understand the run that it was asked for: asking again is no use."""


@dataclass(frozen=True, slots=True)
class Started:
    """The run's supervisor, which has claimed the run."""

    pid: int
    start_time: int


class LauncherClient:
    """Connections to one launcher, as many as threads use at the same time.

    Args:
        socket_path: where it listens; its directory must exist, and be root's alone.
        own_dir: what is its own, such as FIFOs; the same as long as runs of before may live.
        log_path: where it and supervisors write what goes wrong in them.
        cgroup: what it and supervisors are in, by its path in each hierarchy; empty is that of whoever starts it.
    """

    def __init__(self, socket_path: Path, own_dir: Path, log_path: Path, cgroup: str = "") -> None:
        self._socket_path = socket_path
        self._own_dir = own_dir
        self._log_path = log_path
        self._cgroup = cgroup
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []  # Launchers started here and not known to have ended.

    def start(self, spec: RunSpec) -> Started | None:
        """Start the run; None if it was claimed before, however it stands now: observe it.

        It may be asked for again after any failure, in any process: the run is executed once.

        Raises:
            LauncherError: there is no telling whether it was started: observe it, or ask again.
            RunRefused: `spec` is not what this launcher can run.
        """
        answer = self._ask(*start_request(spec))
        if answer.get("claimed"):
            return None
        pid, start_time = answer.get("pid"), answer.get("start_time")
        if not isinstance(pid, int) or not isinstance(start_time, int):
            raise LauncherError(f"cannot start {spec.run_id}: the launcher answers {answer!r:.200}")
        return Started(pid, start_time)

    def join(self, request: JoinRequest) -> Session:
        """Go into a run, and return once inside: see `joined.Session`. The caller closes it.

        Raises:
            LauncherError: the launcher cannot be reached.
            JoinRefused: nothing was done; it says why.
        """
        try:
            return joined.open_session(self._greeted(), request)
        except _OtherVersion:
            raise
        except OSError as error:
            raise LauncherError(f"cannot reach the launcher at {self._socket_path}: {error}") from error

    def ping(self) -> int:
        """Return the launcher's pid.

        Raises:
            LauncherError: it does not answer.
        """
        return int(str(self._ask({"op": "ping"})["pid"]))

    def status(self) -> dict[str, int]:
        """Return counts: of runs started and running, of supervisors that are ready, of clients that are connected.

        Raises:
            LauncherError: it does not answer.
        """
        answer = self._ask({"op": "status"})
        return {name: count for name, count in answer.items() if isinstance(count, int) and name != "id"}

    def shutdown(self) -> None:
        """Have the launcher end. Runs go on.

        Raises:
            LauncherError: it does not answer.
        """
        self._ask({"op": "shutdown"})
        self.close()
        self._reap(_READY_SECONDS)

    def ensure_running(self) -> None:
        """Return with a launcher that answers, and speaks this version: started here if need be.

        Raises:
            LauncherError: it does not start; its log says why.
        """
        with self._starting:
            try:
                self.ping()
            except _OtherVersion:
                self._retire_other_version()
            except LauncherError:
                pass
            else:
                return
            self._spawn()
            self.ping()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _spawn(self) -> None:
        self._reap(0)
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            with open(self._log_path, "ab") as log:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        *("-I", "-S", "-c", _BOOT, str(_SOURCE_ROOT)),
                        *(str(self._socket_path), str(self._own_dir), str(ready_write), self._cgroup),
                    ],
                    cwd="/",
                    env={"LANG": "C.UTF-8", "LD_BIND_NOW": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(ready_write,),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(ready_read)
            raise LauncherError(f"cannot start the launcher: {error}") from error
        finally:
            os.close(ready_write)
        self._processes.append(process)
        _wait_readable(ready_read, _READY_SECONDS)

    def _reap(self, timeout_seconds: float) -> None:
        for process in list(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
                self._processes.remove(process)

    def _retire_other_version(self) -> None:
        """Tell a launcher of another version of runwright to end, which every version understands."""
        with self._fresh_connection() as connection:
            _exchange(connection, {"op": "shutdown"})
            connection.settimeout(_READY_SECONDS)
            while connection.recv(_READ_BYTES):
                pass

    def _ask(self, request: Message, *attached: bytes) -> Message:
        try:
            with self._connection() as connection:
                answer = _exchange(connection, request, *attached)
        except _OtherVersion:
            raise
        except OSError as error:
            raise LauncherError(f"cannot reach the launcher at {self._socket_path}: {error}") from error
        _raise_for(answer)
        return answer

    @contextlib.contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        """Lend a connection to this thread; one that failed is not used again."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None and _is_dead(connection):
            connection.close()
            self.close()
            connection = None
        if connection is None:
            connection = self._greeted()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _greeted(self) -> socket.socket:
        connection = self._fresh_connection()
        try:
            _raise_for(_exchange(connection, {"op": "hello", "version": PROTOCOL_VERSION}))
        except BaseException:
            connection.close()
            raise
        return connection

    def _fresh_connection(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_REPLY_SECONDS)
            connection.connect(str(self._socket_path))
        except BaseException:
            connection.close()
            raise
        return connection


class _OtherVersion(LauncherError):
    """The launcher is of another version of runwright."""


def start_request(spec: RunSpec) -> tuple[Message, bytes, bytes]:
    """Return the request to start a run, and what is attached to it."""
    parts = runspec.to_parts(spec)
    ahead = can_be_shared(spec.sandbox)
    request: Message = {"op": "start", "parent": spec.cgroup_parent, "cgroup": spec.cgroup, "ahead": ahead}
    request["near"] = os.path.dirname(spec.run_dir)
    return request, parts.own, parts.shared


def _exchange(connection: socket.socket, request: Message, *attached: bytes) -> Message:
    connection.sendall(protocol.encode({"id": 1, **request}, *attached))
    decoder = Decoder()
    while True:
        received = connection.recv(_READ_BYTES)
        if not received:
            raise LauncherError("it closed the connection before it answered")
        for answer in decoder.feed(received):
            return answer


def _raise_for(answer: Message) -> None:
    match answer.get("kind"):
        case None:
            return
        case "version":
            raise _OtherVersion(str(answer.get("error")))
        case "invalid" | "protocol":
            raise RunRefused(str(answer.get("error")))
        case _:
            raise LauncherError(str(answer.get("error")))


def _is_dead(connection: socket.socket) -> bool:
    """Say whether an idle connection was closed by the launcher: nothing else makes it readable."""
    return bool(_poll(connection.fileno(), 0))


def _wait_readable(fd: int, seconds: float) -> None:
    """Wait for the launcher to say that it is ready, or to end; then close `fd`."""
    try:
        _poll(fd, seconds)
    finally:
        os.close(fd)


def _poll(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
