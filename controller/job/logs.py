"""Reading a run's log: the CRI format that the supervisor writes, across rotations, while it grows.

Here: lines out, chosen by stream, number and time; following wakes up on inotify.
Never here: writing, which is the supervisor's alone. A log is bytes: nothing is decoded.
Source: CRI log format, `TIME STREAM TAGS CONTENT`, tag P for a part of a line, F for its end.
"""

import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from api.errors import About, BadRequest, NotFound
from api.meta import Document, read_time
from api.ports import LogOptions
from api.types.pod import pod_name
from controller.engine.clock import Clock
from controller.launcher import log_writer
from controller.linux import inotify

_BLOCK = 1 << 16
_BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a log; `ends` is False for a part of a longer line."""

    time: bytes
    stream: bytes
    ends: bool
    content: bytes


def parse(raw: bytes) -> Line | None:
    """Return the record that `raw`, without its newline, holds; None if it is torn."""
    parts = raw.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(parts[0], parts[1], parts[2] != b"P", parts[3])


class JobLogs:
    """The logs below one directory: `NAMESPACE_JOB_UID/ATTEMPT/`."""

    def __init__(self, root: Path, clock: Clock, is_over: Callable[[Document, int], bool]) -> None:
        """Read below `root`; `is_over` says whether a run has ended, so that following it ends."""
        self._root = root
        self._clock = clock
        self._is_over = is_over

    def directory(self, job: Document, attempt: int) -> Path:
        """Return where the log of run `attempt` is."""
        return log_directory(self._root, job["metadata"]) / str(attempt)

    def read(self, job: Document, attempt: int, options: LogOptions, stopped: Callable[[], bool]) -> Iterator[bytes]:
        """Yield log text; when following, until the run ends or `stopped()`; empty chunks are heartbeats.

        Raises:
            NotFound: the run left no log, or it was removed.
            BadRequest: since_time is no time.
        """
        directory = self.directory(job, attempt)
        if not directory.is_dir():
            name = pod_name(job["metadata"]["name"], attempt)
            raise NotFound(
                f'no log of pods "{name}": it has not started, or its log was removed', About("", "pods", name)
            )
        since = self._since(options)
        if options.follow:
            return _limited(self._follow(job, attempt, options, since, stopped), options.limit_bytes)
        lines = _chosen(_existing(directory), options, since)
        return _limited(_Text(options).of(lines), options.limit_bytes)

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
        with _Tail(self.directory(job, attempt)) as tail:
            yield from text.of(_chosen(tail.fresh(), options, since))
            while True:
                over = self._is_over(job, attempt)  # Asked before reading: what came until then is read below.
                fresh = b"".join(text.of(_of_stream(tail.fresh(), options)))
                yield fresh
                if stopped() or (over and not fresh):
                    return
                if not fresh:
                    tail.wait(_BEAT_SECONDS)


def log_directory(root: Path, metadata: Document) -> Path:
    """Return where a job's logs are, below `root`; unique over time by the job's uid."""
    return root / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def _stamp(moment: datetime) -> bytes:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()


def _existing(directory: Path) -> Iterator[Line]:
    for path in _oldest_first(directory):
        with path.open("rb") as file:
            for raw in file:
                line = parse(raw.rstrip(b"\n")) if raw.endswith(b"\n") else None
                if line is not None:
                    yield line


def _of_stream(lines: Iterator[Line], options: LogOptions) -> Iterator[Line]:
    wanted = options.stream.encode() if options.stream else None
    return (line for line in lines if wanted is None or line.stream == wanted)


def _chosen(lines: Iterator[Line], options: LogOptions, since: bytes | None) -> Iterator[Line]:
    lines = _of_stream(lines, options)
    if since is not None:
        # RFC 3339 times in UTC sort as text; only digits up to the microsecond are compared.
        lines = (line for line in lines if line.time[: len(since)] >= since)
    if options.tail_lines is None:
        return lines
    return iter(_last_lines(lines, options.tail_lines))


def _last_lines(lines: Iterator[Line], count: int) -> list[Line]:
    """Keep the last `count` whole lines, each with all its parts."""
    kept: deque[list[Line]] = deque(maxlen=max(count, 0))
    open_parts: dict[bytes, list[Line]] = {}
    for line in lines:
        parts = open_parts.setdefault(line.stream, [])
        parts.append(line)
        if line.ends:
            kept.append(open_parts.pop(line.stream))
    for parts in open_parts.values():
        kept.append(parts)
    return [part for parts in kept for part in parts]


class _Text:
    """Records as text; a time goes only before what starts a line of its stream."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
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


class _Tail:
    """A log that grows: what is there, then what comes, over rotations."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: list[int] = []
        self._seen: set[int] = set()
        self._rest: dict[int, bytes] = {}
        self._changes = inotify.watch_modified(str(directory))

    def __enter__(self) -> "_Tail":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (*self._open, self._changes):
            os.close(fd)

    def fresh(self) -> Iterator[Line]:
        """Yield what was written since the last call. A rotated file is read to its end before the next."""
        self._adopt()
        for fd in list(self._open):
            yield from self._read(fd)
        while len(self._open) > 1:  # All but the newest are complete: the writer has moved on.
            os.close(self._open.pop(0))

    def _adopt(self) -> None:
        for path in _oldest_first(self._directory):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # Rotated away between listing and opening: its content is in a file that follows.
            inode = os.fstat(fd).st_ino
            if inode in self._seen:
                os.close(fd)
            else:
                self._seen.add(inode)
                self._open.append(fd)

    def _read(self, fd: int) -> Iterator[Line]:
        while block := os.read(fd, _BLOCK):
            *whole, rest = (self._rest.get(fd, b"") + block).split(b"\n")
            self._rest[fd] = rest
            yield from (line for raw in whole if (line := parse(raw)) is not None)

    def wait(self, seconds: float) -> None:
        """Wait until there is more, at most `seconds`."""
        if select.select([self._changes], [], [], seconds)[0]:
            os.read(self._changes, _BLOCK)


def _oldest_first(directory: Path) -> list[Path]:
    return [directory / name for name in log_writer.in_order(os.listdir(directory))]
