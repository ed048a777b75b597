"""For hosts whose cgroups cannot hold runs to their limits: nothing is ever made, and so nothing is there.

Invariant: it refuses whatever a run would need, so that no run can start without its limits.
"""

import errno
from typing import NoReturn

from controller.cgroup.io_lift import IoLift
from controller.cgroup.lifecycle import CgroupError, OomWatch
from controller.cgroup.limits import Limits, Write
from controller.cgroup.usage import Usage, UsageReader


class AbsentCgroups:
    """A `Lifecycle` without cgroups."""

    def __init__(self, why: str) -> None:
        """Refuse with `why`."""
        self._why = why

    def create(self, name: str, limits: Limits) -> None:
        """Refuse."""
        self._refuse()

    def make_blank(self, name: str) -> bool:
        """Refuse."""
        self._refuse()

    def turn(self, blank: str, name: str, limits: Limits) -> None:
        """Refuse."""
        self._refuse()

    def update(self, name: str, limits: Limits) -> None:
        """Refuse."""
        self._refuse()

    def read_limits(self, name: str, limits: Limits) -> tuple[tuple[Write, str], ...]:
        """Refuse."""
        self._refuse()

    def open_join_fds(self, name: str) -> tuple[int, ...]:
        """Refuse."""
        self._refuse()

    def open_oom_watch(self, name: str) -> OomWatch:
        """Refuse."""
        self._refuse()

    def open_io_lift(self, name: str) -> IoLift:
        """Refuse."""
        self._refuse()

    def open_usage(self, name: str) -> UsageReader:
        """Refuse."""
        self._refuse()

    def usage(self, name: str) -> Usage:
        """Refuse."""
        self._refuse()

    def freeze(self, name: str) -> None:
        """Refuse."""
        self._refuse()

    def thaw(self, name: str) -> None:
        """Refuse."""
        self._refuse()

    def kill(self, name: str) -> None:
        """Do nothing: nothing is there."""

    def remove(self, name: str) -> None:
        """Do nothing: nothing is there."""

    def names(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def remove_blanks(self) -> None:
        """Do nothing: nothing is there."""

    def remove_parent(self) -> None:
        """Do nothing: nothing is there."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _refuse(self) -> NoReturn:
        raise CgroupError("use a cgroup", OSError(errno.ENODEV, self._why))
