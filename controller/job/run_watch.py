"""Being told that a run has ended: one thread that waits for all that run, by what `records.Running.open_end` gives.

It says which job to look at, never what happened. Whether a run was started here or found after a
restart makes no difference.
"""

import os
import select
import threading
from collections.abc import Callable

from api.meta import ObjectKey
from controller.launcher.records import Running


class RunWatch:
    """Calls `ended(key)` once for each watched run that ends."""

    def __init__(self, ended: Callable[[ObjectKey], None]) -> None:
        """Report to `ended`, from this object's own thread."""
        self._ended = ended
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._runs: dict[int, tuple[str, ObjectKey]] = {}
        self._known: set[str] = set()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="run-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started; the runs are not touched."""
        self._stopping = True
        os.eventfd_write(self._wake_fd, 1)
        if self._thread.ident is not None:
            self._thread.join()
        for fd in [*self._runs, self._wake_fd]:
            os.close(fd)
        self._epoll.close()

    def watch(self, run_id: str, key: ObjectKey, running: Running) -> None:
        """Report `key` when the run ends; at once if it has. Watching a run twice reports it once."""
        with self._lock:
            if run_id in self._known:
                return
            try:
                fd = running.open_end()
            except ProcessLookupError:
                self._ended(key)
                return
            self._runs[fd] = (run_id, key)
            self._known.add(run_id)
            self._epoll.register(fd, select.EPOLLIN)

    def active(self) -> tuple[tuple[str, ObjectKey], ...]:
        """Return the runs that are watched, which are those that are running: their ids and jobs."""
        with self._lock:
            return tuple(self._runs.values())

    def _loop(self) -> None:
        while not self._stopping:
            for fd, _ in self._epoll.poll():
                if fd != self._wake_fd:
                    self._report(fd)

    def _report(self, fd: int) -> None:
        with self._lock:
            self._epoll.unregister(fd)
            run_id, key = self._runs.pop(fd)
            self._known.discard(run_id)
            os.close(fd)
        self._ended(key)
