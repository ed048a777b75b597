"""What runwright could leave behind on a host, seen before and after: so that a test can tell that it left nothing."""

import os
import select
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from controller.cgroup import choose
from controller.linux import mountinfo

_TRIES = 1500
_TRY_MILLISECONDS = 10


@dataclass(frozen=True)
class Snapshot:
    """The mounts, our cgroups, our processes and what they isolate, and this process' descriptors."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    network_namespaces: frozenset[str]
    descriptors: int


def snapshot() -> Snapshot:
    """Look at the host as it is now. Of processes, those count that descend from this one or are named as runs are."""
    mine = _our_processes()
    return Snapshot(
        mounts=frozenset(entry.mount_point for entry in mountinfo.parse(Path("/proc/self/mountinfo").read_text())),
        cgroups=frozenset(_our_cgroups()),
        processes=frozenset(f"{pid} {_name(pid)}" for pid in mine),
        network_namespaces=frozenset(filter(None, (_link(f"/proc/{pid}/ns/net") for pid in mine))),
        descriptors=len(os.listdir("/proc/self/fd")),
    )


def assert_as_before(before: Snapshot) -> None:
    """Fail, saying what is left, unless the host comes to be as it was within fifteen seconds: the kernel also tidies."""
    left = difference(before, snapshot())
    for _ in range(_TRIES):
        if not left:
            return
        select.poll().poll(_TRY_MILLISECONDS)
        left = difference(before, snapshot())
    raise AssertionError(f"left behind on the host: {left}; open is {_opened()}")


def _opened() -> list[str]:
    """Return what this process has open, for who looks for what should not be."""
    return [f"{fd} {_link(f'/proc/self/fd/{fd}')}" for fd in sorted(map(int, os.listdir("/proc/self/fd")))]


def difference(before: Snapshot, after: Snapshot) -> dict[str, object]:
    """Return what is there after and was not before."""
    left: dict[str, object] = {}
    for field in fields(Snapshot):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if isinstance(old, int):
            if new > old:
                left[field.name] = f"{old} before, {new} after"
        elif new - old:
            left[field.name] = sorted(new - old)
    return left


def directory_on_disk(prefix: str) -> Path:
    """Make a directory that is on a disk, which /tmp may not be. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))


def _our_cgroups() -> set[str]:
    """Return the cgroups made by this process' tests: other tests may run beside them."""
    found = set()
    for mount in set(choose.hierarchies_of_host().mounts.values()):
        for parent in Path(mount).glob(f"runwright-test-{os.getpid()}-*"):
            found.add(str(parent))
            found.update(str(child) for child in parent.iterdir() if child.is_dir())
    return found


def _our_processes() -> set[int]:
    """Return this process' descendants, dead ones not yet reaped included."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found: set[int] = set()
    queue = [os.getpid()]
    while queue:
        for child in children.get(queue.pop(), []):
            found.add(child)
            queue.append(child)
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except (FileNotFoundError, ProcessLookupError):
        return ""
