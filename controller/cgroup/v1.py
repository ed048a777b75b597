"""Cgroups of version 1: one directory a hierarchy, killed by freezing first. See `lifecycle` for the contract.

Source: Documentation/admin-guide/cgroup-v1/{cgroups,memory,freezer-subsystem}.rst, kernel 6.1.
Invariant: what this module froze, it thaws, whatever happens between: a frozen process holds SIGKILL back.
"""

import errno
import os
import select
import signal
from dataclasses import dataclass

from controller.cgroup import usage
from controller.cgroup.detect import Hierarchies
from controller.cgroup.io_lift import FREE_V1, IoLift
from controller.cgroup.lifecycle import BLANK, CgroupError, OomWatch, check_name, check_parent
from controller.cgroup.limits import Limits, Write, rewrites_v1, writes_v1
from controller.cgroup.rare_v1 import RareControllers
from controller.cgroup.tree import ParentDirectory
from controller.cgroup.usage import Usage, UsageReader

_KILL_ROUNDS = 50
_ROUND_MILLISECONDS = 200
_THROTTLES = tuple(f"blkio.throttle.{what}_device" for what in ("read_bps", "write_bps", "read_iops", "write_iops"))
_CHARGED_AT_ONCE_BYTES = 128 * os.sysconf("SC_PAGE_SIZE")
"""Twice as much. Source: MEMCG_CHARGE_BATCH in include/linux/memcontrol.h."""
_QUOTA = "cpu.cfs_quota_us"
_EVENT_BYTES = 8


