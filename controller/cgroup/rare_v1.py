"""The hierarchies of version 1 that few runs need, blkio and cpuset: only those runs have cgroups there.

So that a run which asks for neither io nor CPUs pays for neither. A cpuset takes processes only once its CPUs and its
memory nodes are said: it has those of the cgroup above. Source: Documentation/admin-guide/cgroup-v1/cpusets.rst.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping

from controller.cgroup.lifecycle import CgroupError
from controller.cgroup.limits import Write
from controller.cgroup.tree import ParentDirectory, levels


class RareControllers:
    """Our parent's directories in those hierarchies, each opened when it is first needed.

    Args:
        mounts: where each controller is mounted, of those that are.
        shared: directories that are open already, by mount: other controllers may be mounted at the same place.
    """

    def __init__(self, mounts: Mapping[str, str], parent: str, shared: Mapping[str, ParentDirectory]) -> None:
        self._mounts = mounts
        self._parent = parent
        self._shared = shared
        self._opened: dict[str, ParentDirectory] = {}
        # Where every run has a cgroup: else none could be joined.
        if mounts.get("cpuset") in shared:
            _take_cpus_from_above(mounts["cpuset"], parent)

    def directory(self, controller: str) -> ParentDirectory:
        """Return the parent's directory for `controller`, made if it is not there.

        Raises:
            CgroupError: this host does not have the controller.
        """
        mount = self._mounts.get(controller)
        if mount is None:
            cause = OSError(errno.ENODEV, f"cgroup v1 has no {controller} here")
            fix = f"mount it below /sys/fs/cgroup, or boot with cgroup_enable={controller}"
            raise CgroupError("limit this run", cause, fix)
        if mount in self._shared:
            return self._shared[mount]
        if mount not in self._opened:
            self._opened[mount] = ParentDirectory(mount, self._parent)
            if controller == "cpuset":
                _take_cpus_from_above(mount, self._parent)
        return self._opened[mount]

    def needed_for(self, writes: Iterable[Write]) -> tuple[ParentDirectory, ...]:
        """Return the directories that these writes need beside those of every run."""
        needed = {write.controller: None for write in writes if write.controller in ("blkio", "cpuset")}
        directories = {self.directory(controller): None for controller in needed}
        return tuple(directory for directory in directories if directory not in self._shared.values())

    def with_cgroup(self, name: str) -> tuple[ParentDirectory, ...]:
        """Return the directories in which there is a cgroup `name`."""
        return tuple(
            self.directory(controller)
            for controller, mount in self._mounts.items()
            if mount not in self._shared and os.path.isdir(f"{mount}/{self._parent}/{name}")
        )

    def names(self) -> set[str]:
        """Return the cgroups there are in any of them."""
        found: set[str] = set()
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
                found.update(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return found

    def remove(self, name: str) -> None:
        """Remove the cgroup wherever it is."""
        for directory in self.with_cgroup(name):
            directory.remove(name)

    def remove_parents(self) -> None:
        """Remove the parent wherever it is."""
        for controller, mount in self._mounts.items():
            if mount not in self._shared and os.path.isdir(f"{mount}/{self._parent}"):
                self.directory(controller).remove_itself()

    def close(self) -> None:
        """Close what was opened here."""
        while self._opened:
            self._opened.popitem()[1].close()

    def _paths(self) -> tuple[str, ...]:
        return tuple(f"{mount}/{self._parent}" for mount in set(self._mounts.values()) if mount not in self._shared)


def _take_cpus_from_above(mount: str, parent: str) -> None:
    """Give every cgroup down to the parent the CPUs and memory nodes of the one above, and so what is made in it."""
    above = mount
    for level in levels(parent):
        here = f"{mount}/{level}"
        try:
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not _read(f"{here}/{file}"):
                    _write(f"{here}/{file}", _read(f"{above}/{file}"))
            _write(f"{here}/cgroup.clone_children", "1")
        except OSError as error:
            raise CgroupError(f"give {here} its CPUs", error) from error
        above = here


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _write(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)
