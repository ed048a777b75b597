"""Waiting in the main thread until the process is asked to end.

A handler written in Python runs in the main thread, and there only once that thread runs: if the kernel interrupts
another one, as it does while the main thread is traced or has another signal to see to, it sleeps on. So what wakes it
is the byte that Python writes from within the interrupted thread (`signal.set_wakeup_fd`).
"""

import os
import select
import signal
from types import FrameType

_NUMBERS = frozenset({signal.SIGTERM, signal.SIGINT})
_READ_BYTES = 64


class EndSignals:
    """SIGTERM and SIGINT, from when it is made. Belongs to the main thread, and there is one in a process."""

    def __init__(self) -> None:
        """Take the signals: the process ends by them no more."""
        self._came, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)  # One that comes to a full pipe is not the first.
        for number in _NUMBERS:
            signal.signal(number, _go_on)

    def wait(self) -> None:
        """Return once one has come; at once if one had."""
        poll = select.poll()
        poll.register(self._came, select.POLLIN)
        while not _NUMBERS.intersection(self._read()):
            poll.poll()

    def _read(self) -> bytes:
        try:
            return os.read(self._came, _READ_BYTES)
        except BlockingIOError:
            return b""


def _go_on(_number: int, _frame: FrameType | None) -> None:
    return
