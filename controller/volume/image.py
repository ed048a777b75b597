"""A file system of a size of its own: an ext4 in a sparse file of the host, mounted by a loop device.

Exact to the block: of what the file system has beyond the size that was asked for, a file that only root can reach
holds every block back (the ballast), so that what can be written is just that size, however ext4 keeps its books. It is
never written to, so it takes nothing of the host's disk.
Never here: when any of it is done, and who may see it.
Invariant: an image is whole before it has its name, and a file system has one device, however often it is mounted.
"""

import contextlib
import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api import quantity
from controller.linux import file_system, loop_device, mount_api
from controller.linux.disk import sync_directory
from controller.linux.mount_api import MountAttribute
from controller.volume import read_ahead

BLOCK_BYTES = 4096
_MIB_BLOCKS = (1 << 20) // BLOCK_BYTES
_SPARE_BLOCKS = 16 * _MIB_BLOCKS
_BALLAST = ".ballast"
_SECTORS_A_BLOCK = BLOCK_BYTES // 512
_MOST_CORRECTIONS = 32
_MKFS = "mke2fs"
_MKFS_SECONDS = 300
# What mke2fs takes from its configuration otherwise, which is each host's own.
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,meta_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
# Not: writing zeroes where the file has only zeroes. Instead: what is deleted takes no room on the host any more.
# Blocks are taken when they are written to and not later (nodelalloc): later, ext4 takes those that say where a file's
# blocks are without asking whether there is room, 300 of them in a volume of 40 MiB.
_OPTIONS = {"noinit_itable": "", "discard": "", "errors": "remount-ro", "nodelalloc": ""}
_NO_RESERVE = "0"
_ATTRIBUTES = MountAttribute.NOSUID | MountAttribute.NODEV


class ImageError(OSError):
    """An image cannot be made; the message says why and what to do."""


class NoRoom(ImageError):
    """The host's disk has no room for it."""


@dataclass(frozen=True, slots=True)
class Space:
    """How much a volume can hold, and how much of that is in use, in bytes."""

    capacity_bytes: int
    used_bytes: int
    files: int = 0


def blocks_of(size_bytes: int) -> int:
    """Return how many blocks hold so many bytes.

    >>> blocks_of(1), blocks_of(4096), blocks_of(4097)
    (1, 1, 2)
    """
    return -(-size_bytes // BLOCK_BYTES)


def blocks_of_image(size_bytes: int) -> int:
    """Return how many blocks a file system needs in all, so that `size_bytes` can be written: never too few.

    An inode for every 16 KiB is 1.6 % of it, what ext4 keeps for itself 2 % (at most 16 MiB), the rest some MiB.
    """
    blocks = blocks_of(size_bytes)
    return blocks + blocks // 20 + _journal_mib(size_bytes) * _MIB_BLOCKS + _SPARE_BLOCKS


def _journal_mib(size_bytes: int) -> int:
    return 4 if size_bytes < 256 << 20 else 16 if size_bytes < 4 << 30 else 64


def make(path: Path, size_bytes: int) -> None:
    """Make the file system, if it is not there: sparse, so it takes room as it is filled.

    Raises:
        ImageError: this host has no mke2fs, or it failed.
        OSError: the file cannot be made.
    """
    if path.exists():
        return
    with _aside(path) as (aside, lock_fd):
        os.truncate(aside, 0)
        os.truncate(aside, blocks_of_image(size_bytes) * BLOCK_BYTES)
        command = [
            _MKFS, "-q", "-F", "-b", str(BLOCK_BYTES), "-I", "256", "-i", "16384", "-m", "0",
            "-J", f"size={_journal_mib(size_bytes)}", "-O", _FEATURES,
            "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", str(aside),
        ]  # fmt: skip
        _run(command, lock_fd)
        keep(aside, path)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[tuple[Path, int]]:
    """Give a file to make an image in, for root alone, once nobody else is at it; and what has it locked.

    A program that outlives who started it is waited for: it has what has the file locked open, too.
    """
    for _ in range(_MOST_CORRECTIONS):
        aside = path.with_suffix(".new")
        lock_fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
            if aside.exists() and os.fstat(lock_fd).st_ino == aside.stat().st_ino:
                yield aside, lock_fd
                return
        finally:
            os.close(lock_fd)
    raise ImageError(f"cannot make {path}: others make it all the time: look who does")


def keep(aside: Path, path: Path) -> None:
    """Give a finished file its name, durably."""
    fd = os.open(aside, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.rename(path)
    sync_directory(path.parent)


def _run(command: list[str], lock_fd: int, most: int = 0) -> None:
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: TID251 - a program of the host's, for a moment: ext4 is made by its own tools
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MKFS_SECONDS,
            check=False,
            pass_fds=(lock_fd,),
        )
    except FileNotFoundError:
        raise ImageError(f"cannot make {command[-1]}: this host has no {command[0]}: install e2fsprogs") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"cannot make {command[-1]}: {command[0]} took over {_MKFS_SECONDS} s") from None
    if not 0 <= done.returncode <= most:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise ImageError(f"cannot make {command[-1]}: {command[0]} failed with {done.returncode}: {said}")


