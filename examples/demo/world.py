"""What the demo sees: every object as the API tells of it, and waiting until something is so."""

import threading
import time
from collections.abc import Callable
from typing import Any

from api.client import Client, LogRequest
from api.client_watch import Watch
from api.kinds import JOB, RUNTIME, Kind
from api.meta import Document


class Failure(Exception):
    """Something that the demo shows did not happen."""


class World:
    """The objects of the demo's daemon, kept up to date by watches that outlive the daemon's restarts."""

    def __init__(self, client: Client) -> None:
        """Watch jobs and runtimes."""
        self._client = client
        self._objects: dict[tuple[str, str], Document] = {}
        self._changed = threading.Condition()
        for kind, namespace in ((JOB, "default"), (RUNTIME, "")):
            threading.Thread(target=self._follow, args=(kind, namespace), daemon=True).start()

    def _follow(self, kind: Kind, namespace: str) -> None:
        for event in Watch(self._client, kind, namespace):
            name = event.document["metadata"]["name"]
            with self._changed:
                if event.type == "DELETED":
                    self._objects.pop((kind.name, name), None)
                else:
                    self._objects[kind.name, name] = event.document
                self._changed.notify_all()

    def until(self, what: str, holds: Callable[["World"], Any], seconds: float = 30) -> Any:
        """Wait until `holds(world)` is true and return it.

        Raises:
            Failure: it did not become true in time; the message says what it was.
        """
        give_up = time.monotonic() + seconds
        with self._changed:
            while True:
                if found := holds(self):
                    return found
                left = give_up - time.monotonic()
                if left <= 0:
                    raise Failure(f"{what}: not within {seconds:g} s; jobs are {self.summary()}")
                self._changed.wait(min(left, 0.5))

    def job(self, name: str) -> Document:
        """Return a job, or nothing."""
        return self._objects.get((JOB.name, name), {})

    def runtime(self, name: str) -> Document:
        """Return a runtime, or nothing."""
        return self._objects.get((RUNTIME.name, name), {})

    def status(self, name: str) -> Document:
        """Return a job's status."""
        status: Document = self.job(name).get("status", {})
        return status

    def ended(self, name: str) -> Document | None:
        """Return a job's status if it has ended."""
        status = self.status(name)
        return status if status.get("phase") in ("Succeeded", "Failed") else None

    def last_run(self, name: str) -> Document:
        """Return a job's last run."""
        runs = self.status(name).get("runs") or [{}]
        run: Document = runs[-1]
        return run

    def log(self, name: str, attempt: int | None = None) -> str:
        """Return what a job's run printed."""
        number = attempt or self.last_run(name).get("attempt", 1)
        with self._client.logs("default", f"{name}-{number}", LogRequest()) as chunks:
            return b"".join(chunks).decode()

    def summary(self) -> str:
        """Return every job's phase and reason, for messages."""
        jobs = {name: doc.get("status", {}) for (kind, name), doc in self._objects.items() if kind == JOB.name}
        return ", ".join(
            f"{name} {status.get('phase', '?')}/{status.get('reason', '?')}" for name, status in jobs.items()
        )
