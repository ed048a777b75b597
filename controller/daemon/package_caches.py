"""Where package managers of runtimes keep their downloads on this host, and how that is kept from growing for ever.

A cache is of one runtime, whatever its version: CACHES/runtimes/RUNTIME/VOLUME. With the volume written `shared:NAME`,
it is of all runtimes that write the same: CACHES/shared/NAME. How runs see it: `job.package_cache`.
Invariants: two runtimes share nothing unless both say so. What lies in a cache was written by jobs: nothing of it is
followed, opened or believed here.
"""

import logging
import os
from pathlib import Path

from api.packages.manifest import PackageManager
from controller.engine.log import keys
from controller.job.observed import PackageCache
from controller.linux import mount_api
from controller.linux.libc import SyscallError
from controller.sandbox.sources import open_neutral_owners
from controller.sandbox.spec import NEUTRAL_ID
from controller.volume import trimming

_log = logging.getLogger(__name__)


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
            removed = trimming.trim(directory, self._most_bytes, self._root / "removed")
        except OSError as error:
            _log.warning("cannot trim a package cache", extra=keys(cache=str(directory), problem=str(error)))
            return 0
        return removed

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
