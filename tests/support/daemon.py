"""A real runwrightd in a root of its own, and what tests ask of it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.client import Client, LogRequest
from api.client_transport import Address
from api.kinds import JOB, Kind
from api.meta import Document
from controller.launcher.client import LauncherClient
from examples.demo.stage import Stage

READY_SECONDS = 30


class Daemon(Stage):
    """The demo's stage, with a client."""

    def __init__(self) -> None:
        super().__init__()
        self.client = Client(Address.of_socket(self.socket), field_manager="tests")
        self._pause = threading.Event()

    def __exit__(self, *exc: Any) -> None:
        self.client.close()
        super().__exit__(*exc)

    def start(self) -> int:
        """Start it and wait until it is ready."""
        pid = self.start_daemon()
        self.until("the daemon is ready", self._is_ready, READY_SECONDS)
        return pid

    def _is_ready(self) -> bool:
        assert self.daemon_ended() is None, self.log.read_text()[-3000:]
        try:
            return "ok" in self.client.transport.text("/readyz")
        except Exception:
            return False

    def until(self, what: str, holds: Any, seconds: float = 30, every: float = 0.02) -> Any:
        """Return `holds()` once it is true; asking again and again is all that works across restarts."""
        for _ in range(int(seconds / every)):
            if found := holds():
                return found
            self._pause.wait(every)
        raise AssertionError(f"{what}: not within {seconds} s\n{self.log.read_text()[-3000:]}")

    def jobs(self) -> dict[str, Document]:
        """Return all jobs by name; none while the daemon is down."""
        try:
            return {item["metadata"]["name"]: item for item in self.client.list(JOB)["items"]}
        except Exception:
            return {}

    def ended(self, name: str, seconds: float = 60) -> Document:
        """Wait for a job's end; return its status."""

        def status() -> Document | None:
            found = self.get(JOB, name).get("status", {})
            return found if found.get("phase") in ("Succeeded", "Failed") else None

        result: Document = self.until(f"{name} ended", status, seconds)
        return result

    def get(self, kind: Kind, name: str) -> Document:
        """Return an object, or nothing."""
        try:
            return self.client.get(kind, "default" if kind.namespaced else "", name)
        except Exception:
            return {}

    def log_of(self, name: str, attempt: int = 1) -> str:
        """Return what a run printed."""
        with self.client.logs("default", f"{name}-{attempt}", LogRequest()) as chunks:
            return b"".join(chunks).decode()

    def kill_launcher(self) -> bool:
        """Kill the launcher, if there is one; return whether there was."""
        launcher = LauncherClient(
            self.root / "run/runwright/launcher.sock", self.root / "run/runwright/slots", self.root / "launcher.log"
        )
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


@contextmanager
def a_daemon() -> Iterator[Daemon]:
    """A daemon that is ready."""
    with Daemon() as daemon:
        daemon.start()
        yield daemon
