"""The one cgroup that everything of a daemon is in, runs, builds and their supervisors: its caps, so the host survives.

Below it are `runs`, `builds` and `launcher`. Invariants: a cap is on all of them together, whatever each is allowed; a
cap that an administrator made lower is kept, and told. What we wrote ourselves is remembered on the cgroup, by an
extended attribute: it lasts as long as what it is about.
"""

import contextlib
import errno
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass

from controller.cgroup.detect import NEEDED_V2, Hierarchies
from controller.cgroup.lifecycle import CgroupBusy, CgroupError, check_name
from controller.cgroup.slice_caps import UNLIMITED, Cap, Caps, caps_v1, caps_v2, number
from controller.cgroup.tree import ParentDirectory

RUNS, BUILDS, LAUNCHER = "runs", "builds", "launcher"
_ATTRIBUTE = "trusted.runwright."
_IF_SWAP_IS_COUNTED = ("memory.memsw.limit_in_bytes", "memory.swap.max")
_REMOVAL_TRIES = 200
_REMOVAL_MILLISECONDS = 10


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    cap: Cap


class Slice:
    """The cgroup `name`, directly below the root of each hierarchy."""

    def __init__(self, hierarchies: Hierarchies, name: str) -> None:
        check_name(name)
        self._hierarchies = hierarchies
        self._name = name

    def hold(self, caps: Caps) -> tuple[str, ...]:
        """Make it, and give it these caps; return what is to be told of values that others had set.

        Raises:
            CgroupError: a cap cannot be set.
        """
        self._make()
        told = [self._hold(file, file.cap) for file in self._files(caps)]
        for leaf in (RUNS, BUILDS):
            # What they leave is for supervisors, which are started and go on whatever runs do.
            _write(f"{self._path('pids')}/{leaf}/pids.max", caps.pids_of_leaves)
        return tuple(text for text in told if text)

    def remove(self) -> None:
        """Remove it and what is in it, once that is empty; not there: nothing to do.

        Raises:
            CgroupBusy: something in it still runs.
        """
        for mount in {*self._hierarchies.mounts.values(), *self._hierarchies.rare.values()}:
            path = f"{mount}/{self._name}"
            for leaf in (f"{path}/{RUNS}", f"{path}/{BUILDS}", f"{path}/{LAUNCHER}", path):
                _remove(leaf)

    def _make(self) -> None:
        for mount in dict.fromkeys(self._hierarchies.mounts.values()):
            for leaf in (RUNS, BUILDS):
                ParentDirectory(mount, f"{self._name}/{leaf}").close()
        if self._hierarchies.version == 2:
            enable = " ".join(f"+{controller}" for controller in NEEDED_V2)
            mount = self._hierarchies.mounts["memory"]
            for place in (mount, f"{mount}/{self._name}"):
                _write(f"{place}/cgroup.subtree_control", enable)

    def _path(self, controller: str) -> str:
        return f"{self._hierarchies.mounts[controller]}/{self._name}"

    def _files(self, caps: Caps) -> Iterator[_File]:
        make = caps_v2 if self._hierarchies.version == 2 else caps_v1
        for cap in make(caps):
            path = f"{self._path(cap.controller)}/{cap.file}"
            if cap.file not in _IF_SWAP_IS_COUNTED or os.path.exists(path):
                yield _File(path, cap)

    def _hold(self, file: _File, cap: Cap) -> str:
        """Set one cap; return what to tell if somebody else had set another."""
        now = _read(file.path)
        found, wanted = number(now), number(cap.value)
        is_ours = found == UNLIMITED or now == _remembered(file.path)
        if not is_ours and found < wanted:
            return f"{file.path} is {now}, which somebody else set: it is lower than {cap.setting}, and kept"
        if found != wanted:
            self._set(file, cap)
        # As the kernel has it: it rounds.
        kept = _read(file.path)
        _remember(file.path, kept)
        return "" if is_ours or number(kept) == found else f"{file.path} was {now}, which somebody else set: now {kept}"

    def _set(self, file: _File, cap: Cap) -> None:
        try:
            _write(file.path, cap.value)
        except CgroupError as error:
            if error.errno != errno.EINVAL or cap.file not in ("cpu.cfs_quota_us", "memory.limit_in_bytes"):
                raise
            if cap.file == "memory.limit_in_bytes":  # Not above that of memory and swap: so that one goes first.
                swap = f"{self._path('memory')}/memory.memsw.limit_in_bytes"
                _write(swap, cap.value)
            else:  # Version 1 allows none below to have more.
                _lower_quotas(os.path.dirname(file.path), int(cap.value))
            _write(file.path, cap.value)


def _lower_quotas(above: str, quota: int) -> None:
    for directory, _, files in os.walk(above, topdown=False):
        if directory != above and "cpu.cfs_quota_us" in files:
            with contextlib.suppress(FileNotFoundError, CgroupError):  # A run that has ended meanwhile.
                if int(_read(f"{directory}/cpu.cfs_quota_us")) > quota:
                    _write(f"{directory}/cpu.cfs_quota_us", str(quota))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        raise CgroupError(f"read {path}", error) from error


def _write(path: str, value: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise CgroupError(f"write {value} to {path}", error) from error


def _remembered(path: str) -> str:
    directory, _, file = path.rpartition("/")
    try:
        return os.getxattr(directory, f"{_ATTRIBUTE}{file}").decode()
    except OSError:  # Nothing is, or this kernel, or this container, keeps none: what is there is then anybody's.
        return ""


def _remember(path: str, value: str) -> None:
    directory, _, file = path.rpartition("/")
    with contextlib.suppress(OSError):
        os.setxattr(directory, f"{_ATTRIBUTE}{file}", value.encode())


def _remove(path: str) -> None:
    """Remove a cgroup once what ran in it has been reaped."""
    for _ in range(_REMOVAL_TRIES):
        try:
            return os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CgroupError(f"remove the cgroup {path}", error) from error
            select.poll().poll(_REMOVAL_MILLISECONDS)
    raise CgroupBusy(f"remove the cgroup {path}", OSError(errno.EBUSY, "something in it still runs"), "end it first")
