"""What launches cost beside time: processor time by cgroup, private memory, and what is left on the host after them."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/cpuacct")
_V2 = Path("/sys/fs/cgroup")
_NAMESPACES = ("mnt", "net", "ipc", "uts", "pid", "user", "cgroup")


class Meter:
    """Processor time of one contender: of a cgroup that this process enters for it, and of others that runs are in."""

    def __init__(self, name: str, others: tuple[str, ...] = ()) -> None:
        self._v1 = _V1.is_dir()
        root = _V1 if self._v1 else _V2
        self._own = root / name
        self._own.mkdir(exist_ok=True)
        self._all = [self._own, *(root / other for other in others)]

    def enter(self) -> None:
        """Have what this process does, and whom it starts, counted."""
        (self._own / ("tasks" if self._v1 else "cgroup.procs")).write_text("0")

    def milliseconds(self) -> float:
        """Return what was used so far."""
        return sum(self._used(directory) for directory in self._all)

    def _used(self, directory: Path) -> float:
        try:
            if self._v1:
                return int((directory / "cpuacct.usage").read_text()) / 1e6
            return int((directory / "cpu.stat").read_text().split()[1]) / 1e3
        except FileNotFoundError:  # Nothing of it has run so far.
            return 0.0

    def close(self) -> None:
        """Go back to the root, and remove the cgroup, with those that peers left in it."""
        (self._own.parent / ("tasks" if self._v1 else "cgroup.procs")).write_text("0")
        remove_cgroups(self._own)


def remove_cgroups(top: Path) -> None:
    """Remove a cgroup with all below it, or what a runtime took for one."""
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            shutil.rmtree(directory)


def private_kib(pid: int) -> int:
    """Return what of the memory of a process nobody else has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(found) for found in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def left_on_host(launcher_pid: int, cgroup_parent: str) -> dict[str, int]:
    """Return counts that launches must not add to: of the launcher, and of all that is below it or named after it."""
    below = with_all_below(launcher_pid)
    cgroups = [parent for parent in Path("/sys/fs/cgroup").glob(f"*/{cgroup_parent}") if parent.is_dir()]
    return {
        "launcher's memory, KiB": private_kib(launcher_pid),
        "launcher's descriptors": len(os.listdir(f"/proc/{launcher_pid}/fd")),
        "processes below it": len(below) - 1,
        "zombies among them": sum(_state(pid) == "Z" for pid in below),
        "host's mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups of runs": sum(sum(entry.is_dir() for entry in parent.iterdir()) for parent in cgroups),
        **{f"{kind} namespaces": _count(below, kind) for kind in _NAMESPACES},
    }


def with_all_below(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        found = _stat(int(name))
        if found is not None:
            parents.setdefault(int(found[1]), []).append(int(name))
    below, at = [pid], 0
    while at < len(below):
        below += parents.get(below[at], [])
        at += 1
    return below


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _state(pid: int) -> str:
    found = _stat(pid)
    return "" if found is None else found[0]


def _count(pids: list[int], kind: str) -> int:
    """Count the namespaces of these processes, and those they hold open."""
    found: set[str] = set()
    for pid in pids:
        for path in (f"/proc/{pid}/ns/{kind}", *_open_files(pid)):
            target = _link(path)
            if target.startswith(f"{kind}:["):
                found.add(target)
    return len(found)


def _open_files(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def differences(before: dict[str, int], after: Callable[[], dict[str, int]]) -> dict[str, tuple[int, int]]:
    """Return what there was before and is now of each."""
    now = after()
    return {name: (count, now[name]) for name, count in before.items()}
