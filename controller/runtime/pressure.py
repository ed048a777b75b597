"""How full the disk of the runtimes is, and which versions have to go because of that.

Never here: which versions may go (`keeping.py` decides), and removing them.
"""

import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from api.kinds import JOB, RUNTIME
from api.ports import Storage
from api.types.runtime import Runtime
from controller.engine.clock import Clock
from controller.runtime import keeping, meaning, users
from controller.runtime.keeping import Retained
from controller.runtime.observed import Tree
from controller.runtime.trees import disk_use, origin, records, retired
from controller.runtime.trees.disk_use import DiskUse

MEASURE_SECONDS = 600.0
"""How often a tree is measured again though no tree came or went: what one shares changes with every other one."""

BUSY_SECONDS = 10.0
"""And how often while some come or go: what is being removed still counts as another tree's."""

_Mark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """When versions that nobody wants now go: above so many percent used, or below so many bytes free."""

    most_used_percent: float = 90.0
    least_free_bytes: int = 0


DEFAULT_LIMITS = DiskLimits()


class Pressure:
    """Looks at the disk of one runtime root."""

    def __init__(
        self,
        root: Path,
        storage: Storage,
        limits: DiskLimits,
        clock: Clock,
        idle: Callable[[Runtime], Collection[str]] = lambda _runtime: (),
    ) -> None:
        """Hold the disk of `root` to `limits`; `idle` says which versions of a runtime nobody wants any more."""
        self._idle = idle
        self._root = root
        self._storage = storage
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._measured: dict[Path, tuple[float, DiskUse]] = {}  # Until when it holds, for the trees of this mark.
        self._mark: _Mark = ()

    def on(self, runtime: Runtime, trees: tuple[Tree, ...]) -> frozenset[str]:
        """Return the versions of `runtime` that have to go so that the disk is not too full."""
        needed = self._bytes_needed()
        if not needed or not any(tree.version in self._for_now(runtime) for tree in trees):
            return frozenset()
        going = keeping.under_pressure(self._candidates(), needed)
        return frozenset(version for name, version in going if name == runtime.meta.name)

    def shared_bytes(self, path: Path) -> int | None:
        """Return how many bytes of the tree at `path` other trees have too; None if it cannot be read."""
        use = self._use(path)
        return None if use is None else use.shared_bytes

    def _use(self, path: Path) -> DiskUse | None:
        now, mark = self._clock.monotonic(), self._trees_mark()
        with self._lock:
            if mark != self._mark:
                self._mark, self._measured = mark, {}
            known = self._measured.get(path)
        if known is not None and now < known[0]:
            return known[1]
        try:
            seconds = BUSY_SECONDS if self._is_changing() else MEASURE_SECONDS
            found = disk_use.measure(path)
        except OSError:
            return None
        with self._lock:
            if mark == self._mark:
                self._measured[path] = (now + seconds, found)
        return found

    def _trees_mark(self) -> _Mark:
        """Return what is another when a tree has come or gone, or was replaced: directories tell the time of that."""
        return tuple(_changed_ns(directory) for directory in (self._root, retired.directory(self._root)))

    def _is_changing(self) -> bool:
        """Whether a tree is on its way in or out."""
        try:
            return bool(os.listdir(self._root / origin.STAGING))
        except FileNotFoundError:
            return False

    def _bytes_needed(self) -> int:
        try:
            space = os.statvfs(self._root)
        except OSError:
            return 0
        total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
        return keeping.bytes_needed(total, free, self._limits.most_used_percent, self._limits.least_free_bytes)

    def _for_now(self, runtime: Runtime) -> Collection[str]:
        """Return the versions that are kept only while the disk has room."""
        return {*meaning.retained(runtime.spec, runtime.status.history), *self._idle(runtime)}

    def _candidates(self) -> list[Retained]:
        """Return what is kept for a rollback, of all runtimes, and not in use: what is in use frees nothing now."""
        found, used = [], users.used(self._storage.each(JOB.name))
        for document in self._storage.list(RUNTIME.name).items:
            runtime = Runtime.model_validate(document)
            name = runtime.meta.name
            for version in self._for_now(runtime):
                record = None if f"{name}@{version}" in used else origin.read(self._root, name, version)
                if record is not None:
                    # Measured where it can be: records of old count a file as often as it has names.
                    use = self._use(self._root / origin.key(name, version)) or DiskUse(record.disk_bytes, 0)
                    own = max(use.disk_bytes - use.shared_bytes, 1)
                    found.append(Retained(name, version, records.last_used(self._root, name, version), own))
        return found


def _changed_ns(directory: Path) -> int:
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0
