"""The host's files, as far as devices are concerned: nodes with their numbers, and the names of libraries."""

import os
import stat
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
from controller.launcher.host_claims import HostClaims
from controller.runtime.binaries import elf

_SONAMES_KEPT = 1024


def open_devices(
    settings: Settings, root: Path, storage: Storage, dirs: RunDirs, wake: Callable[[ObjectKey], None]
) -> Devices:
    """Return the devices of this host, for jobs of the daemon of `root`."""
    inventory = CdiDirectories(settings.devices.cdi_directories).inventory
    return Devices(inventory, FilesOfHost(), storage, dirs, wake, HostClaims(), str(root.resolve()))


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
            if not stat.S_ISREG(status.st_mode):
                return ""
            return _soname(path, status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            return ""


@lru_cache(maxsize=_SONAMES_KEPT)
def _soname(path: str, _inode: int, _mtime_ns: int, _size: int) -> str:
    """Read it, and never map it: a file that is cut off meanwhile is then one that ends, not a signal to us."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return elf.soname(lambda offset, size: os.pread(fd, size, offset)) or Path(path).name
    except elf.NotElf:
        return ""
    finally:
        os.close(fd)
