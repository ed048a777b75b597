"""Processes of ours that start in a fraction of their time: forked off one that has imported all that they import.

Importing is most of what a start takes, and tests start hundreds of daemons, thousands of times `rnx`, and Python in
networks of their own. What is forked here is as started by its command line in all that a process has of its own:
arguments, environment, directory, limits, standard streams, network. The start by the command line itself is what the
tests of the daemon and of the documentation have, the demo and the benches.
"""

import contextlib
import gc
import importlib
import os
import pickle
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.linux import namespaces
from controller.linux.namespaces import LinuxNamespace

_ROOT = Path(__file__).parents[2]
_FORKS = "import sys; sys.path[:1] = sys.argv[2:4]; from support import forked; forked.answer(int(sys.argv[1]))"
_IMPORTED = (
    "controller.__main__", "controller.daemon.manager", "controller.daemon.cleaning", "api.http.server", "state.backup",
    "uvicorn.protocols.http.h11_impl", "uvicorn.lifespan.on", "uvicorn.loops.asyncio", "api.cli.main",
)  # fmt: skip
_MESSAGE_BYTES = 1 << 20
_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_PROGRAMS = {"runwrightd": "controller.__main__", "rnx": "api.cli.main"}
_CODE = "python3 -c"


def _limits() -> dict[int, tuple[int, int]]:
    return {each: resource.getrlimit(each) for each in _LIMITS}


@dataclass(frozen=True)
class Start:
    """What is to be started: a program of ours, or Python; `network_of` is the process in whose network, if not ours."""

    program: str
    arguments: Sequence[str]
    network_of: int | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: str = field(default_factory=os.getcwd)
    limits: Mapping[int, tuple[int, int]] = field(default_factory=_limits)

    @classmethod
    def of_code(cls, code: str, network_of: int | None = None) -> "Start":
        """Return the start of Python with code."""
        return cls(_CODE, (code,), network_of)


class Forked:
    """A process forked here, to be asked as a Popen is."""

    def __init__(self, forker: "Forker", pid: int) -> None:
        """Be of the process `pid`, whose exit code `forker` gets."""
        self.pid = pid
        self.returncode: int | None = None
        self._forker = forker

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        if self.returncode is None:
            self.returncode = self._forker.ask(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        if self.returncode is None:
            fd = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if not poll.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("what was forked", timeout or 0)
            finally:
                os.close(fd)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Forker:
    """The process that forks them, for as long as tests run."""

    def __init__(self) -> None:
        """Start it; it imports while the tests go on."""
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fd = theirs.fileno()
            # The last word is for who looks for processes of daemons by what they were started with.
            command = [sys.executable, "-c", _FORKS, str(fd), str(_ROOT), str(_ROOT / "tests"), "controller"]
            self._process = subprocess.Popen(command, pass_fds=(fd,), cwd=_ROOT)

    def start(self, what: Start, out: int, err: int) -> Forked:
        """Start it, with these descriptors as its output and its errors."""
        return Forked(self, self.ask(what, out, err))

    def run(self, what: Start, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run it to its end.

        Raises:
            subprocess.TimeoutExpired: it goes on; it is killed.
        """
        out, err = _Pipe(), _Pipe()
        process = self.start(what, out.write, err.write)
        try:
            for each in (out, err):
                each.follow()
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            said = [each.read_all() for each in (out, err)]
        return subprocess.CompletedProcess([what.program, *what.arguments], code, *said)

    def ask(self, what: Start | int, *fds: int) -> Any:
        """Start something and return its pid; or return the exit code of a pid."""
        with self._lock:
            socket.send_fds(self._socket, [pickle.dumps(what)], fds)
            answer = self._socket.recv(_MESSAGE_BYTES)
        assert answer, "the process that forks has ended"
        return pickle.loads(answer)

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


class _Pipe:
    """A pipe that is read while somebody writes."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe2(os.O_CLOEXEC)
        self._content = b""
        self._thread = threading.Thread(target=self._follow)

    def follow(self) -> None:
        os.close(self.write)
        self._thread.start()

    def _follow(self) -> None:
        with os.fdopen(self._read, "rb") as stream:
            self._content = stream.read()

    def read_all(self) -> str:
        self._thread.join()
        return self._content.decode().replace("\r\n", "\n")


_the_one: Forker | None = None


def at_hand() -> Forker | None:
    """Return the one that is there for all tests of this process, if there is one and nobody has ended it."""
    return _the_one if _the_one is not None and _the_one.goes_on else None


@contextlib.contextmanager
def a_forker() -> Iterator[Forker]:
    """Have one for all tests of this process."""
    global _the_one
    _the_one = Forker()
    try:
        yield _the_one
    finally:
        forker, _the_one = _the_one, None
        forker.close()


# In the process that forks


def answer(fd: int) -> None:
    """Answer requests until there are no more; in what was forked, be what was asked for."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # What all have in common is not looked at by each.
    asked = socket.socket(fileno=fd)
    while True:
        message, fds, _, _ = socket.recv_fds(asked, _MESSAGE_BYTES, 2)
        if not message:
            return
        what = pickle.loads(message)
        if isinstance(what, int):
            asked.send(pickle.dumps(_exit_code_of(what)))
            continue
        pid = os.fork()
        if pid == 0:
            asked.close()
            _be(what, *fds)
        for each in fds:
            os.close(each)
        asked.send(pickle.dumps(pid))


def _exit_code_of(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _be(what: Start, out: int, err: int) -> None:
    """Be what is to be started, and end with it."""
    for given, stream in ((out, 1), (err, 2)):
        os.dup2(given, stream)
        os.close(given)
    os.environ.clear()
    os.environ.update(what.environment)
    os.chdir(what.directory)
    sys.path[:2] = [what.directory]
    sys.argv[:] = [what.program, *what.arguments]
    for each, limit in what.limits.items():
        resource.setrlimit(each, limit)
    if what.network_of is not None:
        namespace = os.open(f"/proc/{what.network_of}/ns/net", os.O_RDONLY)
        namespaces.enter(namespace, LinuxNamespace.NETWORK)
        os.close(namespace)
    if what.program == _CODE:
        sys.argv[:] = ["-c"]
        sys.exit(exec(what.arguments[0], {"__name__": "__main__", "os": os, "sys": sys}))
    sys.exit(importlib.import_module(_PROGRAMS[what.program]).main())
