"""Our directory in one cgroup hierarchy, held open: cgroups are made, written, read and removed relative to it.

One path lookup a step and no check beforehand: making and removing a run's cgroups is on the launch path.
"""

import contextlib
import errno
import os
from itertools import accumulate

from controller.cgroup.lifecycle import CgroupBusy, CgroupError

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class ParentDirectory:
    """The directory `parent` at `mount`, made if it is not there; it may be below others, `runwright/runs`."""

    __slots__ = ("_fd", "path")

    def __init__(self, mount: str, parent: str) -> None:
        self.path = f"{mount}/{parent}"
        try:
            for level in levels(parent):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(f"{mount}/{level}")
            self._fd = os.open(self.path, _DIRECTORY)
        except OSError as error:
            fix = "run as root, with cgroups mounted writable" if error.errno in (errno.EACCES, errno.EROFS) else ""
            raise CgroupError(f"make the cgroup {self.path}", error, fix) from error

    def make(self, name: str) -> bool:
        """Make the cgroup `name`, and return whether it was not there before."""
        try:
            os.mkdir(name, dir_fd=self._fd)
        except FileExistsError:
            return False
        except OSError as error:
            raise CgroupError(f"make the cgroup {self.path}/{name}", error) from error
        return True

    def rename(self, name: str, new_name: str) -> None:
        """Give the cgroup `name` another; one that has it already is in the way. Version 1 alone can."""
        try:
            os.rename(name, new_name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError as error:
            raise CgroupError(f"call the cgroup {self.path}/{name} {new_name}", error) from error

    def write(self, path: str, value: str, fix: str = "") -> None:
        """Write `value` into the file at `path`, relative to the parent."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._fd)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise CgroupError(f"write {value} to {self.path}/{path}", error, fix) from error

    def open(self, path: str, flags: int) -> int:
        """Return the file at `path`, opened; the caller closes it."""
        try:
            return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            raise CgroupError(f"open {self.path}/{path}", error) from error

    def read(self, path: str) -> str:
        """Return what the file at `path` says."""
        fd = self.open(path, os.O_RDONLY)
        try:
            pieces = []
            while piece := os.read(fd, 65536):
                pieces.append(piece)
            return b"".join(pieces).decode()
        except OSError as error:
            raise CgroupError(f"read {self.path}/{path}", error) from error
        finally:
            os.close(fd)

    def has(self, path: str) -> bool:
        """Say whether there is a file at `path`."""
        return os.access(path, os.F_OK, dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Remove the cgroup `name`; not there: nothing to do."""
        try:
            os.rmdir(name, dir_fd=self._fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _removal_error(f"{self.path}/{name}", error) from error

    def names(self) -> set[str]:
        """Return the cgroups under the parent; none if it is gone."""
        try:
            with os.scandir(self.path) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()

    def remove_itself(self) -> None:
        """Remove the parent; not there: nothing to do."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _removal_error(self.path, error) from error

    def close(self) -> None:
        """Let go of the directory; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def levels(parent: str) -> tuple[str, ...]:
    """Return a cgroup's path and those above it, the highest first.

    >>> levels("runwright/runs")
    ('runwright', 'runwright/runs')
    """
    return tuple(accumulate(parent.split("/"), "{}/{}".format))


def _removal_error(path: str, error: OSError) -> CgroupError:
    purpose = f"remove the cgroup {path}"
    if error.errno == errno.EBUSY:
        return CgroupBusy(purpose, error, "it has processes or cgroups: kill it, reap them, and try again")
    return CgroupError(purpose, error)
