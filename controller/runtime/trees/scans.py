"""Scans of a runtime root that read only what changed since the last one.

A runtime.yml is read again when the kernel says that it is another file, or was changed: its device, inode, size and
times. What the mounts in it lead to is looked at each time, as nothing at the top of a tree tells of changes deeper in.
Never here: what a scan finds, and how that is judged (`tree.py`).
Invariant: a scan is equal to one that remembers nothing.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from controller.runtime.trees import tree
from controller.runtime.trees.tree import InstalledRuntime

SETTLED_NS = 50_000_000
"""How old a change must be to be told from the next one: times of files move on by ticks, the longest of 10 ms."""

_Mark = tuple[int, int, int, int, int]
_Place = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class _Read:
    """What a runtime.yml said when it was the file that `mark` tells of."""

    mark: _Mark
    said: InstalledRuntime


class Scans:
    """The runtimes under one root. Safe from many threads."""

    def __init__(self, root: Path) -> None:
        """Look below `root`."""
        self._root = root
        self._known: dict[_Place, _Read] = {}

    def scan(self) -> tuple[InstalledRuntime, ...]:
        """Return what `tree.scan` does. Raises TransientError when the root cannot be read."""
        before, seen = self._known, dict[_Place, _Read]()

        def look(path: str, parent_name: str | None) -> InstalledRuntime:
            place = path, parent_name
            now = time.clock_gettime_ns(time.CLOCK_REALTIME)
            mark = _mark(path)
            known = before.get(place)
            if known is None or mark != known.mark:
                said = tree.read(Path(path), parent_name)
                if mark is None or said.manifest is None:
                    return tree.judged(said)
                known = _Read(mark, said)
            if known is before.get(place) or _is_settled(known.mark, now):
                seen[place] = known
            return tree.judged(known.said)

        found = tree.scan(self._root, look)
        self._known = seen  # One of two scans at a time is forgotten: what it read is read once more.
        return found


def _mark(path: str) -> _Mark | None:
    try:
        status = os.lstat(f"{path}/{tree.MANIFEST}")
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_settled(mark: _Mark, now: int) -> bool:
    """Whether a change from `now` on has another time: by the clock of the host, whose ticks are the times of files."""
    return mark[-1] + SETTLED_NS < now
