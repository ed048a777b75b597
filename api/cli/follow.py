"""Staying with a job until its end: its output is copied, its stop is asked for when we are stopped.

The main thread takes messages from a queue; one thread watches the job, two copy the run's stdout and
stderr. Invariant: however it ends, the job's output up to then was written, in order, once.
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from signal import SIGINT, SIGTERM, signal
from types import FrameType
from typing import Any

import click

from api import kinds
from api.cli import finished, run_log, waiting
from api.cli.output import note, printable
from api.cli.problems import INTERRUPTED, PIPE_CLOSED, CommandFailed
from api.cli.progress import InstallProgress
from api.cli.waiting import Wait
from api.client import Client, LogRequest, Selection
from api.client_transport import Unreachable
from api.client_watch import TimedOut, Watch
from api.errors import ApiError, NotFound
from api.meta import Document, wire_time

STOP_ANNOTATION = "runwright.dev/stop-requested"
_READ_AGAIN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Message:
    """What a thread has to say: a job, a runtime, the end of an output, or what broke."""

    about: str
    value: Any = None


def announce(job: Document) -> None:
    """Tell a person at a terminal which job it is and which limits hold."""
    if not sys.stderr.isatty():
        return
    spec = job["spec"]
    held = [
        f"{name} {value}" for name, value in spec.get("resources", {}).get("limits", {}).items() if value is not None
    ]
    held += [f"deadline {spec['activeDeadlineSeconds']:g}s"] if spec.get("activeDeadlineSeconds") else []
    note(click.style(f"job {job['metadata']['name']}: {', '.join(held) or 'no limits'}", dim=True))


def request_stop(client: Client, namespace: str, name: str) -> Document:
    """Ask for the job to be stopped: its run ends, it is not tried again, its record stays. Raises NotFound."""
    now = wire_time(datetime.now(UTC))
    return client.merge_patch(kinds.JOB, namespace, name, {"metadata": {"annotations": {STOP_ANNOTATION: now}}})


def attached(
    client: Client, namespace: str, name: str, *, quiet: bool = False, wait_seconds: float | None = None
) -> Document:
    """Copy the job's output until it has ended, and return it as it was then.

    An interrupt asks for the job's stop and goes on to its end, and so does a job that does not run within
    `wait_seconds`, unless it ends by itself before it is stopped; a further interrupt leaves it.

    Raises:
        CommandFailed: interrupted, or the job was deleted.
        TimedOut: it did not run in time, and was stopped.
        Unreachable, ApiError: it cannot be followed any more.
    """
    with InstallProgress() as progress:
        wait = Wait(time.monotonic(), wait_seconds)
        follower = _Follower(client, namespace, name, progress, wait, quiet=quiet)
        with follower.told_of_interrupts():
            try:
                job = follower.run()
            except _Interrupted:
                note(f"stopping job {name}; interrupt again to leave it to itself")
                _stop_and_follow(client, namespace, name, follower)
                raise CommandFailed(exit_code=INTERRUPTED) from None
            except TimedOut:
                wait.limit_seconds = None
                note(f"stopping job {name}, as it does not run; interrupt to leave it to itself")
                ended = _stop_and_follow(client, namespace, name, follower)
                if ended is None or finished.was_stopped(ended):
                    raise
                job = ended
            except BrokenPipeError:
                request_stop(client, namespace, name)
                raise CommandFailed(exit_code=PIPE_CLOSED) from None
    why = finished.why_failed(job)
    if why and not quiet:
        note(f"job {name}: {printable(why)}")
    return job


def exit_code(job: Document) -> int:
    """Return the exit code that an ended job gives to rnx."""
    return finished.exit_code(job)


class _Interrupted(Exception):
    """Somebody pressed Ctrl-C, or sent SIGTERM."""


def _stop_and_follow(client: Client, namespace: str, name: str, follower: "_Follower") -> Document | None:
    """Ask for the job's stop and return it as it ended; None if an interrupt came first."""
    request_stop(client, namespace, name)
    with contextlib.suppress(_Interrupted):
        return follower.run()
    return None


