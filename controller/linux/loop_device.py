"""Loop devices: a file as a block device, by ioctl. No policy, and no losetup.

Here: a device for a file, found again by the file, and told when the file has grown.
Invariant: a device lives as long as somebody uses it: it is let go of by the kernel with its last user, whoever is
killed (LO_FLAGS_AUTOCLEAR), so none has to be cleared up.
"""

import errno
import os
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from struct import Struct

from controller.linux.held import Held

_CONTROL = "/dev/loop-control"
_BLOCK_DEVICES = "/sys/block"
_PAGE_BYTES = 4096  # What a file of sysfs has at most.
_BLOCK_BYTES = 4096
# Source: include/uapi/linux/loop.h.
_CTL_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A  # Linux 5.8.
_GET_STATUS64 = 0x4C05
_SET_CAPACITY = 0x4C07
_AUTOCLEAR = 4
_DIRECT_IO = 16
_INFO = Struct("QQQQQIIII64s64s32s2Q")  # struct loop_info64
_CONFIG = Struct(f"II{_INFO.size}s8Q")  # struct loop_config
_NAME_BYTES = 63
_ATTEMPTS = 64


@dataclass(slots=True)
class LoopDevice(Held):
    """A loop device, held open: that keeps it, as a mounted file system on it does."""

    path: str

    def take_size(self) -> None:
        """Have the device as large as its file is now.

        Raises:
            OSError: the kernel refused.
        """
        ioctl(self.fd, _SET_CAPACITY)


def attach(file: Path) -> LoopDevice:
    """Return a device for `file`: the one that it has, or a new one. The caller closes it.

    Two devices of one file would be two file systems that know nothing of each other, so there is never a second one
    as long as whoever asks for the same file asks one after the other.

    Raises:
        OSError: there are no loop devices on this host, or none is left.
    """
    backing_fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = find(file) or _new(backing_fd, file)
            if device is not None:
                return device
    finally:
        os.close(backing_fd)
    raise OSError(errno.EBUSY, "cannot get a loop device: others take each of them first", str(file))


def find(file: Path) -> LoopDevice | None:
    """Return the device that `file` has, or None. The caller closes it.

    Raises:
        OSError: the file cannot be looked at.
    """
    wanted, ends = os.stat(file), b"".join(os.fsencode(f"/{part}") for part in file.parts[-2:])
    for name in os.listdir(_BLOCK_DEVICES):
        if not name.startswith("loop") or not _may_be(name, ends):
            continue
        device = _open(f"/dev/{name}")
        if device is None:
            continue
        if _backing(device.fd) == (wanted.st_dev, wanted.st_ino):
            return device
        device.close()
    return None


def _may_be(device: str, ends: bytes) -> bool:
    """Say whether a device may have a file whose path so `ends`; so that nobody holds open what is another's."""
    try:
        fd = os.open(f"{_BLOCK_DEVICES}/{device}/loop/backing_file", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # It has none, or it goes at this moment.
        return False
    try:
        return os.read(fd, _PAGE_BYTES).strip().removesuffix(b" (deleted)").endswith(ends)
    except OSError:
        return False
    finally:
        os.close(fd)


def _new(backing_fd: int, file: Path) -> LoopDevice | None:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = ioctl(control, _CTL_GET_FREE)
    finally:
        os.close(control)
    device = _open(f"/dev/loop{number}")
    if device is None:
        return None
    try:
        _configure(device.fd, backing_fd, os.fsencode(file)[-_NAME_BYTES:])
    except OSError as error:
        device.close()
        if error.errno == errno.EBUSY:  # Somebody else was given the same one.
            return None
        raise
    return device


def _configure(fd: int, backing_fd: int, name: bytes) -> None:
    for flags in (_AUTOCLEAR | _DIRECT_IO, _AUTOCLEAR):
        info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, name, b"", b"", 0, 0)
        try:
            ioctl(fd, _CONFIGURE, _CONFIG.pack(backing_fd, _BLOCK_BYTES, info, *(0,) * 8))
        except OSError as error:
            if error.errno != errno.EINVAL or not flags & _DIRECT_IO:
                raise
        else:
            return


def _open(path: str) -> LoopDevice | None:
    try:
        return LoopDevice(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT, errno.EBUSY):  # It goes, or is gone, or is somebody's alone.
            return None
        raise


def _backing(fd: int) -> tuple[int, int] | None:
    try:
        info = _INFO.unpack(ioctl(fd, _GET_STATUS64, bytes(_INFO.size)))
    except OSError as error:
        if error.errno == errno.ENXIO:  # It has none.
            return None
        raise
    return info[0], info[1]  # Of a device's number, the kernel's encoding is that of stat.
