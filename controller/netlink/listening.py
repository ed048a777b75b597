"""A thread that reads netlink sockets whenever something has come, until it is stopped.

Never here: what is read and what is made of it (`monitor.py`, `refusals.py`).
Invariant: what goes wrong with one thing that came does not keep the next from being read.
"""

import os
import select
import socket
import threading
from collections.abc import Callable

from controller.netlink.mishaps import Mishaps


class Listening:
    """Calls `read` in a thread of its own, each time that any of `opened` has something; closes them in the end."""

    def __init__(self, name: str, doing: str, opened: tuple[socket.socket, ...], read: Callable[[], None]) -> None:
        """Call the thread `name`; say in the log that `doing` went wrong if it does."""
        self._name, self._opened, self._read = name, opened, read
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._mishaps = Mishaps(doing)

    def start(self) -> None:
        """Begin to listen."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End. It may not have been started."""
        os.write(self._stop_write, b"x")
        if self._thread is not None:
            self._thread.join()
        for opened in self._opened:
            opened.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self) -> None:
        poll = select.poll()
        for fd in (*(opened.fileno() for opened in self._opened), self._stop_read):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._stop_read in ready:
                return
            with self._mishaps.survived():
                self._read()
