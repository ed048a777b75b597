"""Has those who wait for a time of day look at the clock again when it was set.

Waits are measured by a clock that cannot be set, what is waited for is said by the wall clock: when that one steps, or
the machine has slept, the waits are wrong. Invariant: who is told looks at the wall clock itself; nothing is counted.
"""

import logging
import os
import select
import threading
from collections.abc import Callable

from controller.engine.clock import Clock
from controller.engine.log import keys
from controller.linux import clock_sets

_log = logging.getLogger(__name__)


class ClockSteps:
    """A thread that waits for steps of the wall clock."""

    def __init__(self, clock: Clock, stepped: Callable[[], None]) -> None:
        """Call `stepped` after each; it must not raise."""
        self._clock = clock
        self._stepped = stepped
        self._thread = threading.Thread(target=self._run, name="clock-steps", daemon=True)

    def start(self) -> None:
        """Begin to wait.

        Raises:
            SyscallError: the kernel does not tell of steps.
        """
        self._watch = clock_sets.open_watch()
        self._ends, self._end = os.pipe2(os.O_CLOEXEC)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. May be called of one that was not started."""
        if self._thread.ident is None:
            return
        os.close(self._end)
        self._thread.join()
        os.close(self._ends)
        os.close(self._watch)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        poll.register(self._ends, select.POLLIN)
        while self._ends not in dict(poll.poll()):
            if clock_sets.was_set(self._watch):
                _log.info(
                    "the wall clock was set: what waits for a time looks again", extra=keys(now=self._clock.now())
                )
                self._stepped()
