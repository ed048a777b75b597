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
from api.cli import finished, many_logs, run_log, streaming, waiting
from api.cli.output import note, printable
from api.cli.problems import INTERRUPTED, PIPE_CLOSED, CommandFailed
from api.cli.progress import InstallProgress
from api.cli.runs_seen import RunsSeen, is_gone
from api.cli.waiting import Wait
from api.client import Client, LogRequest, Selection
from api.client_paths import field_selector
from api.client_transport import Unreachable
from api.client_watch import TimedOut, Watch, wait_for
from api.errors import ApiError, BadRequest, NotFound
from api.meta import Document, wire_time

STOP_ANNOTATION = "runwright.dev/stop-requested"
_READ_AGAIN_BYTES = 1 << 20
_TOLD_SECONDS = 10.0
_STREAMS = ("stdout", "stderr")


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
    client: Client, namespace: str, name: str, *, quiet: bool = False, wait_seconds: float | None = None,
    takes_input: bool = False,
) -> Document:  # fmt: skip
    """Copy the job's output until it has ended, and its input if it takes any; return it as it was then.

    An interrupt asks for the job's stop and goes on to its end, and so does a job that does not run within
    `wait_seconds`, unless it ends by itself before it is stopped; a further interrupt leaves it.

    Raises:
        CommandFailed: interrupted, or the job was deleted; it cannot run on this host, and was stopped.
        TimedOut: it did not run in time, and was stopped.
        Unreachable, ApiError: it cannot be followed any more.
    """
    with InstallProgress() as progress:
        wait = Wait(time.monotonic(), wait_seconds)
        follower = _Follower(client, namespace, name, progress, wait, quiet=quiet, takes_input=takes_input)
        with follower.told_of_interrupts():
            try:
                job = follower.run()
            except _Interrupted:
                note(f"stopping job {name}; interrupt again to leave it to itself")
                _stop_and_follow(client, namespace, name, follower)
                raise CommandFailed(exit_code=INTERRUPTED) from None
            except (TimedOut, _InVain):
                wait.limit_seconds, wait.has_given_up = None, True
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


