"""The logs of many runs of a job together: each line with the pod that wrote it, `[JOB-INDEX-ATTEMPT] LINE`.

A thread copies the log of each run that is followed. Invariant: lines of two runs are never mixed within a line.
"""

import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from api import kinds
from api.cli import finished, run_log
from api.cli.output import note
from api.cli.problems import CommandFailed
from api.cli.runs_seen import RunsSeen, is_gone
from api.client import Client, LogRequest, Selection
from api.client_transport import Unreachable
from api.client_watch import Watch
from api.errors import ApiError, NotFound
from api.meta import Document

MOST_FOLLOWED = 24
"""So many runs are followed at a time: each takes one of the server's places for those who do; others come after."""
_DONE = "done"


class Lines:
    """What writes whole lines of several logs, each with its prefix, to one output."""

    def __init__(self, write: run_log.Write) -> None:
        """Write with `write`."""
        self._write = write
        self._lock = threading.Lock()

    def of(self, pod: str) -> run_log.Copy:
        """Return the copy that one log goes to."""
        prefix = f"[{pod}] ".encode()
        return run_log.in_lines(lambda lines: self._put(b"".join(prefix + line + b"\n" for line in lines)))

    def _put(self, text: bytes) -> None:
        with self._lock:
            self._write(text)


def to_stdout() -> Lines:
    """Return lines that go to standard output."""
    return Lines(run_log.writer(sys.stdout.buffer))


def to_stderr() -> Lines:
    """Return lines that go to standard error."""
    return Lines(run_log.writer(sys.stderr.buffer))


def copy(client: Client, namespace: str, pod: str, request: LogRequest, output: run_log.Output) -> None:
    """Copy the log of one run to its end. Raises as `run_log.copy`."""
    out = output.of(pod)
    try:
        run_log.copy(client, namespace, pod, request, out)
    finally:
        out.end()


def show(client: Client, namespace: str, job: Document, request: LogRequest, output: run_log.Output) -> None:
    """Print the log of the last run of each index, or of each run where there are none."""
    runs = finished.last_of_each([run for run in finished.runs_of(job) if finished.has_begun(run)])
    if not runs:
        name, waiting = job["metadata"]["name"], finished.waiting_for(job) or "Pending"
        raise CommandFailed(f"job {name} has not run yet: {waiting}")
    for run in runs:
        try:
            copy(client, namespace, finished.pod_of(job, run), request, output)
        except NotFound:
            continue  # It ended before it wrote anything.


def follow(client: Client, namespace: str, job: Document, request: LogRequest, output: run_log.Output) -> None:
    """Print the logs of all runs on record, and of those to come, until the job has ended.

    Raises:
        CommandFailed: the job was deleted.
        ApiError, Unreachable: it cannot be followed any more.
    """
    name = job["metadata"]["name"]
    following = _Following(client, namespace, name, request, output)
    threading.Thread(target=following.watch, args=(name,), daemon=True).start()
    while not following.is_over:
        following.take()
    if missing := following.missing:
        note(f"job {name}: {missing}")


class _Following:
    """The threads around the runs of one job, and what they have to say."""

    def __init__(self, client: Client, namespace: str, name: str, request: LogRequest, output: run_log.Output) -> None:
        self._client, self._namespace, self._name = client, namespace, name
        self._request, self._output = replace(request, follow=True), output
        self._runs = RunsSeen(from_now=True)
        self._copied = 0
        self._job: Document | None = None
        self._messages: queue.SimpleQueue[tuple[str, Document | Exception | None]] = queue.SimpleQueue()

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, and all was copied."""
        ended = self._job is not None and finished.is_finished(self._job)
        return ended and not self._copied and not self._runs.are_waiting

    @property
    def missing(self) -> str:
        """Say whose output went away before it was copied."""
        return self._runs.missing()

    def take(self) -> None:
        """Wait for the next message and do what it asks for. Raises what broke."""
        what, value = self._messages.get()
        if isinstance(value, Exception):
            raise value
        if what == _DONE:
            self._copied -= 1
            self._begin()
        elif value is None:
            raise CommandFailed(f"job {what} was deleted")
        else:
            self.learn(value)

    def learn(self, job: Document) -> None:
        """Know the job as it is now: runs that have begun are followed."""
        self._job = job
        self._runs.learn(job)
        self._begin()

    def watch(self, name: str) -> None:
        """Tell of each change of the job, in a thread of its own, until it has ended."""
        try:
            for event in Watch(self._client, kinds.JOB, self._namespace, Selection(fields=f"metadata.name={name}")):
                self._messages.put((name, None if event.type == "DELETED" else event.document))
                if event.type == "DELETED" or finished.is_finished(event.document):
                    return
        except Exception as error:  # noqa: BLE001 - for `take` to raise
            self._messages.put((name, error))

    def _begin(self) -> None:
        while self._runs.are_waiting and self._copied < MOST_FOLLOWED:
            self._copied += 1
            threading.Thread(target=self._copier(*self._runs.take()), daemon=True).start()

    def _copier(self, attempt: int, pod: str) -> Callable[[], None]:
        def work() -> None:
            broken: Exception | None = None
            try:
                copy(self._client, self._namespace, pod, self._request, self._output)
            except NotFound:  # Or it ended before it wrote anything.
                if is_gone(self._client, self._namespace, self._name, attempt):
                    self._runs.lose(attempt)
            except (ApiError, Unreachable) as error:
                broken = error
            self._messages.put((_DONE, broken))

        return work
