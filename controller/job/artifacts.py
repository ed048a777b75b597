"""What is kept of runs after their end, as it lies on the host: `ROOT/JOB_UID/ATTEMPT/`, an index and numbered files.

It was written by the run's supervisor (`launcher.artifacts`), a process with few rights beside code that nobody trusts:
so what the index says is looked at as what a stranger says, and no name in it is ever a path here.
Invariants: of a job there is at most one run with an index, the newest, once its reconciler has settled it; of a job
of many runs, one of each of those. What has no index is of a run that goes on, or nothing. What has one changes no
more: what a status tells of it is read once, and its bytes are counted once.
"""

import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from api.types.artifacts import SHOWN, Artifact, Artifacts
from api.types.job import Job
from api.types.job_file import DIGEST
from controller.launcher import runspec
from controller.launcher.artifacts import INDEX, VERSION

_MOST_INDEX_BYTES = 64 << 20
_MOST_TOLD_FILES = 20_000  # That are remembered: some 20 MB of memory.
_MOST_REASONS, _MOST_REASON_LETTERS = 20, 200
_MOST_INDEXED_FILES = 20_000  # Likewise, of indexes that somebody has listed, or has fetched files of, lately.


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be kept: bytes and files of one run, and bytes of all."""

    run_bytes: int
    run_files: int
    all_bytes: int
    minimum_free: int


@dataclass(frozen=True, slots=True)
class Index:
    """What was kept of one run, in order of paths; `numbers` are what the files are called."""

    attempt: int
    files: tuple[Artifact, ...]
    numbers: tuple[int, ...]
    left_out: str

    def told(self) -> Artifacts:
        """Return it as a status tells of it."""
        size = sum(file.size_bytes for file in self.files)
        return Artifacts(
            attempt=self.attempt,
            count=len(self.files),
            size_bytes=size,
            files=self.files[:SHOWN],
            left_out=self.left_out,
        )


_TOLD = tuple(field.alias or name for name, field in Artifact.model_fields.items())
_Stamp: TypeAlias = tuple[int, int, int]  # Of an index: another file, or one that was written again, has another.


class KeptArtifacts:
    """The artifacts of all jobs of this host."""

    def __init__(self, root: Path, limits: Limits) -> None:
        """Keep them below `root`, made with the first."""
        self._root = root
        self._limits = limits
        self._lock = threading.Lock()
        self._told: OrderedDict[tuple[str, int], tuple[_Stamp, Artifacts | None]] = OrderedDict()
        self._told_files = 0
        self._indexes: OrderedDict[tuple[str, int], tuple[_Stamp, Index]] = OrderedDict()
        self._sizes: dict[str, dict[int, int | None]] | None = None  # None is of a run that may keep more.

    def wanted(self, job: Job, attempt: int) -> runspec.Artifacts | None:
        """Return what a run is to be asked to keep, its directory made; None is nothing. It may have begun already."""
        if not job.spec.artifacts:
            return None
        directory = self._directory(job.meta.uid, attempt)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            if self._sizes is not None:
                self._sizes.setdefault(job.meta.uid, {}).setdefault(attempt, None)
        room = min(self._limits.run_bytes, self._limits.all_bytes - self._used(), self._free())
        return runspec.Artifacts(job.spec.artifacts, str(directory), max(room, 0), self._limits.run_files)

    def present(self, uid: str) -> bool:
        """Whether anything is kept of a job, or about to be."""
        return (self._root / uid).exists()

    def newest(self, uid: str, attempt: int | None = None) -> Index | None:
        """Return what was kept of the newest run that left any, or of run `attempt`."""
        for number in reversed(self._attempts(uid) if attempt is None else [attempt]):
            if (index := self._index(uid, number)) is not None:
                return index
        return None

    def _index(self, uid: str, attempt: int) -> Index | None:
        """Return an index; one that was asked for lately is not read again for each file that is fetched of it."""
        stamp = self._stamp(uid, attempt)
        if stamp is None:
            return None
        with self._lock:
            known = self._indexes.get((uid, attempt))
            if known is not None and known[0] == stamp:
                self._indexes.move_to_end((uid, attempt))
                return known[1]
        index = self._read(uid, attempt)
        with self._lock:
            self._indexes.pop((uid, attempt), None)
            if index is not None:
                self._indexes[uid, attempt] = stamp, index
            # One, however large it is, is kept: a long list is read in pages.
            while len(self._indexes) > 1 and _files_of(self._indexes) > _MOST_INDEXED_FILES:
                self._indexes.popitem(last=False)
        return index

    def _stamp(self, uid: str, attempt: int) -> _Stamp | None:
        try:
            found = (self._directory(uid, attempt) / INDEX).stat(follow_symlinks=False)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def told(self, uid: str) -> Artifacts | None:
        """Return what a status tells of the newest run that left any; it is asked in each pass of a job."""
        for attempt in reversed(self._attempts(uid)):
            if (told := self._told_of(uid, attempt)) is not None:
                return told
        return None

    def settle(self, uid: str, attempt: int, replaced: frozenset[int] | None = None) -> None:
        """Remove what is of no use now that run `attempt` is over: its own without an index, or else earlier ones.

        These are all before it, or those that it has `replaced`, where a job has many runs.
        """
        if not (self._directory(uid, attempt) / INDEX).exists():
            self._remove_of(uid, attempt)
            return
        with self._lock:  # Whatever it may have written after its index, it writes no more.
            if self._sizes is not None:
                self._sizes.setdefault(uid, {})[attempt] = None
        for other in self._attempts(uid):
            if other < attempt if replaced is None else other in replaced:
                self._remove_of(uid, other)

    def remove(self, uid: str) -> None:
        """Remove all that is kept of a job; there may be nothing."""
        for attempt in self._attempts(uid):
            self._remove_of(uid, attempt)
        self._remove(self._root / uid)
        with self._lock:
            if self._sizes is not None:
                self._sizes.pop(uid, None)

    def sweep(self, known_uids: Collection[str]) -> tuple[str, ...]:
        """Remove what belongs to no job in `known_uids`; return of which."""
        gone = tuple(uid for uid in _names(self._root) if uid not in known_uids)
        for uid in gone:
            self.remove(uid)
        return gone

    def open(self, uid: str, path: str, attempt: int | None = None) -> tuple[int, Artifact]:
        """Return a descriptor of a file that was kept, to be read, and what it is. Raises FileNotFoundError."""
        index = self.newest(uid, attempt)
        for number, file in zip(index.numbers, index.files, strict=True) if index else ():
            if index and file.path == path:
                place = self._directory(uid, index.attempt) / str(number)
                return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), file
        raise FileNotFoundError(path)

    def _used(self) -> int:
        """Return the bytes of all: those of runs that are over were counted once, others are looked at."""
        with self._lock:
            if self._sizes is None:
                self._sizes = {uid: dict.fromkeys(self._attempts(uid)) for uid in _names(self._root)}
            sizes = {uid: dict(of_job) for uid, of_job in self._sizes.items()}
        used = 0
        for uid, of_job in sizes.items():
            for attempt, size in of_job.items():
                used += self._measured(uid, attempt) if size is None else size
        return used

    def _measured(self, uid: str, attempt: int) -> int:
        directory = self._directory(uid, attempt)
        is_whole = (directory / INDEX).exists()  # Looked at first: what is written later is not missed.
        size = _bytes_in(directory)
        with self._lock:
            if is_whole and self._sizes is not None and attempt in self._sizes.get(uid, {}):
                self._sizes[uid][attempt] = size
        return size

    def _told_of(self, uid: str, attempt: int) -> Artifacts | None:
        stamp = self._stamp(uid, attempt)
        if stamp is None:
            return None
        with self._lock:
            before = self._told.get((uid, attempt))
            if before is not None and before[0] == stamp:
                self._told.move_to_end((uid, attempt))
                return before[1]
        index = self._read(uid, attempt)
        told = None if index is None else index.told()
        self._remember(uid, attempt, (stamp, told))
        return told

    def _remember(self, uid: str, attempt: int, told: tuple[_Stamp, Artifacts | None]) -> None:
        with self._lock:
            self._forget(self._told.pop((uid, attempt), None))
            self._told[uid, attempt] = told
            self._told_files += _weight(told)
            while self._told_files > _MOST_TOLD_FILES:
                self._forget(self._told.popitem(last=False)[1])

    def _forget(self, told: tuple[_Stamp, Artifacts | None] | None) -> None:
        self._told_files -= _weight(told) if told is not None else 0

    def _free(self) -> int:
        return shutil.disk_usage(self._root).free - self._limits.minimum_free

    def _attempts(self, uid: str) -> list[int]:
        return sorted(int(name) for name in _names(self._root / uid) if name.isdecimal())

    def _directory(self, uid: str, attempt: int) -> Path:
        return self._root / uid / str(attempt)

    def _read(self, uid: str, attempt: int) -> Index | None:
        try:
            with (self._directory(uid, attempt) / INDEX).open("rb") as file:
                return _index_of(attempt, json.loads(file.read(_MOST_INDEX_BYTES)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _remove_of(self, uid: str, attempt: int) -> None:
        self._remove(self._directory(uid, attempt))
        with self._lock:
            self._forget(self._told.pop((uid, attempt), None))
            self._indexes.pop((uid, attempt), None)
            if self._sizes is not None:
                self._sizes.get(uid, {}).pop(attempt, None)

    @staticmethod
    def _remove(path: Path) -> None:
        if path.exists():
            shutil.rmtree(path)


def _index_of(attempt: int, said: Any) -> Index:
    """Return what an index says. Raises ValueError and its like: it is none."""
    if said["version"] != VERSION:
        raise ValueError(said["version"])
    files = tuple(map(_artifact, said["files"]))
    numbers = tuple(int(file["file"]) for file in said["files"])
    if not all(DIGEST.fullmatch(file.digest) and file.size_bytes >= 0 and file.path.isprintable() for file in files):
        raise ValueError("a file of it is none")
    return Index(attempt, files, numbers, _left_out(said["leftOut"], said.get("firstLeftOut", {})))


def _left_out(counts: Any, first: Any) -> str:
    """Return how many files were not kept, why, and the first of each reason. Indexes of earlier versions have none.

    >>> _left_out({"it is no file": 2, "the time for it was over": 1}, {"it is no file": "a/fifo"})
    '2 (it is no file; the first is "a/fifo"), 1 (the time for it was over)'
    """
    told = []
    for why, count in sorted(counts.items())[:_MOST_REASONS]:
        path = str(first.get(why, ""))
        cut = path if len(path) <= _MOST_REASON_LETTERS else f"{path[:_MOST_REASON_LETTERS]}…"
        shown = json.dumps(cut, ensure_ascii=False)  # A path can have any letter, quotes too.
        which = f"; the first is {shown}" if count > 1 else f": {shown}"
        told.append(f"{int(count)} ({str(why)[:_MOST_REASON_LETTERS]}{which if path and path.isprintable() else ''})")
    return ", ".join(told)


def _artifact(said: Any) -> Artifact:
    """Return a file as it is told of; what else the index has is for us alone, or of nobody knows whom."""
    return Artifact.model_validate({name: said[name] for name in _TOLD if name in said})


def _files_of(indexes: Mapping[tuple[str, int], tuple[_Stamp, Index]]) -> int:
    return sum(1 + len(index.files) for _, index in indexes.values())


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _weight(told: tuple[_Stamp, Artifacts | None]) -> int:
    return 1 + (len(told[1].files) if told[1] is not None else 0)


def _bytes_in(directory: Path) -> int:
    try:
        with os.scandir(directory) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return 0
