"""The cap on everything that this daemon runs: set at its start, and until it is, no run begins and no build.

Here: from settings and host to the caps of the slice, and why they are not held. Never here: limits of one run.
"""

import logging

from controller.cgroup.lifecycle import CgroupError
from controller.cgroup.slice import Slice
from controller.cgroup.slice_caps import Caps
from controller.daemon.host import Host
from controller.daemon.settings import CgroupSettings, share_of_cpu, share_of_memory, share_of_pids
from controller.engine.log import keys

_log = logging.getLogger(__name__)


class HeldTogether:
    """The slice of runs, builds and supervisors, held to what the settings `cgroup.*` say.

    Args:
        slice_: None where the cgroups of this host hold nobody to anything, which is told elsewhere.
    """

    def __init__(self, slice_: Slice | None, wanted: CgroupSettings, host: Host) -> None:
        self._slice = slice_
        self._caps = Caps(
            share_of_memory(wanted.memory, host.memory_bytes),
            share_of_cpu(wanted.cpu, host.cpus),
            share_of_pids(wanted.pids, host.pids),
        )
        self._is_held = slice_ is None

    def why_not(self) -> str:
        """Return why the caps are not held, empty if they are. Caps that could not be set before are tried again."""
        if self._is_held or self._slice is None:
            return ""
        try:
            told = self._slice.hold(self._caps)
        except CgroupError as error:
            text = f"cannot cap all that runs here together: {error}: correct the settings cgroup.*, or what uses it"
            _log.error("no run and no build begins", extra=keys(problem=text))
            return text
        for text in told:
            _log.warning("a cap is not ours", extra=keys(problem=text))
        self._is_held = True
        return ""
