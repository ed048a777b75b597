"""Which disks a path really lies on: those that the kernel can limit reads and writes of.

From the path to its mount and all mounts below it, from there to the block device behind the file system, and from a
partition to its disk, for requests are counted by disks. Facts are read from mountinfo and /sys, nothing is guessed:
what cannot be found is an error with its reason. Limits lie on the device that the file system is on, such as a
dm or loop device, and not on those below it: so each request is counted once.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.linux import mountinfo
from controller.linux.mountinfo import MountEntry

_IN_MEMORY = frozenset(
    {"tmpfs", "ramfs", "devtmpfs", "devpts", "proc", "sysfs", "cgroup", "cgroup2", "mqueue", "hugetlbfs", "securityfs",
     "debugfs", "tracefs", "bpf", "pstore", "configfs", "efivarfs", "binfmt_misc", "autofs", "nsfs", "rootfs"}
)  # fmt: skip
_NO_MAJOR = "0:"
_LAYERS = ("lowerdir", "upperdir", "lowerdir+", "datadir+")
_DEEPEST = 8


class NoDisk(Exception):
    """There is no disk behind a path whose reads and writes could be limited; the message says why."""


@dataclass(frozen=True, slots=True)
class Disks:
    """This host's mounts, as they were when looked at, and where /sys is."""

    mounts: tuple[MountEntry, ...]
    sys: str = "/sys"

    @classmethod
    def of_host(cls, proc: str = "/proc", sys: str = "/sys") -> "Disks":
        """Look at the mounts that this process sees.

        Raises:
            OSError: /proc cannot be read.
        """
        text = mountinfo.decode(Path(proc, "self/mountinfo").read_bytes())
        return cls(mountinfo.parse(text), sys)

    def behind(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Return the disks that these paths, and all that is mounted below them, lie on: MAJOR:MINOR, sorted.

        What lies in memory has none, and needs none.

        Raises:
            NoDisk: one of them cannot be limited.
        """
        found = {disk for path in paths for mount in self._mounts_of(path) for disk in self._of_mount(mount, path, 0)}
        return tuple(sorted(found))

    def of_node(self, device: str, path: str) -> str:
        """Return the disk that the block device `device`, MAJOR:MINOR, is or is a part of; `path` is for errors.

        Raises:
            NoDisk: it cannot be found.
        """
        return self._whole_disk(device, path)

    def _mounts_of(self, path: str) -> Iterator[MountEntry]:
        real = os.path.realpath(path)
        over = [mount for mount in self.mounts if _is_at_or_below(real, mount.mount_point)]
        if not over:
            raise NoDisk(f"cannot find what {path} is mounted from: it is in no mount that is seen from here")
        yield max(enumerate(over), key=lambda each: (len(each[1].mount_point), each[0]))[1]
        yield from (mount for mount in self.mounts if _is_at_or_below(mount.mount_point, real))

    def _of_mount(self, mount: MountEntry, path: str, depth: int) -> Iterator[str]:
        if not mount.device.startswith(_NO_MAJOR):
            yield self._whole_disk(mount.device, path)
        elif mount.filesystem == "overlay" and depth < _DEEPEST:
            yield from self._of_layers(mount, path, depth)
        elif mount.filesystem == "btrfs" or mount.source.startswith("/dev/"):
            yield from (self._whole_disk(device, path) for device in self._of_source(mount, path))
        elif mount.filesystem not in _IN_MEMORY:
            raise NoDisk(f"cannot limit io of {path}: it is on {mount.filesystem} ({mount.source}), which is no disk")

    def _of_layers(self, mount: MountEntry, path: str, depth: int) -> Iterator[str]:
        """An overlay has no device of its own: its files are those of the directories that it is made of."""
        options = (option.partition("=") for option in mount.super_options)
        layers = [layer for name, _, value in options if name in _LAYERS for layer in value.split(":") if layer]
        for layer in layers:
            if not os.path.isdir(layer):
                raise NoDisk(f"cannot limit io of {path}: the layer {layer} of its overlay is not seen from here")
            for below in self._mounts_of(layer):
                yield from self._of_mount(below, layer, depth + 1)

    def _of_source(self, mount: MountEntry, path: str) -> tuple[str, ...]:
        """Return the devices of a file system that has a number of its own, as btrfs: all that it is made of."""
        try:
            found = os.stat(mount.source)
        except OSError as error:
            raise NoDisk(f"cannot limit io of {path}: {mount.source} cannot be looked at: {error.strerror}") from error
        if not stat.S_ISBLK(found.st_mode):
            raise NoDisk(f"cannot limit io of {path}: {mount.source} is no disk")
        device = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        if mount.filesystem != "btrfs":
            return (device,)
        return next((members for members in self._btrfs_members() if device in members), (device,))

    def _btrfs_members(self) -> Iterator[tuple[str, ...]]:
        for devices in Path(self.sys, "fs/btrfs").glob("*/devices"):
            yield tuple((member / "dev").read_text().strip() for member in devices.iterdir())

    def _whole_disk(self, device: str, path: str) -> str:
        """Return the disk that the device is, or is a partition of."""
        place = Path(self.sys, "dev/block", device)
        try:
            real = place.resolve(strict=True)
            return (real.parent / "dev").read_text().strip() if (real / "partition").exists() else device
        except OSError as error:
            raise NoDisk(f"cannot limit io of {path}: device {device} is not in {self.sys}/dev/block") from error


def _is_at_or_below(path: str, place: str) -> bool:
    return path == place or place == "/" or path.startswith(f"{place}/")
