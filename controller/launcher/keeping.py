"""What a supervisor does so that files of its run are kept in the end: nothing, unless the run asks for it.

Here: when, with which rights and for how long. Never here: which files and how (`artifacts.py`), which is read in only
by runs that keep some, before they are cut off from the host's files.
"""

import sys
import traceback
from typing import TYPE_CHECKING

from controller.launcher.control import ControlFifo
from controller.launcher.runspec import RunSpec
from controller.linux.capabilities import Capability
from controller.sandbox.compile import WORK_DIRECTORY

if TYPE_CHECKING:
    from controller.launcher.artifacts import Keeper

_SECONDS = 600.0
_SECONDS_WHEN_STOPPED = 8.0  # Whoever stopped it waits, and kills this process in the end.
_NONE: frozenset[Capability] = frozenset()
_TO_READ = frozenset({Capability.DAC_READ_SEARCH})


def keeper_of(spec: RunSpec) -> "Keeper | None":
    """Return what keeps files of the run, if any are to be; where the host's paths are.

    Raises:
        OSError: the directory for them is not there.
    """
    if spec.artifacts is None:
        return None
    from controller.launcher.artifacts import Keeper

    return Keeper(spec.artifacts)


def take_work(keeper: "Keeper | None") -> None:
    """Take hold of the run's /work, in its sandbox, before anybody else is there. Raises OSError."""
    if keeper is not None:
        keeper.take(WORK_DIRECTORY)


def descriptors(keeper: "Keeper | None") -> tuple[int, ...]:
    """Return what is to be the supervisor's own, as it will write there without rights."""
    return () if keeper is None else (keeper.target_fd,)


def rights(keeper: "Keeper | None") -> frozenset[Capability]:
    """Return what it takes to read files whatever modes the run gave them: a right over its own user ids alone."""
    return _NONE if keeper is None else _TO_READ


def keep(keeper: "Keeper | None", control: ControlFifo, *, was_stopped: bool) -> None:
    """Keep what is to be kept, now that nothing of the run is left. The run has ended as it has, whatever comes of it.

    A stop that is asked for meanwhile ends it: what was kept until then is what there is.
    """
    if keeper is None:
        return

    def is_stopped() -> bool:
        return any(command.get("op") == "stop" for command in control.read())

    try:
        keeper.keep(_SECONDS_WHEN_STOPPED if was_stopped else _SECONDS, is_stopped)
    except OSError:
        traceback.print_exc(file=sys.stderr)