class _Follower:
    """The threads around one job and what they have said so far; `run` may be called again after an interrupt."""

    def __init__(
        self, client: Client, namespace: str, name: str, progress: InstallProgress, wait: Wait, *, quiet: bool
    ) -> None:
        self._client, self._namespace, self._name = client, namespace, name
        self._progress, self._wait, self._quiet = progress, wait, quiet
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._job: Document | None = None
        self._copied = 0
        self._copies: dict[str, run_log.Copy] = {}
        self._hurried: set[str] = set()
        self._on_terminal = sys.stderr.isatty()
        self._watches_runtimes = False
        self._start(self._watch_job)

    @contextmanager
    def told_of_interrupts(self) -> Iterator[None]:
        """Have Ctrl-C and SIGTERM come as messages: raised wherever we are, they could lose one that was just taken.

        SIGTERM does what Ctrl-C does, so that a job does not outlive whoever waits for it unasked.
        """

        def tell(_: int, __: FrameType | None) -> None:
            self._messages.put(_Message("interrupt", None))  # Reentrant, as the documentation of SimpleQueue says.

        before = {number: signal(number, tell) for number in (SIGINT, SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)

    def run(self) -> Document:
        """Take messages until the job has ended and its output was copied; return the job.

        Raises:
            TimedOut: it did not run in time.
        """
        while True:
            job = self._job
            if job is not None:
                self._copy_next_run(job)
                self._hurry(job)
                if finished.is_finished(job) and not self._copies:
                    return job
                self._show_waiting(job)
                self._give_up_in_time(job)
            with contextlib.suppress(queue.Empty):
                self._take(self._messages.get(timeout=self._wait.seconds_to(job, time.monotonic())))

    def _take(self, message: _Message) -> None:
        match message.about:
            case "job":
                if message.value is None:
                    raise CommandFailed(f"job {self._name} was deleted")
                self._job = message.value
            case "runtime":
                self._progress.show(message.value)
            case "output ended":
                stream, out = message.value
                if self._copies.get(stream) is out:
                    del self._copies[stream]
            case "broken":
                raise message.value
            case "interrupt":
                raise _Interrupted

    def _copy_next_run(self, job: Document) -> None:
        """Begin to copy the oldest run that was not copied yet, when the one before it is done."""
        fresh = [run for run in finished.runs_of(job) if run["attempt"] > self._copied and finished.has_begun(run)]
        if not fresh or self._copies:
            return
        self._copied = fresh[0]["attempt"]
        pod = finished.pod_of(job, fresh[0])
        self._hurried.clear()
        self._copies["stdout"] = run_log.to_stderr() if self._quiet else run_log.to_stdout()
        self._copies["stderr"] = run_log.to_stderr()
        for stream, out in self._copies.items():
            self._start(self._copier(pod, LogRequest(follow=True, stream=stream), out))

    def _hurry(self, job: Document) -> None:
        """When the run has ended, read what is left at once: who follows a log learns of its end a little later."""
        ended = [r for r in finished.runs_of(job) if r["attempt"] == self._copied and r.get("state") == "Ended"]
        for stream, out in self._copies.items():
            if ended and stream not in self._hurried and out.written < _READ_AGAIN_BYTES:
                self._hurried.add(stream)
                self._start(self._copier(finished.pod_of(job, ended[0]), LogRequest(stream=stream), out))

    def _copier(self, pod: str, request: LogRequest, out: run_log.Copy) -> Callable[[], None]:
        def copy() -> None:
            try:
                run_log.copy(self._client, self._namespace, pod, request, out)
            except NotFound:
                pass  # The run ended before it wrote anything.
            finally:
                self._messages.put(_Message("output ended", (request.stream, out)))

        return copy

    def _watch_job(self) -> None:
        watch = Watch(self._client, kinds.JOB, self._namespace, Selection(fields=f"metadata.name={self._name}"))
        for event in watch:
            self._messages.put(_Message("job", None if event.type == "DELETED" else event.document))
            if event.type == "DELETED" or finished.is_finished(event.document):
                return

    def _watch_runtimes(self) -> None:
        for event in Watch(self._client, kinds.RUNTIME, None):
            if event.type != "DELETED":
                self._messages.put(_Message("runtime", event.document))

    def _show_waiting(self, job: Document) -> None:
        """Say why the job does not run: all of it at a terminal, elsewhere only what a person must know of."""
        why = self._wait.is_news(job, time.monotonic(), all_of_it=self._on_terminal)
        if not why:
            return
        if self._on_terminal and not self._watches_runtimes and job["spec"].get("runtime"):
            self._watches_runtimes = True
            self._start(self._watch_runtimes)
        hint = waiting.what_to_do(job, self._runtime_of(job))
        said = f"job {self._name}: {printable(why)}{': ' if hint else ''}{hint}"
        note(click.style(said, dim=True))

    def _runtime_of(self, job: Document) -> Document | None:
        name = waiting.runtime_of(job)
        try:
            return self._client.get(kinds.RUNTIME, "", name) if name else None
        except (ApiError, Unreachable):
            return None

    def _give_up_in_time(self, job: Document) -> None:
        if self._wait.is_over(job, time.monotonic()):
            why = finished.waiting_for(job) or "its status is not known yet"
            raise TimedOut(f"timed out waiting for job {self._name} to run: {printable(why)}: it was stopped")

    def _start(self, work: Callable[[], None]) -> None:
        def body() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - for `run` to raise; after its end it is only that all is closed
                self._messages.put(_Message("broken", error))

        threading.Thread(target=body, daemon=True).start()