def mount(path: Path, place: Path, reads: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Mount the image at the directory `place`; return which blocks that reads: given as `reads`, it is sooner done.

    Raises:
        OSError: the kernel refused; `SyscallError` has its own words.
    """
    with loop_device.attach(path) as device:
        read_ahead.ask(device.fd, reads)
        reads = reads or read_ahead.blocks_of_mount(device.fd)
        options = {"source": device.path, **_OPTIONS}
        tree = mount_api.new_filesystem("ext4", options, _ATTRIBUTES, what=f"mount the ext4 in {path}")
    with tree:
        mount_api.attach(tree, place)
    return reads


def grow(path: Path, place: Path, size_bytes: int) -> None:
    """Have the file system of the mounted image be large enough for `size_bytes`, while it is in use.

    Raises:
        PermissionError: this process has no CAP_SYS_RESOURCE: see `grow_unmounted`.
        OSError: the kernel refused, or the host's disk is full.
    """
    blocks = max(blocks_of_image(size_bytes), path.stat().st_size // BLOCK_BYTES)
    os.truncate(path, blocks * BLOCK_BYTES)
    with loop_device.attach(path) as device:
        device.take_size()
        file_system.grow_ext4(place, blocks)


def grow_unmounted(path: Path, size_bytes: int) -> None:
    """Have the file system of the image, which nobody uses, be large enough for `size_bytes`.

    It is done to a copy, which then takes its place: resize2fs that is cut off leaves a file system that is none.

    Raises:
        ImageError: this host has no resize2fs, or it failed.
        OSError: there is no room for the copy, or the kernel has not let go of the image so far.
    """
    with _aside(path) as (aside, lock_fd):
        copy(path, aside, None)
        os.truncate(aside, max(blocks_of_image(size_bytes) * BLOCK_BYTES, aside.stat().st_size))
        _run(["e2fsck", "-f", "-p", str(aside)], lock_fd, most=1)  # resize2fs wants it looked at. 1: it was mended.
        _run(["resize2fs", str(aside)], lock_fd)
        if (device := loop_device.find(path)) is not None:
            device.close()
            raise OSError(errno.EBUSY, "the kernel has not let go of it so far", str(path))
        keep(aside, path)


def hold_back(place: Path, data: Path, size_bytes: int) -> None:
    """Have just `size_bytes`, in whole blocks, be what can be written to the mounted image.

    Raises:
        OSError: there is less than that, or what is to be held back is in use meanwhile.
    """
    _leave_ext4_no_reserve(place)
    if _capacity_blocks(place, data) == blocks_of(size_bytes):
        return  # Opening a file has ext4 write to its journal once after each mount.
    ballast = os.open(place / _BALLAST, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for _ in range(_MOST_CORRECTIONS):
            too_many = _capacity_blocks(place, data) - blocks_of(size_bytes)
            if not too_many:
                return
            length = max(0, os.fstat(ballast).st_size // BLOCK_BYTES + too_many) * BLOCK_BYTES
            if too_many > 0:
                os.posix_fallocate(ballast, 0, length)
            else:
                _shorten(ballast, length)
    finally:
        os.close(ballast)


def copy(path: Path, to: Path, place: Path | None) -> None:
    """Copy the image to the file `to`: whole, then durable, then there. While it is mounted at `place`, writers wait.

    Raises:
        OSError: there is no room for it.
    """
    aside = to.with_name(f"{to.name}.copy")
    still = file_system.held_still(place) if place else contextlib.nullcontext()
    try:
        with still, path.open("rb") as source, aside.open("wb") as target:
            os.chmod(aside, 0o600)
            if not file_system.clone_file(source.fileno(), target.fileno()):
                _require_room(source.fileno(), target.fileno())
                _copy_data(source.fileno(), target.fileno())
            os.utime(target.fileno())  # The moment that it is of: what is cloned, or a hole, was not written just now.
        keep(aside, to)
    except OSError:
        aside.unlink(missing_ok=True)  # Half a copy helps nobody, least of all on a disk that is full.
        raise


def _require_room(source: int, target: int) -> None:
    """Refuse to begin a copy that the disk has no room for: writers would have waited for nothing."""
    needed, there = os.fstat(source).st_blocks * 512, os.fstatvfs(target)
    free = there.f_bavail * there.f_frsize
    if needed > free:
        told = f"it takes {quantity.rounded(needed)}, and the host's disk has {quantity.rounded(free)} left"
        raise NoRoom(f"cannot copy an image: {told}: remove something, or keep volumes on a larger one")


def _copy_data(source: int, target: int) -> None:
    """Copy what is no hole; what is one in the source is one in the target."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # Nothing but a hole is left.
                return
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        while start < at:
            copied = os.copy_file_range(source, target, at - start, start, start)
            if not copied:
                raise ImageError("cannot copy an image: it became shorter meanwhile: look who writes to it")
            start += copied


def let_go_on(place: Path) -> bool:
    """Let a mounted file system go on that somebody who is gone has held still; return whether it was."""
    try:
        return file_system.thaw(place)
    except OSError:  # One that is never held still, in memory.
        return False


def has_room_for(place: Path, data: Path, size_bytes: int) -> bool:
    """Say whether the mounted file system is large enough for `size_bytes`, if less is held back."""
    return _capacity_blocks(place, data) + _blocks_taken(place / _BALLAST) >= blocks_of(size_bytes)


def _shorten(ballast: int, length: int) -> None:
    if length >= os.fstat(ballast).st_size:
        raise ImageError("cannot give a volume its size: its file system is smaller than that: grow it first")
    os.ftruncate(ballast, length)


def space(place: Path, data: Path) -> Space:
    """Return how full the mounted image is."""
    seen = os.statvfs(place)
    capacity = _capacity_blocks(place, data)
    free = max(0, seen.f_bfree - _kept_by_ext4(place))
    return Space(capacity * BLOCK_BYTES, max(0, capacity - free) * BLOCK_BYTES, seen.f_files - seen.f_ffree)


def _capacity_blocks(place: Path, data: Path) -> int:
    """Return how many blocks jobs can have in all: those of the file system, less what is ours and ext4's."""
    ours = [place, place / "lost+found", place / _BALLAST]
    taken = sum(_blocks_taken(path) for path in ours) + (1 if data.exists() else 0)  # The first of `data` itself.
    return os.statvfs(place).f_blocks - _kept_by_ext4(place) - taken


def _blocks_taken(path: Path) -> int:
    try:
        return path.lstat().st_blocks // _SECTORS_A_BLOCK
    except FileNotFoundError:
        return 0


def _kept_by_ext4(place: Path) -> int:
    """Return the blocks that ext4 gives to nobody. Asked of itself: statvfs does not tell them when it is full."""
    return int(_reserve(place).read_text())


def _leave_ext4_no_reserve(place: Path) -> None:
    """Have no blocks beyond the size that ext4 could take when a preallocated file comes to be in many pieces.

    After each mount and each growth it has some again: 2 %, for what is written later than it was accepted. With
    nodelalloc nothing is; what there is no room for is refused to whoever asks. Where /sys cannot be written to, the
    size may be exceeded so.
    """
    reserve = _reserve(place)
    if reserve.read_text().strip() == _NO_RESERVE:
        return
    try:
        reserve.write_text(_NO_RESERVE)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def _reserve(place: Path) -> Path:
    device = os.stat(place).st_dev
    link = os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    return Path("/sys/fs/ext4", Path(link).name, "reserved_clusters")
