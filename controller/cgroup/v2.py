"""Cgroups of version 2: one directory, killed by one write. See `lifecycle` for the contract.

Source: Documentation/admin-guide/cgroup-v2.rst, kernel 6.1. cgroup.kill needs Linux 5.14.
"""

import errno
import os
import select
from collections.abc import Iterable, Set
from dataclasses import dataclass

from controller.cgroup import usage
from controller.cgroup.cpus import cpu_numbers
from controller.cgroup.detect import NEEDED_V2, Hierarchies
from controller.cgroup.io_lift import FREE_V2, IoLift
from controller.cgroup.lifecycle import CgroupError, OomWatch, check_name, check_parent
from controller.cgroup.limits import Limits, Write, writes_v2
from controller.cgroup.tree import ParentDirectory
from controller.cgroup.usage import Usage, UsageReader
from controller.linux import inotify

_KILL_MILLISECONDS = 10_000
_PROCESSES_IN_ROOT = "processes are in the cgroup above: move them into a cgroup of their own"


@dataclass(slots=True)
class InotifyOomWatch:
    """An inotify of memory.events, and that file open. The kernel modifies it at other memory events too."""

    fds: tuple[int, ...]

    def fileno(self) -> int:
        """Return the inotify descriptor."""
        return self.fds[0]

    def acknowledge(self) -> None:
        """Empty the inotify."""
        try:
            os.read(self.fds[0], 65536)
        except BlockingIOError:
            return

    def killed_count(self) -> int:
        """Return how many processes were killed for memory so far."""
        return usage.flat_keyed(usage.read_again(self.fds[1])).get("oom_kill", 0)

    def was_at_its_limit(self) -> bool:
        """Say whether it was out of memory by its own limit: what the cgroups above did is not counted in it."""
        return usage.flat_keyed(usage.read_again(self.fds[1])).get("oom", 0) > 0

    def close(self) -> None:
        """Close both."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)


class CgroupV2:
    """Runs' cgroups in the unified hierarchy; see `Lifecycle`."""

    def __init__(self, hierarchies: Hierarchies, parent: str) -> None:
        check_parent(parent)
        self._rare = hierarchies.rare
        self._depth = len(parent.split("/"))
        self._directory = ParentDirectory(hierarchies.mounts["memory"], parent)
        self._enable(NEEDED_V2)

    def create(self, name: str, limits: Limits) -> None:
        """Make the cgroup and write its limits."""
        check_name(name)
        if rare := {write.controller for write in writes_v2(limits)} - {*NEEDED_V2}:
            self._enable_rare(rare)
        made = self._directory.make(name)
        try:
            self.update(name, limits)
        except CgroupError:
            if made:
                self._directory.remove(name)
            raise

    def make_blank(self, name: str) -> bool:
        """Make none: a cgroup keeps the name it was made with."""
        check_name(name)
        return False

    def turn(self, blank: str, name: str, _limits: Limits) -> None:
        """Refuse, as above."""
        check_name(blank)
        cause = OSError(errno.EPERM, "a cgroup of version 2 keeps its name")
        raise CgroupError(f"call {self._directory.path}/{blank} {name}", cause)

    def update(self, name: str, limits: Limits) -> None:
        """Write the limits over those it has."""
        check_name(name)
        for write in writes_v2(limits):
            fix = "boot with swapaccount=1" if write.file == "memory.swap.max" else ""
            self._directory.write(f"{name}/{write.file}", write.value, fix)
        if limits.cpus:
            self._check_cpus(name, limits)

    def read_limits(self, name: str, limits: Limits) -> tuple[tuple[Write, str], ...]:
        """Read each file that a cgroup's limits are written to."""
        check_name(name)
        return tuple((write, self._directory.read(f"{name}/{write.file}")) for write in writes_v2(limits))

    def open_join_fds(self, name: str) -> tuple[int, ...]:
        """Open cgroup.procs."""
        check_name(name)
        return (self._directory.open(f"{name}/cgroup.procs", os.O_WRONLY),)

    def open_oom_watch(self, name: str) -> OomWatch:
        """Watch memory.events for changes.

        By its descriptor: whoever asks may see a /proc and no /sys/fs/cgroup, as in the root of a run.
        """
        check_name(name)
        events = self._directory.open(f"{name}/memory.events", os.O_RDONLY)
        try:
            watch = inotify.watch_modified(f"/proc/self/fd/{events}")
        except OSError as error:
            os.close(events)
            raise CgroupError(f"watch {self._directory.path}/{name}/memory.events", error) from error
        return InotifyOomWatch((watch, events))

    def open_io_lift(self, name: str) -> IoLift:
        """Open io.max, where io is limited at all."""
        check_name(name)
        file = f"{name}/io.max"
        fds = (self._directory.open(file, os.O_RDWR),) if self._directory.has(file) else ()
        return IoLift(fds, FREE_V2)

    def open_usage(self, name: str) -> UsageReader:
        """Open the files of `usage.FILES_V2`; memory.peak is left out where the kernel has none."""
        check_name(name)
        fds: list[int] = []
        try:
            for _, file in usage.FILES_V2:
                fds.append(self._open_usage_file(f"{name}/{file}"))
        except CgroupError:
            UsageReader(tuple(fds), usage.parse_v2).close()
            raise
        return UsageReader(tuple(fds), usage.parse_v2)

    def usage(self, name: str) -> Usage:
        """Read those files once."""
        with self.open_usage(name) as reader:
            return reader.read()

    def freeze(self, name: str) -> None:
        """Freeze; the kernel may still be at it when this returns."""
        check_name(name)
        self._directory.write(f"{name}/cgroup.freeze", "1")

    def thaw(self, name: str) -> None:
        """Thaw."""
        check_name(name)
        self._directory.write(f"{name}/cgroup.freeze", "0")

    def kill(self, name: str) -> None:
        """Write cgroup.kill, which reaches frozen and forking processes alike, and wait for the last to go."""
        check_name(name)
        try:
            events = self._directory.open(f"{name}/cgroup.events", os.O_RDONLY)
        except CgroupError as error:
            if error.errno != errno.ENOENT:
                raise
            return
        try:
            lift = self.open_io_lift(name)
            lift.lift()
            lift.close()
            self._directory.write(f"{name}/cgroup.kill", "1", "cgroup.kill needs Linux 5.14")
            self._wait_until_empty(name, events)
        finally:
            os.close(events)

    def remove(self, name: str) -> None:
        """Remove its directory."""
        check_name(name)
        self._directory.remove(name)

    def names(self) -> tuple[str, ...]:
        """Return what is there."""
        return tuple(sorted(self._directory.names()))

    def remove_blanks(self) -> None:
        """Remove nothing, as above."""

    def remove_parent(self) -> None:
        """Remove the parent."""
        self._directory.remove_itself()

    def close(self) -> None:
        """Close the parent's directory."""
        self._directory.close()

    def _enable(self, controllers: Iterable[str]) -> None:
        """Have the controllers in every cgroup of the parent: they are enabled from the root down."""
        enable = " ".join(f"+{controller}" for controller in controllers)
        for above in range(self._depth, -1, -1):
            self._directory.write(f"{'../' * above}cgroup.subtree_control", enable, _PROCESSES_IN_ROOT)

    def _enable_rare(self, controllers: Set[str]) -> None:
        if lacking := controllers - self._rare.keys():
            cause = OSError(errno.ENODEV, f"cgroup v2 has no {', '.join(sorted(lacking))} here")
            raise CgroupError("limit this run", cause, "enable it in cgroup.subtree_control of the cgroups above")
        self._enable(sorted(controllers))

    def _check_cpus(self, name: str, limits: Limits) -> None:
        """Refuse CPUs that are not there: the kernel would take others, and say nothing."""
        effective = self._directory.read(f"{name}/cpuset.cpus.effective").strip()
        if cpu_numbers(effective) != limits.cpus:
            cause = OSError(errno.ENODEV, f"there are the CPUs {effective}, not {limits.cpu_list}")
            raise CgroupError(f"pin {self._directory.path}/{name}", cause, "use CPUs that are online")

    def _open_usage_file(self, path: str) -> int:
        try:
            return self._directory.open(path, os.O_RDONLY)
        except CgroupError as error:
            if (
                path.endswith("/memory.peak")
                and error.errno == errno.ENOENT
                and self._directory.has(path.replace("/memory.peak", "/memory.current"))
            ):
                return -1
            raise

    def _wait_until_empty(self, name: str, events: int) -> None:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while usage.flat_keyed(usage.read_again(events)).get("populated"):
            if not poll.poll(_KILL_MILLISECONDS):
                cause = OSError(errno.EBUSY, f"processes are left {_KILL_MILLISECONDS // 1000} s after SIGKILL")
                raise CgroupError(f"kill the cgroup {name}", cause, "look for processes in state D")
