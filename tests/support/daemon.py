"""A real runwrightd in a root of its own, and what tests ask of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.client import Client, LogRequest
from api.client_transport import Address, Unreachable
from api.errors import ApiError
from api.kinds import EVENT, JOB, MANIFEST, Kind
from api.meta import API_VERSION, Document
from controller.cgroup import choose
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.launcher.client import LauncherClient
from examples.demo.stage import Stage
from support import forked
from support.forked import Forker, Start

READY_SECONDS = 30
RNX = Path(sys.executable).with_name("rnx")
_DOWN = (ApiError, Unreachable)


class Daemon(Stage):
    """The demo's stage, with a client. `settings` are given to the daemon as `--set`."""

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self.settings = settings
        self.may_be_forked = True
        self.client = Client(Address.of_socket(self.socket), field_manager="tests")
        self._pause = threading.Event()

    def __exit__(self, *exc: Any) -> None:
        self.client.close()
        super().__exit__(*exc)

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), *(word for setting in self.settings for word in ("--set", setting))]

    def _network_of(self) -> int | None:
        """The process in whose network it is to be; None for the test's own."""
        return None

    def start_daemon(self) -> int:
        """Start it, by its command line or forked where that is at hand; return its pid."""
        if (forker := self._forker()) is None:
            return super().start_daemon()
        with self.log.open("ab") as log:
            self._daemon = forker.start(self._start(), log.fileno(), log.fileno())
        return self._daemon.pid

    def _clean(self) -> None:
        if (forker := self._forker()) is None:
            super()._clean()
        else:  # Whether all is gone is seen by who looks at the host.
            forker.run(self._start("--clean"), READY_SECONDS)

    def _forker(self) -> Forker | None:
        return forked.at_hand() if self.may_be_forked else None

    def _start(self, *arguments: str) -> Start:
        return Start("runwrightd", (*self._arguments(), *arguments), self._network_of())

    def start(self) -> int:
        """Start it and wait until it is ready."""
        pid = self.start_daemon()
        self.until("the daemon is ready", self._is_ready, READY_SECONDS)
        return pid

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._daemon is not None
        return self._daemon.pid

    def wait_daemon(self) -> int:
        """Wait until the daemon has ended; return its exit code."""
        assert self._daemon is not None
        return self._daemon.wait(READY_SECONDS)

    def _is_ready(self) -> bool:
        assert self.daemon_ended() is None, self.log.read_text()[-3000:]
        try:
            return self._listens() and "ok" in self.client.transport.text("/readyz")
        except _DOWN:
            return False

    def _listens(self) -> bool:
        """Whether somebody does; asked apart, as httpcore leaves refused sockets to the garbage collector."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def until(self, what: str, holds: Callable[[], Any], seconds: float = 30, every: float = 0.02) -> Any:
        """Return `holds()` once it is true; asking again and again is all that works across restarts."""
        for _ in range(int(seconds / every)):
            if found := holds():
                return found
            self._pause.wait(every)
        raise AssertionError(f"{what}: not within {seconds} s\n{self.log.read_text()[-3000:]}")

    def run_daemon(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `runwrightd` of this root with more arguments until it ends."""
        if (forker := self._forker()) is not None:
            return forker.run(self._start(*arguments), 60)
        command = [*self._command(), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def rnx(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line against this daemon."""
        command = [str(RNX), "--root", str(self.root), *arguments]
        if stdin is None and (forker := self._forker()) is not None:
            return forker.run(Start("rnx", command[1:]), 60)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    # Objects

    def apply(self, name: str, /, *, annotations: dict[str, str] | None = None, **spec: Any) -> Document:
        """Apply a job; `spec` as in a manifest, with `backoffLimit` 0 unless it says otherwise."""
        document = a_manifest(name, annotations=annotations, **{"backoffLimit": 0, **spec})
        return self.client.apply(JOB, "default", document).document

    def shell(self, name: str, script: str, /, **spec: Any) -> Document:
        """Apply a job that runs a shell script."""
        return self.apply(name, command=["sh", "-c", script], **spec)

    def patch(self, name: str, **spec: Any) -> Document:
        """Change fields of a job's spec."""
        return self.client.merge_patch(JOB, "default", name, {"spec": spec})

    def delete(self, name: str, **options: Any) -> None:
        """Ask for a job's deletion."""
        self.client.delete(JOB, "default", name, **options)

    def stop(self, name: str) -> None:
        """Ask for a job to be stopped and kept, as `rnx job stop` does."""
        patch = {"metadata": {"annotations": {"runwright.dev/stop-requested": "now"}}}
        self.client.merge_patch(JOB, "default", name, patch)

    def jobs(self) -> dict[str, Document]:
        """Return all jobs by name; none while the daemon is down."""
        try:
            items = self.client.list(JOB)["items"] if self._listens() else ()
            return {item["metadata"]["name"]: item for item in items}
        except _DOWN:
            return {}

    def get(self, kind: Kind, name: str) -> Document:
        """Return an object, or nothing."""
        try:
            return self.client.get(kind, "default" if kind.namespaced else "", name) if self._listens() else {}
        except _DOWN:
            return {}

    def status(self, name: str) -> Document:
        """Return a job's status, or nothing."""
        found: Document = self.get(JOB, name).get("status", {})
        return found

    def ended(self, name: str, seconds: float = 60) -> Document:
        """Wait for a job's end; return its status."""

        def ended() -> Document | None:
            found = self.status(name)
            return found if found.get("phase") in ("Succeeded", "Failed") else None

        result: Document = self.until(f"{name} ended", ended, seconds)
        return result

    def running(self, name: str, attempt: int = 1) -> Document:
        """Wait until a run of a job is running; return it."""

        def running() -> Document | None:
            runs = self.status(name).get("runs", ())
            found = next((run for run in runs if run["attempt"] == attempt), None)
            assert found is None or found["state"] != "Ended", found
            return found if found and found["state"] == "Running" else None

        run: Document = self.until(f"{name}-{attempt} runs", running)
        return run

    def running_or_ended(self, name: str, attempt: int = 1) -> Document:
        """Wait until a run of a job has a log; return it. One that was over before anybody saw it running has no pid."""

        def started() -> Document | None:
            found = next((run for run in self.status(name).get("runs", ()) if run["attempt"] == attempt), None)
            return found if found and ("pid" in found or found["state"] == "Ended") else None

        run: Document = self.until(f"{name}-{attempt} started", started)
        return run

    def printed(self, name: str, text: str, attempt: int = 1) -> str:
        """Wait until a run has printed `text`, and its job tells of it as started; return its whole log."""
        self.running_or_ended(name, attempt)  # Which comes a moment after its first words.
        found: str = self.until(
            f"{name}-{attempt} printed {text!r}",
            lambda: text in (log := self.log_so_far(name, attempt)) and log,
        )
        return found

    def gone(self, name: str, seconds: float = 30) -> None:
        """Wait until there is no such job."""
        self.until(f"{name} is gone", lambda: name not in self.jobs(), seconds)

    def reports(self) -> list[Document]:
        """Return what became of every manifest."""
        items: list[Document] = self.client.list(MANIFEST)["items"]
        return items

    def report_of(self, file: str, state: str, seconds: float = 15) -> Document:
        """Wait until a manifest is in this state; return its report."""

        def reported() -> Document | None:
            return next((item for item in self.reports() if (item["file"], item["state"]) == (file, state)), None)

        found: Document = self.until(f"{file} is {state}", reported, seconds)
        return found

    def events(self, name: str) -> list[Document]:
        """Return the events about an object."""
        items = self.client.list(EVENT)["items"]
        return [item for item in items if item["involvedObject"]["name"] == name]

    # What runs leave

    def log_of(self, name: str, attempt: int = 1, **request: Any) -> str:
        """Return what a run printed."""
        return self.log_bytes(name, attempt, **request).decode()

    def log_bytes(self, name: str, attempt: int = 1, **request: Any) -> bytes:
        """Return what a run printed, byte for byte."""
        with self.client.logs("default", f"{name}-{attempt}", LogRequest(**request)) as chunks:
            return b"".join(chunks)

    @contextmanager
    def follow(self, name: str, attempt: int = 1) -> Iterator[Iterator[bytes]]:
        """Give the log of a run as it comes."""
        with self.client.logs("default", f"{name}-{attempt}", LogRequest(follow=True)) as chunks:
            yield chunks

    def log_so_far(self, name: str, attempt: int = 1) -> str:
        """Return what a run printed; nothing if it has not started."""
        try:
            return self.log_of(name, attempt)
        except ApiError:
            return ""

    def run_dir(self, job: Document, attempt: int = 1) -> Path:
        """Where the records of a run are."""
        return self.root / "var/lib/runwright/runs" / job["metadata"]["uid"] / str(attempt)

    def log_dir(self, job: Document, attempt: int = 1) -> Path:
        """Where the log files of a run are."""
        meta = job["metadata"]
        name = f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return self.root / "var/log/runwright/jobs" / name / str(attempt)

    def cgroups_of(self, job: Document, attempt: int = 1) -> dict[str, Path]:
        """The cgroups of a run that there are, by controller."""
        found = {}
        for controller, mount in choose.hierarchies_of_host().mounts.items():
            path = Path(mount) / self.cgroup_parent() / f"{job['metadata']['uid']}-{attempt}"
            if path.is_dir():
                found[controller] = path
        return found

    def cgroup_parent(self) -> str:
        """The name of the cgroup that all runs of this root are in."""
        return Paths.of(self.root, Settings()).cgroup_parent(Settings())

    # Metrics

    def metrics(self) -> str:
        """Return the exposition."""
        return self.client.transport.text("/metrics")

    def metric(self, name: str, /, **labels: str) -> float | None:
        """Return one sample's value; None if there is no such sample."""
        return sample(self.metrics(), name, **labels)

    def kill_launcher(self) -> bool:
        """Kill the launcher, if there is one; return whether there was."""
        paths = Paths.of(self.root, Settings())
        launcher = LauncherClient(paths.launcher_socket, paths.launcher_dir, paths.launcher_log)
        try:
            pid = launcher.ping()
        except OSError:
            return False
        finally:
            launcher.close()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def a_free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def sample(exposition: str, name: str, /, **labels: str) -> float | None:
    """Return the value of the one sample with this name and these labels among its own."""
    found = []
    for line in exposition.splitlines():
        match = re.fullmatch(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)", line)
        if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
            found.append(float(match[2]))
    assert len(found) < 2, f"{len(found)} samples of {name} with {labels}"
    return found[0] if found else None


def a_manifest(name: str, /, *, annotations: dict[str, str] | None = None, **spec: Any) -> Document:
    """A Job as a manifest has it, as data."""
    metadata: Document = {"name": name, "namespace": "default"}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata, "spec": {"command": ["true"], **spec}}


@contextmanager
def a_daemon(*settings: str) -> Iterator[Daemon]:
    """A daemon that is ready."""
    with Daemon(*settings) as daemon:
        daemon.start()
        yield daemon
