"""The clock that files are stamped with, for tests of what depends on when a file was changed."""

import os
import time

from controller.runtime.trees.scans import SETTLED_NS


def settle() -> None:
    """Let it move on until what was done so far is told from what comes: some hundredths of a second."""
    until = time.clock_gettime_ns(time.CLOCK_REALTIME) + SETTLED_NS
    while time.clock_gettime_ns(time.CLOCK_REALTIME) <= until:
        os.sched_yield()
