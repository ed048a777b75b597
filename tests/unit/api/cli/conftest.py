"""`rnx` against the real API on a unix socket: one server for a module, emptied after each test."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.cli.main import run
from support.api_server import LiveApi, a_live_api


@dataclass(frozen=True)
class Said:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Rnx = Callable[..., Said]


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def live(live_server: LiveApi) -> Iterator[LiveApi]:
    yield live_server
    live_server.clear()


@pytest.fixture
def rnx(live, capfdbinary, monkeypatch) -> Rnx:
    """Run `rnx` in this process, pointed at `live` as a person would: by $RUNWRIGHT_ROOT."""
    monkeypatch.setenv("RUNWRIGHT_ROOT", str(live.directory))
    monkeypatch.delenv("RUNWRIGHT_SERVER", raising=False)

    def call(*arguments: str) -> Said:
        capfdbinary.readouterr()
        code = run(list(arguments))
        out, err = capfdbinary.readouterr()
        return Said(code, out.decode(), err.decode())

    return call


class Started:
    """`rnx` as a process of its own."""

    def __init__(self, live: LiveApi, *arguments: str, directory: Path | None = None) -> None:
        project = Path(__file__).parents[4]
        environment = os.environ | {"RUNWRIGHT_ROOT": str(live.directory), "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = str(project)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=directory or project,
        )  # fmt: skip

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def error_line(self) -> str:
        """Return the next line that it says on stderr."""
        assert self._process.stderr is not None
        return self._process.stderr.readline()

    def stop_reading(self) -> None:
        """Close our end of its output, as `head` does."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def await_its_first_child(self) -> None:
        """Return when the first of the processes that it has begun, and still has, has ended."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        child = os.pidfd_open(int(children[0]))
        try:
            assert select.select([child], [], [], 30)[0]
        finally:
            os.close(child)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self._process.send_signal(number)

    def ended(self) -> Said:
        """Return what it said since the last line, when it has ended."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        out = "" if stdout.closed else stdout.read()
        return Said(self._process.wait(30), out, stderr.read())

    def interrupted(self) -> Said:
        """Interrupt it, as Ctrl-C does, and return what it said since."""
        self.interrupt()
        return self.ended()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def started(live) -> Iterator[Callable[..., Started]]:
    running: list[Started] = []

    def start(*arguments: str, directory: Path | None = None) -> Started:
        running.append(Started(live, *arguments, directory=directory))
        return running[-1]

    yield start
    for process in running:
        process.close()
