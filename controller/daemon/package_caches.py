"""Where package managers of runtimes keep their downloads on this host, and how that is kept from growing for ever.

A cache is of one runtime, whatever its version: CACHES/runtimes/RUNTIME/VOLUME. With the volume written `shared:NAME`,
it is of all runtimes that write the same: CACHES/shared/NAME. How runs see it: `job.package_cache`.
Invariants: two runtimes share nothing unless both say so. What lies in a cache was written by jobs: nothing of it is
followed, opened or believed here.
"""

import contextlib
import heapq
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from api.packages.manifest import PackageManager
from controller.engine.log import keys
from controller.job.observed import PackageCache
from controller.linux import mount_api
from controller.linux.libc import SyscallError
from controller.linux.removal import remove_tree
from controller.sandbox.sources import open_neutral_owners
from controller.sandbox.spec import NEUTRAL_ID

_log = logging.getLogger(__name__)
_MOST_DEPTH = 100
_MOST_ENTRIES = 1_000_000
_BLOCK_BYTES = 512  # Source: stat(2), st_blocks.
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PackageCaches:
    """The caches below one directory, each of `most_bytes` or a minute's writes more."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """Keep them below `root`, which nobody but root may enter. Close it in the end.

        Raises:
            OSError: there may be no more user namespaces on this host.
        """
        self._root = root
        self._most_bytes = most_bytes
        self._owners_fd = open_neutral_owners(NEUTRAL_ID)

    def close(self) -> None:
        """Let go of what tells which directories can be used."""
        os.close(self._owners_fd)

    def of(self, runtime: str, manager: PackageManager) -> PackageCache | None:
        """Return the cache of a runtime's package manager, its directory made; None if it has none.

        Where the directory cannot be used by several runs, the cache has none, and says why.
        """
        volume = manager.volume
        if not manager.cache_volume:
            return None
        if not manager.has_usable_name or "/" in runtime or runtime.startswith("."):
            why = f"cannot keep a cache for {manager.type}: {manager.cache_volume!r:.80} is no name of a volume"
            return PackageCache(manager.type, "cache", problem=why)
        directory = self._root / "shared" / volume if manager.is_shared else self._root / "runtimes" / runtime / volume
        problem = self._problem_with(directory)
        return PackageCache(manager.type, volume, "" if problem else str(directory), problem)

    def trim(self) -> None:
        """Remove the oldest files of each cache that is larger than it may be, until it is not."""
        for directory in self._all():
            removed = self._trim(directory)
            if removed != 0:
                _log.info(
                    "trimmed a package cache",
                    extra=keys(cache=str(directory), removed="all" if removed is None else removed),
                )

    def _trim(self, directory: Path) -> int | None:
        """Return how many files were removed; None for all: what cannot be made small otherwise begins anew."""
        try:
            removed = _shrink(directory, self._most_bytes)
            if removed is None:
                self._empty(directory)
        except OSError as error:
            _log.warning("cannot trim a package cache", extra=keys(cache=str(directory), problem=str(error)))
            return 0
        return removed

    def _empty(self, directory: Path) -> None:
        """Begin it anew. Runs that are at it are shut out of the old one but for what they have open."""
        aside = self._root / "removed"
        remove_tree(aside)  # If it could not be, the last time.
        directory.rename(aside)
        os.chown(aside, 0, 0, follow_symlinks=False)
        remove_tree(aside)

    def _problem_with(self, directory: Path) -> str:
        """Make the directory; return why it cannot be used, if it cannot."""
        try:
            _make(directory)
            with mount_api.clone_tree(directory, recursive=False) as tree:
                mount_api.map_owners(tree, self._owners_fd)
        except OSError as error:
            is_refused = isinstance(error, SyscallError) and error.call == "mount_setattr"
            cause = "its file system cannot map owners" if is_refused else error.strerror
            fix = "each run has an empty one of its own: use ext4, xfs or btrfs for state.directory"
            return f"cannot keep {directory} for other runs: {cause}: {fix}"
        return ""

    def _all(self) -> list[Path]:
        return [path for pattern in ("shared/*", "runtimes/*/*") for path in sorted(self._root.glob(pattern))]


def _make(directory: Path) -> None:
    """Make the directory, owned by who stands for the runs' root; nobody else enters."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if directory.lstat().st_uid == NEUTRAL_ID:
            return
    os.chown(directory, NEUTRAL_ID, NEUTRAL_ID, follow_symlinks=False)


@dataclass(slots=True)
class _Found:
    """What is in a cache: its files by age, each by the names that lead to it."""

    total_bytes: int = 0
    files: list[tuple[float, int, tuple[str, ...]]] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    entries: int = 0

    def add(self, names: tuple[str, ...], status: os.stat_result) -> None:
        """Note a file or directory; of several names of one, the first bears its size."""
        self.entries += 1
        if self.entries > _MOST_ENTRIES:
            raise _TooMuch
        size = status.st_blocks * _BLOCK_BYTES
        is_directory = stat.S_ISDIR(status.st_mode)
        if status.st_nlink > 1 and not is_directory:
            size = 0 if status.st_ino in self.counted else size
            self.counted.add(status.st_ino)
        self.total_bytes += size
        if not is_directory:
            self.files.append((max(status.st_atime, status.st_mtime), size, names))


class _TooMuch(Exception):
    """More or deeper than any package manager leaves."""


def _shrink(directory: Path, most_bytes: int) -> int | None:
    """Remove the oldest files; return how many. None if it cannot be made small so."""
    found = _Found()
    top = os.open(directory, _DIRECTORY)
    try:
        _look(top, (), found)
        heapq.heapify(found.files)
        removed = 0
        while found.total_bytes > most_bytes and found.files:
            _, size, names = heapq.heappop(found.files)
            removed += _unlink(top, names)
            found.total_bytes -= size
    except _TooMuch:
        return None
    finally:
        os.close(top)
    return removed if found.total_bytes <= most_bytes else None


def _look(parent: int, above: tuple[str, ...], found: _Found) -> None:
    if len(above) > _MOST_DEPTH:
        raise _TooMuch
    with os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # A job is at it as well.
                found.add((*above, entry.name), entry.stat(follow_symlinks=False))
            if entry.is_dir(follow_symlinks=False):
                _look_below(parent, entry.name, above, found)


def _look_below(parent: int, name: str, above: tuple[str, ...], found: _Found) -> None:
    try:
        below = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError:  # It was one a moment ago.
        return
    try:
        _look(below, (*above, name), found)
    finally:
        os.close(below)


def _unlink(top: int, names: tuple[str, ...]) -> int:
    """Remove one file, unless it is not there any more; the way to it leads through no link."""
    with contextlib.suppress(OSError), _way(top, names[:-1]) as parent:
        os.unlink(names[-1], dir_fd=parent)
        return 1
    return 0


@contextlib.contextmanager
def _way(top: int, names: tuple[str, ...]) -> Iterator[int]:
    at = os.dup(top)
    try:
        for name in names:
            below = os.open(name, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)
