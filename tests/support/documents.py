"""The documents' own commands, typed into a shell as they stand there, and the example runtimes that they are run in."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from api import conditions
from api.conditions import Condition
from api.kinds import RUNTIME
from api.meta import Document
from support import host
from support.daemon import RNX, Daemon, a_daemon
from support.networked import NetworkedDaemon

EXAMPLES = Path(__file__).parents[2] / "examples/runtimes"
BUILD_SECONDS = 900
COMMAND_SECONDS = 300
INTERRUPTED = 130


class DocumentsDaemon(NetworkedDaemon):
    """A daemon that builds in the network of the machine, and then runs jobs in a network of the test's own."""

    _builds = False

    def _command(self) -> list[str]:
        return Daemon._command(self) if self._builds else super()._command()

    def _network_of(self) -> int | None:
        return None if self._builds else super()._network_of()

    def start_with(self, *examples: str) -> None:
        """Build these examples, then start it in its network."""
        self._builds = True
        self.start()
        try:
            for example in examples:
                build(self, example)
        finally:
            self.stop_daemon()
            self._builds = False
        self.kill_launcher()  # It outlives its daemon, and is in the machine's network.
        self.start()


@contextmanager
def a_daemon_with(example: str, name: str = "") -> Iterator[Daemon]:
    """A daemon that has built this example; afterwards the host is as it was."""
    before = host.snapshot()
    with a_daemon("runtime.default_registry=") as daemon:
        build(daemon, example, name)
        yield daemon
    host.assert_as_before(before)


def build(daemon: Daemon, example: str, name: str = "") -> str:
    """Build an example, called `name` if that is given, and wait until it is ready; return what it is called.

    A manifest is applied, and a recipe, which is a directory, given to `rnx runtime build`.
    """
    path = EXAMPLES / example
    if path.is_dir():
        argv = [str(RNX), "--root", str(daemon.root), "runtime", "build", str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return example
    document = yaml.safe_load(path.with_suffix(".yaml").read_text())
    name = name or str(document["metadata"]["name"])
    document["metadata"]["name"] = name
    applied = daemon.rnx("apply", "-f", "-", stdin=yaml.safe_dump(document))
    assert applied.returncode == 0, applied.stderr

    def settled() -> Document | None:
        status = daemon.get(RUNTIME, name).get("status", {})
        found = [Condition.model_validate(each) for each in status.get("conditions", ())]
        ready = conditions.find(found, "Ready")
        if ready is not None and ready.reason in ("BuildFailed", "Unhealthy"):
            raise AssertionError(ready.message)
        return status if ready is not None and ready.status == "True" else None

    daemon.until(f"{name} is built", settled, BUILD_SECONDS, every=0.2)
    return name


def typed(daemon: Daemon, directory: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Type a command of the documents into a shell in `directory`, whose `rnx` speaks to this daemon."""
    return subprocess.run(
        ["bash", "-c", command], cwd=directory, env=_environment(daemon), capture_output=True, text=True,
        timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip


def printed(daemon: Daemon, directory: Path, command: str) -> str:
    """Type a command of the documents; return what it printed, after it has ended well."""
    done = typed(daemon, directory, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def going_on(daemon: Daemon, directory: Path, command: str, says: str) -> Iterator[str]:
    """Type a command that does not end; give its job's name once it has said `says`, and interrupt it in the end."""
    before = set(daemon.jobs())
    started = subprocess.Popen(
        ["bash", "-c", command], cwd=directory, env=_environment(daemon), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    said: list[str] = []
    assert started.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(iter(started.stdout.readline, "")))  # type: ignore[union-attr]
    reader.start()
    try:
        [name] = daemon.until("its job is there", lambda: set(daemon.jobs()) - before or ended(started, said))
        daemon.until(f"it says {says}", lambda: says in "".join(said) or ended(started, said), COMMAND_SECONDS)
        yield name
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGINT)  # As a terminal does at Ctrl-C.
        code = started.wait(COMMAND_SECONDS)
        reader.join()
        started.stdout.close()
    assert code in (INTERRUPTED, -signal.SIGINT), "".join(said)


def ended(process: subprocess.Popen[str], said: list[str]) -> bool:
    """Fail if a process that is to go on has ended."""
    assert process.poll() is None, "".join(said)
    return False


def _environment(daemon: Daemon) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{RNX.parent}:{os.environ['PATH']}",
        "RUNWRIGHT_ROOT": str(daemon.root),
        "NO_COLOR": "1",
    }