class _InVain(CommandFailed):
    """The job waits for what cannot come on this host."""


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
        self, client: Client, namespace: str, name: str, progress: InstallProgress, wait: Wait, *, quiet: bool,
        takes_input: bool = False,
    ) -> None:  # fmt: skip
        self._client, self._namespace, self._name = client, namespace, name
        self._progress, self._wait, self._quiet = progress, wait, quiet
        self._takes_input = takes_input
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._job: Document | None = None
        self._runs = RunsSeen()
        self._copies: dict[tuple[int, str], run_log.Copy] = {}
        self._hurried: set[tuple[int, str]] = set()
        self._stdout, self._stderr = many_logs.to_stdout(), many_logs.to_stderr()
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
            _InVain: it cannot run on this host.
        """
        while True:
            job = self._job
            if job is not None:
                self._copy_next_run(job)
                self._hurry(job)
                if finished.is_finished(job) and not self._copies:
                    self._tell_what_is_missing()
                    return job
                self._give_up_in_time(job)
                self._show_waiting(job)
            with contextlib.suppress(queue.Empty):
                self._take(self._messages.get(timeout=self._wait.seconds_to(job, time.monotonic())))

    def _take(self, message: _Message) -> None:
        match message.about:
            case "job":
                if message.value is None:
                    raise CommandFailed(f"job {self._name} was deleted")
                self._job = message.value
                self._runs.learn(message.value)
            case "lost":
                self._runs.lose(message.value)
            case "runtime":
                self._progress.show(message.value)
            case "output ended":
                place, out = message.value
                if self._copies.get(place) is out:
                    self._copies.pop(place).end()
            case "broken":
                raise message.value
            case "interrupt":
                raise _Interrupted

    def _copy_next_run(self, job: Document) -> None:
        """Begin to copy the oldest run that was not copied yet, when the one before it is done; of many, each."""
        many = finished.has_many_runs(job)
        while self._runs.are_waiting and len(self._copies) < (many_logs.MOST_FOLLOWED if many else 1):
            self._copy(*self._runs.take(), many=many)

    def _copy(self, attempt: int, pod: str, *, many: bool) -> None:
        outs = self._lines(pod) if many else self._outputs()
        for stream, out in zip(_STREAMS, outs, strict=True):
            self._copies[attempt, stream] = out
            request = LogRequest(follow=True, stream=stream, whole=_is_to_be_whole(stream))
            self._start(self._copier(pod, request, (attempt, stream), out))
        if self._takes_input:
            self._start(lambda: self._feed(pod))

    def _outputs(self) -> tuple[run_log.Copy, run_log.Copy]:
        return run_log.to_stderr() if self._quiet else run_log.to_stdout(), run_log.to_stderr()

    def _lines(self, pod: str) -> tuple[run_log.Copy, run_log.Copy]:
        return (self._stderr if self._quiet else self._stdout).of(pod), self._stderr.of(pod)

    def _feed(self, pod: str) -> None:
        """Pass our input on to a run. One that ends before it has read all leaves the rest to the next."""
        try:
            stream = self._client.attach(self._namespace, pod, takes_input=True, shows=False)
        except (BadRequest, NotFound):
            if self._ends_soon(pod):
                return
            raise
        with stream:
            try:
                streaming.feed(stream)
            except Unreachable as error:
                goes_on = f"it goes on: rnx attach -i {self._name} gives it more, rnx job stop {self._name} ends it"
                why = f"cannot tell what of standard input job {self._name} was given: {error}: {goes_on}"
                raise CommandFailed(why) from error

    def _ends_soon(self, pod: str) -> bool:
        """Whether a run has ended; that it has is told a little later."""

        def is_over(job: Document | None) -> bool:
            runs = [] if job is None else [run for run in finished.runs_of(job) if finished.pod_of(job, run) == pod]
            return all(run.get("state") == "Ended" for run in runs)

        try:
            wait_for(self._client, kinds.JOB, self._namespace, self._name, until=is_over, timeout_seconds=_TOLD_SECONDS)
        except TimedOut:
            return False
        return True

    def _hurry(self, job: Document) -> None:
        """When a run has ended, read what is left at once: who follows a log learns of its end a little later."""
        ended = {run["attempt"]: run for run in finished.runs_of(job) if run.get("state") == "Ended"}
        for place, out in self._copies.items():
            attempt, stream = place
            if attempt in ended and place not in self._hurried and out.written < _READ_AGAIN_BYTES:
                self._hurried.add(place)
                request = LogRequest(stream=stream, whole=_is_to_be_whole(stream))
                self._start(self._copier(finished.pod_of(job, ended[attempt]), request, place, out))

    def _copier(
        self, pod: str, request: LogRequest, place: tuple[int, str], out: run_log.Copy
    ) -> Callable[[], None]:  # fmt: skip
        def copy() -> None:
            try:
                run_log.copy(self._client, self._namespace, pod, request, out)
            except NotFound:  # Or the run ended before it wrote anything.
                if is_gone(self._client, self._namespace, self._name, place[0]):
                    self._messages.put(_Message("lost", place[0]))
            except (ApiError, Unreachable) as error:
                self._messages.put(
                    _Message("broken", error)
                )  # Before the end, which may be the last that is waited for.
            finally:
                self._messages.put(_Message("output ended", (place, out)))

        return copy

    def _tell_what_is_missing(self) -> None:
        """Raises CommandFailed where somebody counts on all of it."""
        missing = self._runs.missing()
        if missing and not sys.stdout.isatty():
            raise CommandFailed(f"cannot give all of the output of job {self._name}: {missing}")
        if missing:
            note(f"job {self._name}: {missing}")

    def _watch_job(self) -> None:
        watch = Watch(self._client, kinds.JOB, self._namespace, Selection(fields=field_selector(kinds.JOB, self._name)))
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
        if self._wait.is_in_vain(job, time.monotonic()):
            hint = waiting.what_to_do(job, self._runtime_of(job)) or f"rnx explain job/{self._name} says more"
            self._wait.told = finished.waiting_for(job)
            why = f"cannot run job {self._name}: {printable(self._wait.told)}: {hint}"
            raise _InVain(why, exit_code=finished.NEVER_RAN_EXIT)

    def _start(self, work: Callable[[], None]) -> None:
        def body() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - for `run` to raise; after its end it is only that all is closed
                self._messages.put(_Message("broken", error))

        threading.Thread(target=body, daemon=True).start()


def _is_to_be_whole(stream: str) -> bool:
    """Whether somebody counts on each byte: not on a terminal; anything else gets all of it, or is told."""
    return stream == "stdout" and not sys.stdout.isatty()
