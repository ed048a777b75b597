"""How a run ended, decided from what its supervisor saw. Pure.

Invariant: the first cause wins. A run killed for memory is OOMKilled though its deadline came while it died.
"""

import os
import signal
from dataclasses import dataclass

from controller.launcher.records import Reason

_SIGNAL_BASE = 128


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the supervisor itself ended the run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NeverRan:
    """The job's command was not executed."""

    reason: str
    message: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the exit record says of it."""

    reason: str
    message: str
    exit_code: int | None
    signal: int | None


def decide(
    wait_status: int,
    ending: Ending | None,
    oom_kills: int,
    never_ran: NeverRan | None,
    *,
    within_its_limit: bool = False,
) -> Outcome:
    """Return the outcome of a run whose main process ended with `wait_status`.

    `within_its_limit` is of a run that never needed more memory than its own limit: it was killed for all others' too.

    >>> decide(0, None, 0, None).reason
    'Completed'
    """
    if never_ran is not None:
        return Outcome(never_ran.reason, never_ran.message, never_ran.exit_code, None)
    exit_code, signal_number = exit_of(wait_status)
    if (ending is None and oom_kills) or (ending is not None and ending.reason == Reason.OOM_KILLED):
        # A run that ended well by itself while a part of it was killed has still ended well.
        message = shared_oom_message(oom_kills) if within_its_limit else oom_message(oom_kills)
        ending = Ending(Reason.OOM_KILLED, message) if exit_code != 0 else None
    if ending is not None:
        return Outcome(ending.reason, ending.message, exit_code, signal_number)
    if signal_number is not None:
        return Outcome(Reason.ERROR, f"killed by {signal_name(signal_number)}", exit_code, signal_number)
    if exit_code:
        return Outcome(Reason.ERROR, f"exited with {exit_code}", exit_code, None)
    return Outcome(Reason.COMPLETED, "", 0, None)


def oom_message(oom_kills: int) -> str:
    """Return what to tell of a run that was killed for memory."""
    killed = f"the kernel killed {oom_kills} of its processes" if oom_kills else "it was killed"
    return f"the run needed more memory than its limit, and {killed}: raise the limit or use less"


def shared_oom_message(oom_kills: int) -> str:
    """Return what to tell of a run that was killed for memory though it had less than its limit."""
    killed = f"the kernel killed {oom_kills} of its processes" if oom_kills else "it was killed"
    why = "the run was within its limit, but all that runs here together needed more memory than there is for it"
    return f"{why}, and {killed}: run less at once, limit jobs lower, or raise the setting cgroup.memory"


def signal_name(number: int) -> str:
    """Return a signal's name.

    >>> signal_name(9), signal_name(40)
    ('SIGKILL', 'signal 40')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_of(wait_status: int) -> tuple[int, int | None]:
    """Return the exit code, as a shell gives it, and the signal, if it was one.

    >>> exit_of(9), exit_of(3 << 8)
    ((137, 9), (3, None))
    """
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return _SIGNAL_BASE + number, number
    return os.WEXITSTATUS(wait_status), None
