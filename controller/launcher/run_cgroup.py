"""The cgroup of one run, as its supervisor makes it: ahead of the run where a cgroup can have its name later.

That is on version 1, which has a directory in each of five hierarchies, and a file to be opened for all that is read
and written. What never was anybody's has counted nothing, so a blank that is turned is as a cgroup just made; none is
used twice. And its job's process joins it first of all, and gives up its rights while the supervisor is busy with the
rest. What cannot be had so is made there and then, as ever.

Invariant: a blank that was not turned is removed by who has made it; by the launcher, or the next, if that could not.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from controller.cgroup import readback
from controller.cgroup.io_lift import NO_LIFT, IoLift
from controller.cgroup.lifecycle import BLANK, CgroupError, Lifecycle, OomWatch
from controller.cgroup.usage import UsageReader
from controller.launcher import job_process
from controller.launcher.receipt import NotEnforced
from controller.launcher.runspec import RunSpec


class Blank:
    """A cgroup of no run so far, and what its supervisor will need of it, open.

    Raises:
        CgroupError: it was removed meanwhile.
    """

    def __init__(self, lifecycle: Lifecycle, name: str) -> None:
        self.lifecycle = lifecycle
        self.name = name
        self.is_turned = False
        self.join_fds = lifecycle.open_join_fds(name)
        self.oom = lifecycle.open_oom_watch(name)
        self.usage = lifecycle.open_usage(name)

    def remove(self) -> None:
        """Let go of it, as it will be no run's."""
        for fd in self.join_fds:
            os.close(fd)
        self.join_fds = ()
        self.oom.close()
        self.usage.close()
        with contextlib.suppress(CgroupError):  # The launcher will.
            self.lifecycle.remove(self.name)


def blank_name(slot: int) -> str:
    """Return the name of the blank of who has this slot, which nobody else has on this host."""
    return f"{BLANK}{slot}"


@contextmanager
def made_ahead(lifecycles: Mapping[str, Lifecycle], parent: str, slot: int) -> Iterator[Blank | None]:
    """Have a blank below `parent`, if there can be one, until it is turned or this ends."""
    blank = None
    with contextlib.suppress(CgroupError):  # Whatever is in the way, the run will say so.
        if parent in lifecycles and lifecycles[parent].make_blank(blank_name(slot)):
            blank = Blank(lifecycles[parent], blank_name(slot))
    try:
        yield blank
    finally:
        if blank is not None and not blank.is_turned:
            blank.remove()


class RunCgroup:
    """The cgroup of the run `spec`, to be made; what is opened here is for the caller to close."""

    def __init__(self, lifecycle: Lifecycle, spec: RunSpec, blank: Blank | None) -> None:
        self.lifecycle = lifecycle
        self._spec = spec
        fits = blank is not None and blank.lifecycle is lifecycle and not spec.limits.io and not spec.limits.cpus
        self._blank = blank if fits else None
        self._is_joined = False

    def take_in(self, orders: socket.socket) -> None:
        """Have the job's process join what will be its cgroup, if there is a blank. Raises OSError: it has ended."""
        if self._blank is not None:
            fds, self._blank.join_fds = self._blank.join_fds, ()
            job_process.give_cgroup(orders, fds)
            self._is_joined = True

    def make(self) -> bool:
        """Make it, with its limits; say whether another process must be the job, as that which was taken in is not in.

        Raises:
            CgroupError: it cannot be made, or not with its limits.
        """
        if self._blank is not None:
            try:
                self._blank.lifecycle.turn(self._blank.name, self._spec.cgroup, self._spec.limits)
            except CgroupError:  # It was removed, or the name is taken; or its limits are refused, now as below.
                self._blank = None
            else:
                self._blank.is_turned = True
                return False
        self.lifecycle.create(self._spec.cgroup, self._spec.limits)
        was_joined, self._is_joined = self._is_joined, False
        return was_joined

    def join(self, orders: socket.socket) -> None:
        """Have the job's process join it, if it has not. Raises OSError: it has ended."""
        if not self._is_joined:
            job_process.give_cgroup(orders, self.lifecycle.open_join_fds(self._spec.cgroup))

    def open_oom_watch(self) -> OomWatch:
        """Watch it for out-of-memory."""
        return self._blank.oom if self._blank is not None else self.lifecycle.open_oom_watch(self._spec.cgroup)

    def open_usage(self) -> UsageReader:
        """Return a reader of what it uses."""
        return self._blank.usage if self._blank is not None else self.lifecycle.open_usage(self._spec.cgroup)

    def open_io_lift(self) -> IoLift:
        """Return what takes its limits of io off."""
        return self.lifecycle.open_io_lift(self._spec.cgroup) if self._spec.limits.io else NO_LIFT

    def judge_limits(self) -> dict[str, str]:
        """Return what the kernel says of its limits.

        Raises:
            NotEnforced: they are not what was wanted.
        """
        found = self.lifecycle.read_limits(self._spec.cgroup, self._spec.limits)
        if wrong := readback.problems(found):
            raise NotEnforced(f"cannot begin the run: the kernel says {'; '.join(wrong)}")
        return readback.as_plain(found)
