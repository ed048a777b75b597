"""Sessions in runs, as the event loop has them: how many at once, opening, reading, writing, their end.

Invariant: commands and copies share one bound, and whoever is cancelled while a session is opened leaves none behind.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import anyio

from api.errors import TooManyRequests
from api.http.feed import Threads
from api.ports import RunSession

MOST_SESSIONS = 100
"""Each takes five descriptors, and a process may have 1024 where nobody asked for more."""
ENTERING_THREADS = 16
_RETRY_SECONDS = 5


class Closable(Protocol):
    """What is let go of by `close`: a session, or a connection."""

    def close(self) -> None:
        """Let go of it."""


T = TypeVar("T", bound=Closable)


class Sessions:
    """Counts those who are in runs. Belongs to one event loop.

    Args:
        threads: where sessions are opened.
    """

    def __init__(self, threads: Threads, most: int = MOST_SESSIONS) -> None:
        self.threads = threads
        self._most = most
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Have one more for the block.

        Raises:
            TooManyRequests: there are too many.
        """
        if self._count >= self._most:
            error = TooManyRequests("too many commands and copies are in runs already: try again later")
            error.retry_after_seconds = _RETRY_SECONDS
            raise error
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


async def open_session(sessions: Sessions, opening: Callable[[], T]) -> T:
    """Return the session that `opening` opens in a thread; a caller who is cancelled meanwhile leaves none behind."""
    opened: list[T] = []
    is_wanted = True

    def work() -> None:
        session = opening()
        if is_wanted:
            opened.append(session)
        else:
            session.close()

    try:
        await sessions.threads.call(work)
    except BaseException:
        is_wanted = False
        for session in opened:
            session.close()
        raise
    return opened[0]


async def read_from(fd: int, most_bytes: int) -> bytes:
    """Return what can be read, waiting for it; empty at the end."""
    while True:
        try:
            return os.read(fd, most_bytes)
        except BlockingIOError:
            await anyio.wait_readable(fd)
        except OSError as error:
            if error.errno != errno.EIO:  # How a terminal says that nobody has its other side.
                raise
            return b""


async def write_to(fd: int, content: bytes) -> None:
    """Write all of it, waiting until it is taken. Raises BrokenPipeError, or EIO of a terminal, if nobody reads."""
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            await anyio.wait_writable(fd)


async def ended(session: RunSession) -> int:
    """Return the exit code of a session, waiting for it. Raises ServiceUnavailable if it was lost."""
    while (code := session.end()) is None:
        await anyio.wait_readable(session.fileno())
    return code
