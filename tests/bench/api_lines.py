"""Clients for measuring: as little as HTTP takes, so that what is measured is the server. Many lines, one thread."""

import itertools
import select
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 30.0
IDLE_SECONDS = 2.0
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "
_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Place:
    """Where a server is: a unix socket, or a port with TLS."""

    path: Path | None = None
    port: int = 0
    context: ssl.SSLContext | None = None
    server_name: str = "127.0.0.1"

    def connect(self) -> socket.socket:
        if self.path is not None:
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(SECONDS)
            raw.connect(str(self.path))
            return raw
        raw = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert self.context is not None
        return self.context.wrap_socket(raw, server_hostname=self.server_name)


def request(method: str, path: str, body: bytes = b"", type_: str = "application/json") -> bytes:
    """Return a request as its bytes."""
    head = f"{method} {path} HTTP/1.1\r\nhost: runwright\r\naccept: application/json\r\nuser-agent: bench\r\n"
    sent = f"content-type: {type_}\r\ncontent-length: {len(body)}\r\n" if body else ""
    return (head + sent + "\r\n").encode() + body


@dataclass
class Answer:
    """An answer as it comes."""

    received: bytearray = field(default_factory=bytearray)
    end: int = 0

    def feed(self, data: bytes) -> bool:
        """Take what came; return whether that was the last of it."""
        if not data:
            raise SystemExit(f"the server closed the connection after {bytes(self.received[:300])!r}")
        self.received += data
        if not self.end:
            at = self.received.find(_END_OF_HEAD)
            if at < 0:
                return False
            length = self.received.find(_LENGTH, 0, at)
            stop = self.received.find(b"\r", length)
            size = int(self.received[length + len(_LENGTH) : stop]) if length >= 0 else 0
            self.end = at + len(_END_OF_HEAD) + size
        return len(self.received) >= self.end

    @property
    def code(self) -> int:
        return int(self.received[9:12])

    @property
    def body(self) -> bytes:
        return bytes(self.received[self.received.find(_END_OF_HEAD) + len(_END_OF_HEAD) :])


class Line:
    """A connection that is kept, but when it was idle for so long that the server may close it; one request at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.socket = place.connect()
        self.answer = Answer()
        self.since = time.perf_counter()

    def send(self, sent: bytes) -> None:
        if time.perf_counter() - self.since > IDLE_SECONDS:
            self.socket.close()
            self.socket = self._place.connect()
        self.answer, self.since = Answer(), time.perf_counter()
        self.socket.sendall(sent)

    def take(self) -> bool:
        """Read what is there; return whether the answer is whole."""
        return self.answer.feed(self.socket.recv(_READ_BYTES))

    def ask(self, sent: bytes, expected: int = 200) -> bytes:
        self.send(sent)
        while not self.take():
            pass
        if self.answer.code != expected:
            raise SystemExit(f"{sent[:120]!r} was answered {bytes(self.answer.received[:600])!r}")
        return self.answer.body

    def seconds(self, sent: bytes, expected: int = 200) -> float:
        self.ask(sent, expected)
        return time.perf_counter() - self.since

    def close(self) -> None:
        self.socket.close()


def median_ms(places: dict[str, Callable[[], float]], rounds: int, warm_up: int = 20) -> dict[str, float]:
    """Return the median of what each of several measurements takes, taken by turns; in milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in places}
    for number in range(warm_up + rounds):
        for name, measure in places.items():
            seconds = measure()
            if number >= warm_up:
                taken[name].append(seconds * 1e3)
    return {name: statistics.median(each) for name, each in taken.items()}


def sustained(place: Place, requests: Iterator[bytes], lines: int, seconds: float, expected: int) -> float:
    """Return how many requests a second are answered while `lines` connections ask without a pause."""
    open_lines = {line.socket.fileno(): line for line in (Line(place) for _ in range(lines))}
    poll = select.epoll()
    for fd, line in open_lines.items():
        poll.register(fd, select.EPOLLIN)
        line.send(next(requests))
    began, answered = time.perf_counter(), 0
    waiting = set(open_lines)
    while waiting:
        for fd, _ in _polled(poll):
            line = open_lines[fd]
            if not line.take():
                continue
            if line.answer.code != expected:
                raise SystemExit(f"answered {bytes(line.answer.received[:600])!r}")
            answered += 1
            if time.perf_counter() - began < seconds:
                line.send(next(requests))
            else:
                waiting.discard(fd)
    taken = time.perf_counter() - began
    poll.close()
    for line in open_lines.values():
        line.close()
    return answered / taken


def _polled(poll: select.epoll) -> list[tuple[int, int]]:
    found = poll.poll(SECONDS)
    if not found:
        raise SystemExit(f"nothing came for {SECONDS:g} s")
    return found


class Watchers:
    """Many connections on which a server streams; each is expected to bring every change."""

    def __init__(self, place: Place, sent: bytes, count: int) -> None:
        self._sockets = [place.connect() for _ in range(count)]
        self._by_fd = {each.fileno(): each for each in self._sockets}
        self._tails = dict.fromkeys(self._by_fd, b"")
        self._poll = select.epoll()
        for each in self._sockets:
            each.sendall(sent)
            head = b""
            while _END_OF_HEAD not in head:
                head += each.recv(_READ_BYTES)
            assert head.startswith(b"HTTP/1.1 200"), head
            self._poll.register(each.fileno(), select.EPOLLIN)

    def arrivals(self, cause: Callable[[], float], marker: bytes) -> list[float]:
        """Call `cause`, which says when it began, and return how long `marker` takes to each watcher."""
        missing, taken = set(self._by_fd), []
        began = cause()
        while missing:
            for fd, _ in _polled(self._poll):
                came = self._tails[fd] + self._read(self._by_fd[fd])
                if fd in missing and marker in came:
                    taken.append(time.perf_counter() - began)
                    missing.discard(fd)
                self._tails[fd] = came[-len(marker) :]
        return taken

    @staticmethod
    def _read(each: socket.socket) -> bytes:
        came = each.recv(_READ_BYTES)
        while isinstance(each, ssl.SSLSocket) and each.pending():
            came += each.recv(_READ_BYTES)
        if not came:
            raise SystemExit("a watch was ended by the server")
        return came

    def close(self) -> None:
        self._poll.close()
        for each in self._sockets:
            each.close()


def percentile(values: Iterable[float], hundredths: int) -> float:
    """Return the value that so many hundredths are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * hundredths // 100)]


def numbered(prefix: str) -> Iterator[str]:
    """Yield names without end."""
    return (f"{prefix}-{number}" for number in itertools.count())