@dataclass(slots=True)
class EventfdOomWatch:
    """An eventfd that counts out-of-memory, here or in the cgroups above; the killed; the most there was; the limit."""

    fds: tuple[int, ...]

    def fileno(self) -> int:
        """Return the eventfd. It also becomes readable when the cgroup is removed."""
        return self.fds[0]

    def acknowledge(self) -> None:
        """Empty the eventfd."""
        try:
            os.read(self.fds[0], _EVENT_BYTES)
        except BlockingIOError:
            return

    def killed_count(self) -> int:
        """Return how many processes were killed for memory so far."""
        return usage.flat_keyed(usage.read_again(self.fds[1])).get("oom_kill", 0)

    def was_at_its_limit(self) -> bool:
        """Say whether it ever was as large as it may be, but for what the kernel takes at once.

        Not memory.failcnt, which Linux 6.18 does not count any more.
        """
        most, limit = (int(usage.read_again(fd)) for fd in self.fds[2:])
        return most + _CHARGED_AT_ONCE_BYTES >= limit

    def close(self) -> None:
        """Close both."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)


class CgroupV1:
    """Runs' cgroups in the memory, cpu, cpuacct, pids and freezer hierarchies; see `Lifecycle`."""

    def __init__(self, hierarchies: Hierarchies, parent: str) -> None:
        check_parent(parent)
        # Two controllers may share a mount (cpu,cpuacct): one directory each then, not two.
        by_mount: dict[str, ParentDirectory] = {}
        try:
            for mount in hierarchies.mounts.values():
                if mount not in by_mount:
                    by_mount[mount] = ParentDirectory(mount, parent)
        except CgroupError:
            for directory in by_mount.values():
                directory.close()
            raise
        self._depth = len(parent.split("/"))
        self._directories = tuple(by_mount.values())
        self._of = {controller: by_mount[mount] for controller, mount in hierarchies.mounts.items()}
        memory_root = hierarchies.mounts["memory"]
        self._counts_swap = os.path.exists(f"{memory_root}/memory.memsw.limit_in_bytes")
        self._rare = RareControllers(hierarchies.rare, parent, by_mount)

    def create(self, name: str, limits: Limits) -> None:
        """Make the cgroup in every hierarchy and write its limits."""
        check_name(name)
        made: list[ParentDirectory] = []
        fresh = True
        try:
            for directory in self._directories:
                if directory.make(name):
                    made.append(directory)
                else:
                    fresh = False
            writes = (writes_v1 if fresh else rewrites_v1)(limits, counts_swap=self._counts_swap)
            made.extend(directory for directory in self._rare.needed_for(writes) if directory.make(name))
            self._write_all(name, writes)
        except CgroupError:
            for directory in made:
                directory.remove(name)
            raise

    def make_blank(self, name: str) -> bool:
        """Make it in every hierarchy."""
        check_name(name)
        self.remove(name)
        try:
            for directory in self._directories:
                directory.make(name)
        except CgroupError:
            self.remove(name)
            raise
        return True

    def turn(self, blank: str, name: str, limits: Limits) -> None:
        """Rename it in every hierarchy, and write its limits as those of one just made, which it is."""
        check_name(blank)
        check_name(name)
        turned: list[ParentDirectory] = []
        try:
            for directory in self._directories:
                directory.rename(blank, name)
                turned.append(directory)
            self._write_all(name, writes_v1(limits, counts_swap=self._counts_swap))
        except CgroupError:
            for directory in turned:
                directory.remove(name)
            raise

    def update(self, name: str, limits: Limits) -> None:
        """Write the limits over those it has."""
        check_name(name)
        self._write_all(name, rewrites_v1(limits, counts_swap=self._counts_swap))

    def read_limits(self, name: str, limits: Limits) -> tuple[tuple[Write, str], ...]:
        """Read each file that a fresh cgroup's limits are written to."""
        check_name(name)
        writes = writes_v1(limits, counts_swap=self._counts_swap)
        return tuple((write, self._directory_of(write).read(f"{name}/{write.file}")) for write in writes)

    def open_join_fds(self, name: str) -> tuple[int, ...]:
        """Open tasks of each hierarchy.

        Of `tasks` and not cgroup.procs, whose writer waits for an RCU grace period (4 to 11 ms, measured) unless
        another just did. A thread that moves itself need not.
        Source: cgroup_procs_write_start() in kernel/cgroup/cgroup.c, Linux 5.5.
        """
        check_name(name)
        directories = (*self._directories, *self._rare.with_cgroup(name))
        return self._open_all([(directory, f"{name}/tasks", os.O_WRONLY) for directory in directories])

    def open_oom_watch(self, name: str) -> OomWatch:
        """Register an eventfd for memory.oom_control."""
        check_name(name)
        memory = self._of["memory"]
        control = memory.open(f"{name}/memory.oom_control", os.O_RDONLY)
        fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), control]
        try:
            for file in ("memory.max_usage_in_bytes", "memory.limit_in_bytes"):
                fds.append(memory.open(f"{name}/{file}", os.O_RDONLY))  # noqa: PERF401 - those there are, are closed.
            memory.write(f"{name}/cgroup.event_control", f"{fds[0]} {control}")
        except CgroupError:
            for fd in fds:
                os.close(fd)
            raise
        return EventfdOomWatch(tuple(fds))

    def open_io_lift(self, name: str) -> IoLift:
        """Open the blkio.throttle files, where the run has some."""
        check_name(name)
        blkio = [directory for directory in self._rare.with_cgroup(name) if directory.has(f"{name}/{_THROTTLES[0]}")]
        files = [(directory, f"{name}/{file}", os.O_RDWR) for directory in blkio for file in _THROTTLES]
        return IoLift(self._open_all(files), FREE_V1)

    def open_usage(self, name: str) -> UsageReader:
        """Open the files of `usage.FILES_V1`."""
        check_name(name)
        files = [(self._of[controller], f"{name}/{file}", os.O_RDONLY) for controller, file in usage.FILES_V1]
        return UsageReader(self._open_all(files), usage.parse_v1)

    def usage(self, name: str) -> Usage:
        """Read those files once."""
        with self.open_usage(name) as reader:
            return reader.read()

    def freeze(self, name: str) -> None:
        """Freeze; the kernel may still be at it when this returns."""
        check_name(name)
        self._of["freezer"].write(f"{name}/freezer.state", "FROZEN")

    def thaw(self, name: str) -> None:
        """Thaw."""
        check_name(name)
        self._of["freezer"].write(f"{name}/freezer.state", "THAWED")

    def kill(self, name: str) -> None:
        """Freeze so that nothing forks, signal, thaw so that it dies; again until nothing is left."""
        check_name(name)
        lift = self.open_io_lift(name)
        lift.lift()
        lift.close()
        try:
            for _ in range(_KILL_ROUNDS):
                victims = self._signal_all(name)
                if not victims and not self._members(name):
                    return
                _wait_for_exits(victims)
        except CgroupError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            return
        left = len(self._members(name))
        cause = OSError(errno.EBUSY, f"{left} processes are left after {_KILL_ROUNDS} rounds of SIGKILL")
        raise CgroupError(f"kill the cgroup {name}", cause, "look for processes in state D")

    def remove(self, name: str) -> None:
        """Remove its directory in every hierarchy."""
        check_name(name)
        for directory in self._directories:
            directory.remove(name)
        self._rare.remove(name)

    def names(self) -> tuple[str, ...]:
        """Return what is there in any hierarchy, so that halves are found too."""
        return tuple(sorted(name for name in self._all_names() if not name.startswith(BLANK)))

    def remove_blanks(self) -> None:
        """Remove them from every hierarchy."""
        for name in self._all_names():
            if name.startswith(BLANK):
                self.remove(name)

    def remove_parent(self) -> None:
        """Remove the parent in every hierarchy."""
        self.remove_blanks()
        for directory in self._directories:
            directory.remove_itself()
        self._rare.remove_parents()

    def close(self) -> None:
        """Close the parents' directories."""
        for directory in self._directories:
            directory.close()
        self._rare.close()

    def _all_names(self) -> set[str]:
        return set[str]().union(*(directory.names() for directory in self._directories), self._rare.names())

    def _write_all(self, name: str, writes: tuple[Write, ...]) -> None:
        for write in writes:
            try:
                self._directory_of(write).write(f"{name}/{write.file}", write.value)
            except CgroupError as error:
                if error.errno != errno.EINVAL or write.file != _QUOTA:
                    raise
                self._of["cpu"].write(f"{name}/{_QUOTA}", self._quota_above(error))

    def _quota_above(self, refusal: CgroupError) -> str:
        """Return the quota of the cgroups above: none below may have more, where version 2 just gives no more."""
        quotas = [int(self._of["cpu"].read(f"{'../' * above}{_QUOTA}")) for above in range(self._depth)]
        least = min((quota for quota in quotas if quota > 0), default=None)
        if least is None:
            raise refusal
        return str(least)

    def _directory_of(self, write: Write) -> ParentDirectory:
        return self._of.get(write.controller) or self._rare.directory(write.controller)

    def _open_all(self, files: list[tuple[ParentDirectory, str, int]]) -> tuple[int, ...]:
        fds: list[int] = []
        try:
            for directory, path, flags in files:
                fds.append(directory.open(path, flags))
        except CgroupError:
            for fd in fds:
                os.close(fd)
            raise
        return tuple(fds)

    def _members(self, name: str) -> set[int]:
        # In every hierarchy: a process that is stopped between two joins is in one of them only.
        members: set[int] = set()
        for directory in self._directories:
            members.update(map(int, directory.read(f"{name}/cgroup.procs").split()))
        return members

    def _signal_all(self, name: str) -> list[int]:
        """Send SIGKILL to what is in the cgroup; return pidfds of it, which the caller closes.

        None is left open where it raises: the cgroup may go at any moment, its processes being another's to end too.
        """
        held: dict[int, int] = {}
        victims: list[int] = []
        try:
            self.freeze(name)
            try:
                held = _hold(self._members(name))
                # Asked again with the processes held: a pid used anew in between is not in the cgroup now.
                still = self._members(name)
                sent = [fd for pid, fd in held.items() if pid in still and _sent(fd)]
            finally:
                self.thaw(name)
            victims = sent
            return victims
        finally:
            for fd in set(held.values()).difference(victims):
                os.close(fd)


def _hold(pids: set[int]) -> dict[int, int]:
    held = {}
    for pid in pids:
        try:
            held[pid] = os.pidfd_open(pid)
        except ProcessLookupError:  # Gone already, which is what we want of it.
            continue
    return held


def _sent(fd: int) -> bool:
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _wait_for_exits(pidfds: list[int]) -> None:
    """Wait until all have ended, for a round's time at most, and close them."""
    poll = select.poll()
    for fd in pidfds:
        poll.register(fd, select.POLLIN)
    waiting = set(pidfds)
    while waiting:
        ended = [fd for fd, _ in poll.poll(_ROUND_MILLISECONDS)]
        if not ended:
            break
        for fd in ended:
            poll.unregister(fd)
            waiting.discard(fd)
    for fd in pidfds:
        os.close(fd)
