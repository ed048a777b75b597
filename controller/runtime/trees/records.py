"""What is known of installed versions besides their trees: the records of all, kept at hand, and when each was used.

    ROOT/.runwright/NAME-VERSION.used      its time is when a job last asked for that version

Reading again costs one look at each record, and only when one of them changed; only what changed is read.
"""

import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from controller.runtime.trees import origin
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.tree import InstalledRuntime

USED_EVERY_SECONDS = 60.0
"""A use is noted again after so long; what is told of it to people is no finer than that."""

_RECORD, _NEXT = ".json", "~next"
_COMING = f"{_NEXT}{_RECORD}"

_Mark = tuple[int, int]


class Records:
    """The records of all versions under one root."""

    def __init__(self, root: Path) -> None:
        """Read those under `root`."""
        self._root = root
        self._directory = root / origin.RECORDS
        self._lock = threading.Lock()
        self._stamp: tuple[_Mark, ...] = ()
        self._marks: dict[str, _Mark] = {}
        self._read: dict[str, Origin] = {}
        self._by_name: dict[str, dict[str, Origin]] = {}
        self._used: dict[str, float] = {}

    def of(self, installed: InstalledRuntime) -> Origin | None:
        """Return the record of a tree that we installed; None for one that others put there."""
        if installed.path != self._root / origin.key(installed.name, installed.version):
            return None
        return self._known(installed.name).get(installed.version or "")

    def unhealthy(self, name: str) -> Mapping[str, str]:
        """Return the versions of the runtime `name` that do not work, and why."""
        known = self._known(name)
        barred = origin.not_to_be_chosen({version: r.health for version, r in known.items()})
        return {version: known[version].health_message for version in barred}

    def used(self, installed: InstalledRuntime) -> None:
        """Note that a job uses this version now."""
        key = origin.key(installed.name, installed.version)
        now = time.monotonic()
        with self._lock:
            if now - self._used.get(key, float("-inf")) < USED_EVERY_SECONDS:
                return
            self._used[key] = now
        try:
            (self._directory / f"{key}.used").touch()
        except OSError:
            return  # It is looked at again at the next use; a job does not wait for it.

    def _known(self, name: str) -> Mapping[str, Origin]:
        with self._lock:
            # Both: a record counts from the moment that its tree is in its place.
            stamp = _mark(self._directory), _mark(self._root)
            if stamp != self._stamp:
                self._look()
                self._stamp = stamp
            return self._by_name.get(name, {})

    def _look(self) -> None:
        marks = _record_marks(self._directory)
        touched = {name for name, _ in marks.items() ^ self._marks.items()}
        # One that is coming counts from when its tree is in its place, which changes no record.
        touched |= {name for name in marks if name.endswith(_COMING)}
        self._marks = marks
        fresh: dict[str, dict[str, Origin]] = {}  # What others were given of a name stays as it is.
        for key in {name.removesuffix(_RECORD).removesuffix(_NEXT) for name in touched}:
            before, now = self._read.pop(key, None), origin.read(self._root, key, None)
            for record in (before, now):
                if record is not None and record.name not in fresh:
                    fresh[record.name] = dict(self._by_name.get(record.name, {}))
            if before is not None:
                fresh[before.name].pop(before.version, None)
            if now is not None:
                self._read[key] = fresh[now.name][now.version] = now
        self._by_name |= fresh


def last_used(root: Path, name: str, version: str) -> datetime | None:
    """Return when a job last asked for this version; None if none did."""
    try:
        seconds = os.stat(root / origin.RECORDS / f"{origin.key(name, version)}.used").st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def forget_use(root: Path, name: str, version: str) -> None:
    """Drop the note of when it was used."""
    (root / origin.RECORDS / f"{origin.key(name, version)}.used").unlink(missing_ok=True)


def _record_marks(directory: Path) -> dict[str, _Mark]:
    """Return what tells of each file with a record whether it was written anew; none if there is no directory."""
    found: dict[str, _Mark] = {}
    try:
        there = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        for name in os.listdir(there):
            if name.endswith(_RECORD):
                try:
                    stat = os.stat(name, dir_fd=there, follow_symlinks=False)
                except OSError:
                    continue  # It went this moment.
                found[name] = stat.st_ino, stat.st_mtime_ns
    finally:
        os.close(there)
    return found


def _mark(path: Path) -> _Mark:
    try:
        stat = os.lstat(path)
    except OSError:
        return 0, 0
    return stat.st_ino, stat.st_mtime_ns
