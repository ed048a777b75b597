"""Signals as bytes that a poll can wait for; and back to what a fresh process has."""

import os
import signal

from controller.linux import libc

_OF_THE_C_LIBRARY = (32, 33)
"""Its threads' own, of which its functions will not hear: so whoever started us may have us ignore them, unseen."""

_NOT_OURS = {signal.SIGKILL, signal.SIGSTOP, *_OF_THE_C_LIBRARY}
_DEFAULT_ACTION = bytes(32)
"""struct kernel_sigaction: SIG_DFL, no flags, nothing blocked meanwhile. Source: rt_sigaction(2)."""
_SIGNAL_SET_BYTES = 8

_ERRORS = {signal.SIGPIPE, signal.SIGXFSZ}
"""A write that fails is to answer so, not to end us: whom we write to may have ended at any moment."""
_CHANGED = (
    *map(int, (*_ERRORS, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)),
    *_OF_THE_C_LIBRARY,
)


def reset_all() -> None:
    """Give every signal its default meaning, but those of `_ERRORS`, and block none: nothing is inherited."""
    for number in range(1, signal.NSIG):
        if number not in _NOT_OURS:
            signal.signal(number, signal.SIG_DFL)
    answer_errors()
    reset_hidden()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def answer_errors() -> None:
    """Have a write that fails answer so: for code of ours, also where it is held to the limits of a run."""
    for number in _ERRORS:
        signal.signal(number, signal.SIG_IGN)


def reset_hidden() -> None:
    """Give those signals their default meaning that the C library keeps to itself."""
    _reset(_OF_THE_C_LIBRARY)


def reset_changed() -> None:
    """In a forked child: give those signals their default meaning that Python, we or who started us treat otherwise."""
    _reset(_CHANGED)


def _reset(numbers: tuple[int, ...]) -> None:
    # Not by Python's own, which take ten times as long and write to thirty pages: after a fork, each is copied for it.
    for number in numbers:
        purpose = f"give signal {number} its default meaning"
        libc.syscall("rt_sigaction", number, _DEFAULT_ACTION, None, _SIGNAL_SET_BYTES, purpose=purpose)


def wake_on(*numbers: signal.Signals) -> int:
    """Return a descriptor from which the numbers of the signals that came can be read, one byte each.

    One per process: a second call takes the place of the first.
    """
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _ignore)
    return read_fd


def forget(numbers: tuple[signal.Signals, ...]) -> None:
    """In a forked child: undo `wake_on`, whose descriptors are the parent's."""
    write_fd = signal.set_wakeup_fd(-1)
    if write_fd >= 0:
        os.close(write_fd)
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


def _ignore(_number: int, _frame: object) -> None:
    return None
