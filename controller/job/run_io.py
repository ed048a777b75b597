"""How much the processes of a run read from disks and wrote to them, from the kernel's account of each.

A process that ended and was waited for is in its parent's account; one that nobody waited for is lost with it. Cgroups
of version 1 would count it all, but only for runs whose io is limited. Source: proc_pid_io(5); wait_task_zombie() in
kernel/exit.c.
"""

from dataclasses import dataclass
from pathlib import Path

from controller.cgroup import choose
from controller.cgroup.usage import flat_keyed


@dataclass(frozen=True, slots=True)
class RunIo:
    """Bytes, since each process began."""

    read_bytes: int
    written_bytes: int


def of_run(cgroup_parent: str, cgroup: str) -> RunIo | None:
    """Return what the processes in a run's cgroup read and wrote; None if there is no telling."""
    try:
        mounts = choose.hierarchies_of_host().mounts
        members = Path(mounts["pids"], cgroup_parent, cgroup, "cgroup.procs").read_text().split()
    except (OSError, KeyError):
        return None
    accounts = [account for pid in members if (account := _account(pid)) is not None]
    return RunIo(sum(each.read_bytes for each in accounts), sum(each.written_bytes for each in accounts))


def _account(pid: str) -> RunIo | None:
    try:
        fields = flat_keyed(Path("/proc", pid, "io").read_text().replace(":", " "))
    except (OSError, ValueError):
        return None  # It ended a moment ago.
    return RunIo(fields.get("read_bytes", 0), fields.get("write_bytes", 0))
