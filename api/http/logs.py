"""`pods/NAME/log`: the output of a run, as bytes or as events, while it comes or afterwards."""

import contextlib
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from api.errors import BadRequest, Expired, NotFound, TooManyRequests
from api.http import answers, log_events, requests, runs
from api.http.feed import Threads
from api.kinds import POD
from api.meta import Document, read_time
from api.objects import admission
from api.objects.projections import Pods
from api.ports import LogOptions, RunLogs
from api.types.pod import CONTAINER_NAME

_LONGEST_AGO_SECONDS = 10**9  # Thirty years: of more, there is no such year.
_STREAMS = {"": None, "All": None, "Stdout": "stdout", "Stderr": "stderr"}


class PodLogs:
    """Answers the requests for logs."""

    def __init__(self, pods: Pods, logs: RunLogs, threads: Threads, follow_threads: Threads) -> None:
        """Read `logs`; those who follow one hold one of `follow_threads` while they wait."""
        self._pods = pods
        self._logs = logs
        self._threads = threads
        self._follow_threads = follow_threads

    async def answer(self, request: Request, namespace: str, name: str) -> Response:
        """Answer a request for the log of a run.

        Raises:
            NotFound: there is no such run, or it left no log.
            BadRequest: it has not started, or an option cannot be read.
            TooManyRequests: too many follow logs already.
        """
        options = _options(request)
        job, attempt = await self._threads.call(runs.run_of, self._pods, request, namespace, name)
        if requests.is_set(request, "previous"):
            raise BadRequest(f'previous terminated container "{CONTAINER_NAME}" in pod "{name}" not found')
        if self._follow_threads.are_busy:
            raise busy()
        stopped = threading.Event()
        if log_events.are_wanted(request):
            return await self._events(request, (namespace, name), (job, attempt), options, stopped)
        chunks = self._logs.read(job, attempt, options, stopped.is_set)
        first = await self._follow_threads.call(next, chunks, None)
        return answers.Stream(streamed(self._follow_threads, first, chunks, stopped), "text/plain")

    async def _events(
        self,
        request: Request,
        pod: tuple[str, str],
        run: tuple[Document, int],
        options: LogOptions,
        stopped: threading.Event,
    ) -> Response:
        after = log_events.last_id(request)
        if after == log_events.END_ID:
            return log_events.nothing_more()
        if options.limit_bytes is not None:
            raise BadRequest("cannot end a log of events after limitBytes: leave it out, or read the log as text")
        if options.cri:
            raise BadRequest("cannot tell events as CRI: leave cri out, or read the log as text")
        options = replace(options, follow=options.follow or log_events.follows(request))
        records = await self._follow_threads.call(self._logs.records, *run, options, after, stopped.is_set)
        telling = log_events.Telling(records, options.timestamps, stopped, lambda: self._pod_of(run, *pod))
        return await log_events.answer(self._follow_threads, telling)

    def _pod_of(self, run: tuple[Document, int], namespace: str, name: str) -> Document:
        """Return the pod of this very run. Raises NotFound: its job was deleted, whatever has its name now."""
        pod, (job, _) = self._pods.get(namespace, name), run
        if pod["metadata"]["ownerReferences"][0]["uid"] != job["metadata"]["uid"]:
            raise NotFound.of(admission.about(POD, name))
        return pod


async def streamed(
    threads: Threads, first: bytes | None, chunks: Iterator[bytes], stopped: threading.Event
) -> AsyncGenerator[bytes, None]:
    """Yield `first` and the rest of `chunks`, read in `threads`; at the end, `stopped` is set and they are closed."""
    chunk = first
    try:
        while chunk is not None:
            yield chunk
            chunk = await threads.call(next, chunks, None)
    except Expired as error:
        raise answers.CutShort from error
    finally:
        stopped.set()
        _close(chunks)


def _close(chunks: Iterator[bytes]) -> None:
    """Let go of what a reader holds; one that is still reading sees that it is to stop, and does so itself."""
    if isinstance(chunks, Generator):
        with contextlib.suppress(ValueError):  # It is being executed.
            chunks.close()


def busy() -> TooManyRequests:
    """Return the refusal of one more who follows a log."""
    error = TooManyRequests("too many logs are being followed: try again later")
    error.retry_after_seconds = 5
    return error


def _options(request: Request) -> LogOptions:
    query = request.query_params
    since_time = query.get("sinceTime") or None
    since_seconds = requests.number(request, "sinceSeconds")
    if since_time and since_seconds is not None:
        raise BadRequest("cannot read a log by both sinceTime and sinceSeconds: use one of them")
    if since_time:
        try:
            read_time(since_time)
        except ValueError:
            raise BadRequest(f'cannot read sinceTime="{since_time[:40]}": it must be RFC 3339') from None
    stream = query.get("stream", "")
    if stream not in _STREAMS:
        raise BadRequest(f'cannot read the stream "{stream[:40]}": use All, Stdout or Stderr')
    limit = requests.number(request, "limitBytes")
    if limit == 0:
        raise BadRequest("limitBytes must be greater than 0")
    return LogOptions(
        follow=requests.is_set(request, "follow"),
        tail_lines=requests.number(request, "tailLines"),
        since_seconds=None if since_seconds is None else min(since_seconds, _LONGEST_AGO_SECONDS),
        since_time=since_time,
        limit_bytes=limit,
        timestamps=requests.is_set(request, "timestamps"),
        stream=_STREAMS[stream],
        whole=requests.is_set(request, "whole"),
        cri=requests.is_set(request, "cri"),
    )
