"""Reading a run's log for who asks: lines chosen by stream, number and time, followed while it grows.

Here: which records, and as what text. Never here: files (`log_files`), nor writing, which is the
supervisor's alone. A log is bytes: nothing is decoded.
"""

import errno
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from api.errors import About, BadRequest, Expired, NotFound
from api.meta import Document, read_time
from api.ports import LogOptions, LogRecord
from api.types.pod import pod_name_in
from controller.engine.clock import Clock
from controller.job.log_files import Line, LogFiles, remove_surplus
from controller.job.log_places import Place, PlacedLine, PlacedLogFiles

AnyLine = TypeVar("AnyLine", bound=Line)
Read = TypeVar("Read")

_BLOCK = 1 << 16
_BEAT_SECONDS = 0.1  # Until the end of a run that wrote nothing more is noticed.


class JobLogs:
    """The logs below one directory: `NAMESPACE_JOB_UID/ATTEMPT/`."""

    def __init__(
        self,
        root: Path,
        clock: Clock,
        is_over: Callable[[Document, int], bool],
        kept_files: Callable[[Document], int],
    ) -> None:
        """Read below `root`; `is_over` says whether a run has ended, so that following it ends.

        `kept_files` says how many files are kept of a job's log, so that what stayed for who followed it goes after.
        """
        self._root = root
        self._clock = clock
        self._is_over = is_over
        self._kept_files = kept_files

    def directory(self, job: Document, attempt: int) -> Path:
        """Return where the log of run `attempt` is."""
        return log_directory(self._root, job["metadata"]) / str(attempt)

    def read(self, job: Document, attempt: int, options: LogOptions, stopped: Callable[[], bool]) -> Iterator[bytes]:
        """Yield log text; when following, until the run ends or `stopped()`; empty chunks are heartbeats.

        Raises:
            NotFound: the run left no log, or it was removed.
            BadRequest: since_time is no time.
        """
        directory = self._existing_directory(job, attempt)
        since = self._since(options)
        if options.follow:
            text = self._follow(job, attempt, options, since, stopped)
        else:
            text = _Text(options).of(_chosen(_existing(directory, options), options, since))
        return self._cleared(_limited(text, options.limit_bytes), job, attempt)

    def records(
        self, job: Document, attempt: int, options: LogOptions, after: str, stopped: Callable[[], bool]
    ) -> Iterator[LogRecord | None]:
        """Yield the records after a place, all if it is empty; None is a heartbeat while nothing comes.

        Raises:
            NotFound: the run left no log, or it was removed.
            BadRequest: since_time is no time, or `after` no place.
        """
        directory = self._existing_directory(job, attempt)
        since = self._since(options)
        try:
            place = Place.read(after) if after else None
        except ValueError as error:
            raise BadRequest(f"cannot go on with the log: {error}: leave Last-Event-ID out") from None
        whole = options if place is None else replace(options, tail_lines=None)
        found = self._records(job, attempt, whole, since, PlacedLogFiles(directory, place), stopped)
        return self._cleared(found, job, attempt)

    def _records(
        self,
        job: Document,
        attempt: int,
        options: LogOptions,
        since: bytes | None,
        log: PlacedLogFiles,
        stopped: Callable[[], bool],
    ) -> Iterator[LogRecord | None]:
        with log as files:
            if options.follow:
                self._watch(files, job, attempt)
            yield from map(_record, _chosen(files.fresh_placed(), options, since))
            while options.follow:
                over = self._is_over(job, attempt)  # Asked before reading: what came until then is read below.
                is_quiet = True
                for line in _of_stream(files.fresh_placed(), options):
                    is_quiet = False
                    yield _record(line)
                if stopped() or (over and is_quiet):
                    return
                if is_quiet:
                    yield None
                    files.wait(_BEAT_SECONDS)

    def _cleared(self, read: Iterator[Read], job: Document, attempt: int) -> Iterator[Read]:
        """Yield what is read, and remove the files that the run's own writer has left only because we had them open."""
        try:
            yield from read
        finally:
            if isinstance(read, Generator):
                read.close()
            if self._is_over(job, attempt):
                remove_surplus(self.directory(job, attempt), self._kept_files(job))

    def _existing_directory(self, job: Document, attempt: int) -> Path:
        directory = self.directory(job, attempt)
        if not directory.is_dir():
            raise _no_log(job, attempt)
        return directory

    @staticmethod
    def _watch(files: LogFiles, job: Document, attempt: int) -> None:
        """Have `files` wait for more. Raises NotFound: it was there when it was asked for, and was removed since."""
        try:
            files.watch()
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            raise _no_log(job, attempt) from None

    def _since(self, options: LogOptions) -> bytes | None:
        if options.since_time is not None:
            try:
                return _stamp(read_time(options.since_time))
            except ValueError as error:
                raise BadRequest(f"sinceTime: {error}") from None
        if options.since_seconds is not None:
            return _stamp(self._clock.now() - timedelta(seconds=options.since_seconds))
        return None

    def _follow(
        self, job: Document, attempt: int, options: LogOptions, since: bytes | None, stopped: Callable[[], bool]
    ) -> Iterator[bytes]:
        text = _Text(options)
        with _opened(self.directory(job, attempt), options) as files:
            self._watch(files, job, attempt)
            for piece in text.of(_chosen(files.fresh(), options, since)):
                _refuse_gaps(files, options)
                yield piece
            while True:
                over = self._is_over(job, attempt)  # Asked before reading: what came until then is read below.
                is_quiet = True
                for piece in text.of(_of_stream(files.fresh(), options)):
                    is_quiet = False
                    _refuse_gaps(files, options)
                    yield piece
                _refuse_gaps(files, options)
                if stopped() or (over and is_quiet):
                    return
                if is_quiet:
                    yield b""
                    files.wait(_BEAT_SECONDS)


