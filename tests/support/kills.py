"""Work in a child that is killed: at the n-th step that it takes on the disk, or at any moment."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

# What Python announces of the system calls that change or open files.
_EVENTS = ("open", "os.", "shutil.", "fcntl.")


def in_a_child(work: Callable[[], object], prepare: Callable[[], None]) -> int:
    """Do `work` in a forked child after `prepare`; return how it ended: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            prepare()
            work()
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())  # Which pytest shows if the test fails.
            raise
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_event(number: int) -> Callable[[], None]:
    """Return what makes this process kill itself at its `number`-th step on the disk."""
    seen = 0

    def on_event(event: str, arguments: object) -> None:
        nonlocal seen
        if event.startswith(_EVENTS):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(on_event)


def kill_after(microseconds: int) -> Callable[[], None]:
    """Return what makes the kernel end this process after a while, wherever it is then."""

    def arm() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)

    return arm
