"""What volumes are made of on this host: a directory each, by uid, with an image or a mount or files in it.

    VOLUMES/UID/image     filesystem: the image; `size` beside it says how much of it jobs may have
    VOLUMES/UID/mnt       where it, or the memory, is mounted: for root alone
    VOLUMES/retained/NAMESPACE/NAME/UID   what its object left behind
    VOLUMES/UID/mnt/data  what runs see; of a cache VOLUMES/UID/data

A snapshot has an image and a size, as a filesystem has, and is never mounted.

Everything is told from what is there: nothing is remembered here but who is at it (a lock for each volume), and for
a minute how much a cache holds.
Invariants: an image is mounted at one place, its own; what is being removed is never seen half removed.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from api.types.volume import VolumeType
from controller.engine.clock import Clock, SystemClock
from controller.linux import mount_api, mountinfo
from controller.linux.disk import sync_directory
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.linux.removal import remove_tree
from controller.sandbox.sources import open_neutral_owners
from controller.sandbox.spec import NEUTRAL_ID
from controller.volume import damage, image, trimming
from controller.volume.cache_usage import CacheUsage
from controller.volume.found import BeingCopied, CannotGrowInUse, Damaged, Found, Taken
from controller.volume.image import Space

_IMAGE = "image"
_SIZE = "size"
_USED = "used"
_MOUNT = "mnt"
_DATA = "data"
_RETAINED = "retained"
_REMOVED = ".removed-"
_TMPFS = MountAttribute.NOSUID | MountAttribute.NODEV
_FILES_BESIDES = 1024
_MOST_COPIES = 2  # At the same time: they read and write as much as the disk gives, and others are to be served.


class Backing:
    """The volumes below one directory; safe to use from several threads."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        """Keep them below `root`, which is for root alone. Close it in the end.

        Raises:
            OSError: there may be no more user namespaces on this host.
        """
        self._root = root
        self._owners_fd = open_neutral_owners(NEUTRAL_ID)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}
        self._reads: dict[str, tuple[int, ...]] = {}  # By mounts; hints only.
        self._copied: set[str] = set()
        self._caches = CacheUsage(clock or SystemClock())
        self._copies = threading.BoundedSemaphore(_MOST_COPIES)

    def close(self) -> None:
        """Let go of what tells which file systems can be used."""
        os.close(self._owners_fd)

    def data(self, uid: str, type_: VolumeType) -> Path:
        """Return the directory that runs see."""
        return self._directory(uid) / _DATA if type_ is VolumeType.CACHE else self._place(uid) / _DATA

    def find(self, uid: str, type_: VolumeType) -> Found | None:
        """Return what there is, or None if there is nothing to be used."""
        if type_ is VolumeType.CACHE:
            return self._find_cache(uid)
        with self._held(uid, also_copied=True):
            try:
                size = int((self._directory(uid) / _SIZE).read_text())
            except FileNotFoundError:
                return None
            if not self._is_mounted(uid):
                is_there = type_ is VolumeType.FILESYSTEM and self._image(uid).exists()
                used, is_copied = self._last_used(uid), uid in self._copied
                known = damage.known(self._image(uid)) if is_there else ""
                return Found(size, used_bytes=used, is_being_copied=is_copied, damage=known) if is_there else None
            used, known = self._space(uid, type_).used_bytes, damage.of_mounted(self._place(uid))
            return Found(size, is_mounted=True, used_bytes=used, is_being_copied=uid in self._copied, damage=known)

    def _find_cache(self, uid: str) -> Found | None:
        """Look at it while runs come and go: that may take long."""
        try:
            size = int((self._directory(uid) / _SIZE).read_text())
        except FileNotFoundError:
            return None
        used = self._caches.of(uid, self.data(uid, VolumeType.CACHE))
        return Found(size, used_bytes=used.used_bytes, used_anew_in_seconds=used.anew_in_seconds)

    def taken(self, uid: str) -> Taken | None:
        """Return what there is of a snapshot, or None if it was not taken so far, or is gone."""
        try:
            size, seen = int((self._directory(uid) / _SIZE).read_text()), self._image(uid).stat()
        except FileNotFoundError:
            return None
        return Taken(size, seen.st_mtime, seen.st_blocks * 512)  # It was last written to while its source was still.

    def is_gone(self, uid: str) -> bool:
        """Say whether nothing of it is left."""
        return not self._directory(uid).exists()

    def make(self, uid: str, type_: VolumeType, size_bytes: int, source: Callable[[Path], int] | None = None) -> None:
        """Make what is missing of it; a filesystem's image, and its size, come from `source` where one is given.

        Raises:
            OSError: it cannot be made now.
        """
        with self._held(uid):
            directory = self._directory(uid)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            match type_:
                case VolumeType.FILESYSTEM:
                    self._image(uid).unlink(missing_ok=True)  # Without its size beside it, nobody has ever had it.
                    if source is not None:
                        size_bytes = source(self._image(uid))
                    else:
                        image.make(self._image(uid), size_bytes)
                case VolumeType.MEMORY:
                    self._mount_memory(uid, size_bytes)
                case _:
                    _make_data(self.data(uid, type_))
            if type_ is not VolumeType.FILESYSTEM:
                self._require_owners(self.data(uid, type_), type_)
            self._say_size(uid, size_bytes)

    def attach(self, uid: str, type_: VolumeType) -> None:
        """Have it mounted, and the directory in it that runs see.

        Raises:
            Damaged: its file system cannot be mounted as it is.
            OSError: it is not there, or the kernel refused.
        """
        if type_ is not VolumeType.FILESYSTEM:
            os.stat(self.data(uid, type_))
            return
        with self._held(uid):
            size_bytes = int((self._directory(uid) / _SIZE).read_text())
            if not self._is_mounted(uid):
                self._mount_image(uid)
            _make_data(self.data(uid, type_))
            image.hold_back(self._place(uid), self.data(uid, type_), size_bytes)

    def detach(self, uid: str, is_unused: Callable[[], bool]) -> bool:
        """Unmount it, unless it is used by then; return whether it is not mounted.

        Raises:
            OSError: somebody on the host is in it.
        """
        with self._held(uid):
            if not self._is_mounted(uid):
                return True
            if not is_unused():
                return False
            used = self._space(uid, VolumeType.FILESYSTEM).used_bytes
            (self._directory(uid) / _USED).write_text(f"{used}\n")
            mount_api.unmount(str(self._place(uid)), lazy=False)
            return True

    def grow(self, uid: str, type_: VolumeType, size_bytes: int, is_unused: Callable[[], bool]) -> None:
        """Have it hold `size_bytes`; runs that use it go on.

        Raises:
            CannotGrowInUse: somebody uses it, and this process may not do it then.
            OSError: the kernel refused, or the disk is full.
        """
        with self._held(uid):
            if type_ is VolumeType.FILESYSTEM:
                self._grow_image(uid, size_bytes, is_unused)
            elif type_ is VolumeType.MEMORY:
                mount_api.reconfigure(self._place(uid), _options_of_memory(size_bytes))
            self._say_size(uid, size_bytes)
            if type_ is VolumeType.FILESYSTEM:
                image.hold_back(self._place(uid), self.data(uid, type_), size_bytes)

    def trim(self, uid: str) -> None:
        """Remove the oldest files of a cache until it is no larger than it may be."""
        size_bytes = int((self._directory(uid) / _SIZE).read_text())
        trimming.trim(self.data(uid, VolumeType.CACHE), size_bytes, self._root / f"{_REMOVED}{uid}-cache")
        _make_data(self.data(uid, VolumeType.CACHE))
        self._caches.forget(uid)

    def remove(self, uid: str) -> None:
        """Remove it and all that it holds. Nobody uses it.

        Raises:
            OSError: somebody on the host is in it.
        """
        with self._held(uid):
            if self._is_mounted(uid):
                mount_api.unmount(str(self._place(uid)), lazy=False)
            directory, aside = self._directory(uid), self._root / f"{_REMOVED}{uid}"
            if directory.exists():
                directory.rename(aside)
                sync_directory(self._root)
            self._reads.pop(uid, None)
            self._caches.forget(uid)
            remove_tree(aside)

    def retain(self, uid: str, namespace: str, name: str) -> None:
        """Unmount it and put it aside, under the name that it had: `retained/NAMESPACE/NAME/UID`. Nobody uses it.

        Raises:
            OSError: somebody on the host is in it.
        """
        with self._held(uid):
            if self._is_mounted(uid):
                mount_api.unmount(str(self._place(uid)), lazy=False)
            kept = self._root / _RETAINED / namespace / name
            kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # It is there already.
                self._directory(uid).rename(kept / uid)
            sync_directory(kept)
            sync_directory(self._root)

    def copy_of(self, uid: str, to: Path) -> int:
        """Write a copy of an image to the file `to`, as it is at this moment, and return its size.

        Runs that write to it wait. Who asks anything else of it meanwhile is told so: a copy may take long.

        Raises:
            BeingCopied: another copy is made of it, or as many of others as may be at a time.
            OSError: there is no room for it, or none to read.
        """
        if not self._copies.acquire(blocking=False):
            raise BeingCopied(f"{_MOST_COPIES} others are being copied")
        try:
            with self._held(uid):
                size_bytes = int((self._directory(uid) / _SIZE).read_text())
                place = self._place(uid) if self._is_mounted(uid) else None
                self._copied.add(uid)
            try:
                image.copy(self._image(uid), to, place)
            finally:
                self._copied.discard(uid)
        finally:
            self._copies.release()
        return size_bytes

    def sweep(self, known: Collection[str]) -> tuple[str, ...]:
        """Unmount what belongs to no volume of these uids, and let go on what was held still; return what was done.

        Files of volumes that nobody knows stay: a store that was put back from a copy may know them tomorrow.
        """
        done = []
        for uid in self._mounted():
            if image.let_go_on(self._place(uid)):
                done.append(f"volume {uid} was held still")
            if uid not in known:
                with contextlib.suppress(OSError):
                    mount_api.unmount(str(self._place(uid)), lazy=False)
                    done.append(f"volume {uid} was mounted, and nobody knows it")
        for aside in self._root.glob(f"{_REMOVED}*"):
            remove_tree(aside)
        return tuple(done)

    def _grow_image(self, uid: str, size_bytes: int, is_unused: Callable[[], bool]) -> None:
        self.attach(uid, VolumeType.FILESYSTEM)
        place, data = self._place(uid), self.data(uid, VolumeType.FILESYSTEM)
        if image.has_room_for(place, data, size_bytes):
            return
        try:
            image.grow(self._image(uid), place, size_bytes)
        except PermissionError:
            if not is_unused():
                raise CannotGrowInUse from None
            mount_api.unmount(str(place), lazy=False)
            image.grow_unmounted(self._image(uid), size_bytes)
            self.attach(uid, VolumeType.FILESYSTEM)

    def _mount_image(self, uid: str) -> None:
        path, place = self._image(uid), self._place(uid)
        if why := damage.known(path):
            raise Damaged(why)
        place.mkdir(mode=0o700, exist_ok=True)
        try:
            self._reads[uid] = image.mount(path, place, self._reads.get(uid, ()))
        except SyscallError as error:
            if why := damage.look(path, error):
                raise Damaged(why) from error
            raise

    def _require_owners(self, directory: Path, type_: VolumeType) -> None:
        """See that the file system can show files to each run as its own."""
        try:
            with mount_api.clone_tree(directory, recursive=False) as tree:
                mount_api.map_owners(tree, self._owners_fd)
        except SyscallError as error:
            if error.call != "mount_setattr":
                raise
            fix = (
                "boot Linux 6.3 or later"
                if type_ is VolumeType.MEMORY
                else "have volumes.directory on ext4, xfs or btrfs"
            )
            cause = "its file system cannot map owners on this kernel"
            what = f"cannot make a volume of type {type_}: {cause}: {fix}, or use the type filesystem"
            raise OSError(error.errno, what) from error

    def _mount_memory(self, uid: str, size_bytes: int) -> None:
        place = self._place(uid)
        if not self._is_mounted(uid):
            place.mkdir(mode=0o700, exist_ok=True)
            with mount_api.new_filesystem("tmpfs", {"mode": "700", **_options_of_memory(size_bytes)}, _TMPFS) as tree:
                mount_api.attach(tree, place)
        _make_data(place / _DATA)

    def _last_used(self, uid: str) -> int | None:
        """Return what was in use when it was last unmounted; for people, so nothing depends on it."""
        try:
            return int((self._directory(uid) / _USED).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _say_size(self, uid: str, size_bytes: int) -> None:
        aside = self._directory(uid) / f"{_SIZE}.new"
        aside.write_text(f"{size_bytes}\n")
        image.keep(aside, self._directory(uid) / _SIZE)

    def _space(self, uid: str, type_: VolumeType) -> Space:
        place = self._place(uid)
        if type_ is VolumeType.FILESYSTEM:
            return image.space(place, self.data(uid, type_))
        seen = os.statvfs(place)
        return Space(seen.f_blocks * seen.f_frsize, (seen.f_blocks - seen.f_bfree) * seen.f_frsize)

    def _mounted(self) -> tuple[str, ...]:
        """Return the uids of what is mounted below the root."""
        entries = mountinfo.parse(Path("/proc/self/mountinfo").read_text())
        places = (Path(entry.mount_point) for entry in entries)
        root = self._root.resolve()
        return tuple(place.parent.name for place in places if place.name == _MOUNT and place.parent.parent == root)

    def _is_mounted(self, uid: str) -> bool:
        place = self._place(uid)
        try:
            return place.stat().st_dev != place.parent.stat().st_dev
        except FileNotFoundError:
            return False

    def _directory(self, uid: str) -> Path:
        return self._root / uid

    def _image(self, uid: str) -> Path:
        return self._directory(uid) / _IMAGE

    def _place(self, uid: str) -> Path:
        return self._directory(uid) / _MOUNT

    @contextlib.contextmanager
    def _held(self, uid: str, *, also_copied: bool = False) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(uid, threading.RLock())
        with lock:
            if uid in self._copied and not also_copied:
                raise BeingCopied
            yield


def _options_of_memory(size_bytes: int) -> dict[str, str]:
    # Names take memory too, which no size counts.
    return {"size": str(size_bytes), "nr_inodes": str(image.blocks_of(size_bytes) + _FILES_BESIDES)}


def _make_data(directory: Path) -> None:
    """Make the directory that runs see, owned by who stands for their root on the disk."""
    with contextlib.suppress(FileNotFoundError):
        if directory.lstat().st_uid == NEUTRAL_ID:
            return
    directory.mkdir(mode=0o755, exist_ok=True)
    os.chown(directory, NEUTRAL_ID, NEUTRAL_ID, follow_symlinks=False)
