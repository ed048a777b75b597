"""The host's files, as far as devices are concerned: nodes with their numbers, and the names of libraries."""

import mmap
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from api.meta import ObjectKey
from api.ports import Storage
from controller.daemon.settings import Settings
from controller.devices.directories import CdiDirectories
from controller.devices.fitting import HostFile
from controller.job.devices import Devices
from controller.job.run_dirs import RunDirs
from controller.runtime.binaries import elf

_SONAMES_KEPT = 1024


def open_devices(settings: Settings, storage: Storage, dirs: RunDirs, wake: Callable[[ObjectKey], None]) -> Devices:
    """Return the devices of this host, for jobs."""
    return Devices(CdiDirectories(settings.devices.cdi_directories).inventory, FilesOfHost(), storage, dirs, wake)


class FilesOfHost:
    """Implements `controller.devices.fitting.HostFiles`."""

    def look(self, path: str) -> HostFile | None:
        """Return what is at `path`, links followed; None if there is nothing."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        return HostFile(status.st_mode, os.major(status.st_rdev), os.minor(status.st_rdev))

    def soname(self, path: str) -> str:
        """Return the name that programs ask for the library at `path` by, its own where it has none; or nothing."""
        try:
            status = os.stat(path)
            return _soname(path, status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            return ""


@lru_cache(maxsize=_SONAMES_KEPT)
def _soname(path: str, _inode: int, _mtime_ns: int, size: int) -> str:
    if not size:
        return ""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return elf.parse(content).soname or Path(path).name  # type: ignore[arg-type]  # Read as bytes are.
        except elf.NotElf:
            return ""
