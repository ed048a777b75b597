"""A disk of a test's own: a loop device over a file, and a file system on it. Gone afterwards."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MiB = 1 << 20
# Source: include/uapi/linux/loop.h.
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_SET_FD = 0x4C00
_LOOP_CLR_FD = 0x4C01
_TRIES = 20


@dataclass(frozen=True, slots=True)
class LoopDisk:
    """`path` is the device's node, `device` its MAJOR:MINOR."""

    path: str
    device: str


@contextlib.contextmanager
def loop_disk(size_bytes: int = 64 * MiB) -> Iterator[LoopDisk]:
    """Give a disk of zeroes, in memory where /dev/shm is."""
    directory = tempfile.mkdtemp(prefix="runwright-test-", dir="/dev/shm")
    backing = os.open(f"{directory}/disk", os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(backing, 0, size_bytes)
    number, loop = _attach(backing)
    try:
        path = f"/dev/loop{number}"
        rdev = os.stat(path).st_rdev
        yield LoopDisk(path, f"{os.major(rdev)}:{os.minor(rdev)}")
    finally:
        fcntl.ioctl(loop, _LOOP_CLR_FD, 0)
        os.close(loop)
        os.close(backing)
        shutil.rmtree(directory)


@contextlib.contextmanager
def mounted_disk(directory: Path, size_bytes: int = 64 * MiB) -> Iterator[LoopDisk]:
    """Give a disk with an ext4 file system on it, mounted on `directory`."""
    with loop_disk(size_bytes) as disk:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", disk.path], check=True)
        subprocess.run(["mount", "-t", "ext4", disk.path, directory], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", directory], check=True)


def _attach(backing: int) -> tuple[int, int]:
    """Return the number of a free loop device, taken; somebody else may be as fast."""
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            loop = os.open(f"/dev/loop{number}", os.O_RDWR)
            try:
                fcntl.ioctl(loop, _LOOP_SET_FD, backing)
            except OSError:
                os.close(loop)
                continue
            return number, loop
    finally:
        os.close(control)
    raise AssertionError("there is no free loop device")
