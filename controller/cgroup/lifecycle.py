"""What can be done with a run's cgroup, the same for version 1 and 2; its errors; its OOM watch's shape.

Here: the protocol and what both versions share of it. Never here: files, paths, policy.
Invariant: only directories directly under our own parent are ever made, written, killed or removed.
"""

import errno
import re
from typing import Protocol

from controller.cgroup.io_lift import IoLift
from controller.cgroup.limits import Limits, Write
from controller.cgroup.usage import Usage, UsageReader

BLANK = "blank-"
"""What the names of cgroups begin with that are no run's so far."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


class CgroupError(OSError):
    """Something with a cgroup failed; `errno` is the kernel's (ENOENT: there is no such cgroup)."""

    def __init__(self, purpose: str, cause: OSError, fix: str = "") -> None:
        super().__init__(cause.errno or errno.EIO, cause.strerror or str(cause))
        self.purpose = purpose
        self.fix = fix

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        return f"cannot {self.purpose}: {name} ({self.strerror})" + (f": {self.fix}" if self.fix else "")


class CgroupBusy(CgroupError):
    """A cgroup still has processes (or, on version 1, unreaped ones): kill it, reap them, and try again."""


class OomWatch(Protocol):
    """Tells of out-of-memory in one cgroup. It works on when its process has lost sight of /sys, and every right."""

    fds: tuple[int, ...]
    """All it keeps open."""

    def fileno(self) -> int:
        """Return a descriptor that polls readable after an out-of-memory event: then `acknowledge`, and count."""

    def acknowledge(self) -> None:
        """Make `fileno` wait for the next event."""

    def killed_count(self) -> int:
        """Return how many processes were killed for memory so far."""

    def was_at_its_limit(self) -> bool:
        """Say whether the cgroup itself was ever as large as it may be; else it was killed for others' sake too."""

    def close(self) -> None:
        """Close what it keeps open; a second time does nothing."""


class Lifecycle(Protocol):
    """Cgroups of runs, each of one name under one parent. Every method raises `CgroupError` if the kernel refuses."""

    def create(self, name: str, limits: Limits) -> None:
        """Make the cgroup with these limits; if it is there, give it these limits. A failure leaves none."""

    def make_blank(self, name: str) -> bool:
        """Make a cgroup, `BLANK` in front of its name, to be a run's later, by `turn`; False where none can be.

        What was opened of it stays open when it is turned. One of that name that is there, empty, is replaced.
        """

    def turn(self, blank: str, name: str, limits: Limits) -> None:
        """Give a blank its run's name, and these limits, none of which are of CPUs or io: a blank can have no such.

        A failure leaves nothing of it by that name; what is left of the blank is to be removed.
        """

    def update(self, name: str, limits: Limits) -> None:
        """Give the cgroup these limits in place of those it has."""

    def read_limits(self, name: str, limits: Limits) -> tuple[tuple[Write, str], ...]:
        """Return what the files say now that `create` writes for these limits; see `readback`."""

    def open_join_fds(self, name: str) -> tuple[int, ...]:
        """Return descriptors: a process that writes b"0" to each is in the cgroup. The caller closes them.

        Only a process of one thread may: of more, version 1 would move the writing one alone.
        """

    def open_oom_watch(self, name: str) -> OomWatch:
        """Watch for out-of-memory. The caller closes it."""

    def open_io_lift(self, name: str) -> IoLift:
        """Return what takes the limits of io off again, its files open; of a cgroup without any, nothing is open.

        What waits for its turn at the disk cannot be killed until it has it. The caller closes it.
        """

    def open_usage(self, name: str) -> UsageReader:
        """Return a reader of what the cgroup uses, its files open. The caller closes it."""

    def usage(self, name: str) -> Usage:
        """Return what the cgroup uses."""

    def freeze(self, name: str) -> None:
        """Stop its processes where they are. On version 1 they do not even die until thawed."""

    def thaw(self, name: str) -> None:
        """Let its processes go on."""

    def kill(self, name: str) -> None:
        """Kill every process in the cgroup, frozen or not, and return when none is left. Not there: nothing to do.

        Limits of io are taken off, for what waits for the disk to end.
        """

    def remove(self, name: str) -> None:
        """Remove the cgroup; not there: nothing to do. Kills nothing.

        Raises:
            CgroupBusy: it still has processes; the caller may kill, reap and try again.
        """

    def names(self) -> tuple[str, ...]:
        """Return the cgroups of runs there are under the parent, in whichever hierarchy, sorted; blanks are of none."""

    def remove_blanks(self) -> None:
        """Remove all blanks. Whoever was about to `turn` one finds it gone.

        Raises:
            CgroupBusy: one of them has processes, which nobody of ours put there.
        """

    def remove_parent(self) -> None:
        """Remove the parent and its blanks, which ends this object's use. Not there: nothing to do.

        Raises:
            CgroupBusy: it still has cgroups.
        """

    def close(self) -> None:
        """Let go of the open directories; nothing is removed."""


def check_parent(path: str) -> None:
    """Refuse a parent that is not plain names, one below the other.

    Raises:
        ValueError: one of them is none, as `check_name` says.
    """
    for name in path.split("/"):
        check_name(name)


def check_name(name: str) -> None:
    """Refuse a name that would reach outside the parent.

    Raises:
        ValueError: it is not one path component of plain characters.

    >>> check_name("../elsewhere")
    Traceback (most recent call last):
    ...
    ValueError: cannot name a cgroup '../elsewhere': use letters, digits, '.', '_' and '-', and begin with no '.' or '-'
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"cannot name a cgroup {name!r}: use letters, digits, '.', '_' and '-', and begin with no '.' or '-'"
        )