def _no_log(job: Document, attempt: int) -> NotFound:
    name = pod_name_in(job, attempt)
    return NotFound(f'no log of pods "{name}": it has not started, or its log was removed', About("", "pods", name))


def _refuse_gaps(files: LogFiles, options: LogOptions) -> None:
    if options.whole and isinstance(files, PlacedLogFiles) and files.lacks_some:
        raise Expired(
            "cannot read all of the log: it was written faster than it was read, and what was not read in time is "
            "removed: raise the settings logs.max_size and logs.max_files, or have the run write to a file"
        )


def log_directory(root: Path, metadata: Document) -> Path:
    """Return where a job's logs are, below `root`; unique over time by the job's uid."""
    return root / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def _stamp(moment: datetime) -> bytes:
    # Not strftime: its %Y of the year 999 has three digits, and would sort after all others.
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds").encode()


def _opened(directory: Path, options: LogOptions) -> LogFiles:
    return PlacedLogFiles(directory, None) if options.whole else LogFiles(directory)


def _existing(directory: Path, options: LogOptions) -> Iterator[Line]:
    with _opened(directory, options) as files:
        for line in files.fresh():
            _refuse_gaps(files, options)
            yield line


def _record(line: PlacedLine) -> LogRecord:
    return LogRecord(str(line.place), line.time.decode(errors="replace"), line.content, whole=line.ends)


def _of_stream(lines: Iterator[AnyLine], options: LogOptions) -> Iterator[AnyLine]:
    wanted = options.stream.encode() if options.stream else None
    return (line for line in lines if wanted is None or line.stream == wanted)


def _chosen(lines: Iterator[AnyLine], options: LogOptions, since: bytes | None) -> Iterator[AnyLine]:
    lines = _of_stream(lines, options)
    if since is not None:
        # RFC 3339 times in UTC sort as text; only digits up to the microsecond are compared.
        lines = (line for line in lines if line.time[: len(since)] >= since)
    if options.tail_lines is None:
        return lines
    return iter(_last_lines(lines, options.tail_lines))


def _last_lines(lines: Iterator[AnyLine], count: int) -> list[AnyLine]:
    """Keep the last `count` whole lines, each with all its parts."""
    kept: deque[list[AnyLine]] = deque(maxlen=max(count, 0))
    open_parts: dict[bytes, list[AnyLine]] = {}
    for line in lines:
        parts = open_parts.setdefault(line.stream, [])
        parts.append(line)
        if line.ends:
            kept.append(open_parts.pop(line.stream))
    for parts in open_parts.values():
        kept.append(parts)
    return [part for parts in kept for part in parts]


class _Text:
    """Records as text; a time goes only before what starts a line of its stream. Or each as it is in the log."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._cri = options.cri
        self._open: set[bytes] = set()

    def of(self, lines: Iterator[Line]) -> Iterator[bytes]:
        """Yield the text of `lines` in pieces of some size."""
        out, size = [], 0
        for line in lines:
            out.append(self._one(line))
            size += len(out[-1])
            if size >= _BLOCK:
                yield b"".join(out)
                out, size = [], 0
        if out:
            yield b"".join(out)

    def _one(self, line: Line) -> bytes:
        if self._cri:
            return b"%b %b %b %b\n" % (line.time, line.stream, b"F" if line.ends else b"P", line.content)
        text = line.content + (b"\n" if line.ends else b"")
        if self._timestamps and line.stream not in self._open:
            text = line.time + b" " + text
        if line.ends:
            self._open.discard(line.stream)
        else:
            self._open.add(line.stream)
        return text


def _limited(chunks: Iterator[bytes], limit: int | None) -> Iterator[bytes]:
    left = limit
    for chunk in chunks:
        if left is None:
            yield chunk
            continue
        if chunk[:left]:
            yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return
