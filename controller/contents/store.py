"""Contents by their sha256, each kept once, whoever handed it in; and which namespaces have handed in which.

`ROOT/all/HEX` is the content, and `ROOT/of/NAMESPACE/HEX` the same file once more, for each namespace that has sent all
of it. A run that needs it has a name for it in its own directory. So a content is in use as long as it has names
besides its first, which no crash can forget, and nothing is counted.
Invariants: a name appears only when the content is whole, verified and on the disk. What a namespace has not sent is
not there for it. What is removed was asked for by nobody for `grace_seconds`, and nothing that refers to it is being
stored.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from controller.engine.clock import Clock

_ALL, _OF = "all", "of"
PREFIX = "sha256:"
_SYNCING_THREADS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be kept, in bytes: of one content, of one namespace, of all; and what is left of the disk."""

    one: int
    of_namespace: int
    of_all: int
    minimum_free: int
    grace_seconds: float


class Whole(NamedTuple):
    """A file that has all of a content, and was verified."""

    path: Path
    hexadecimal: str


class Missing(Exception):
    """The content was not handed in in that namespace, or is collected already."""


class Contents:
    """The contents below one directory, which nobody else writes to."""

    def __init__(self, root: Path, clock: Clock, limits: Limits) -> None:
        """Keep them below `root`, made with the first of them."""
        self.root = root
        self.limits = limits
        self._clock = clock
        self._lock = threading.RLock()
        self._used: dict[Path, int] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        self._unsettled: set[tuple[str, str]] = set()  # Names that may not be on the disk: nobody is told of them.

    def size(self, namespace: str, digest: str) -> int | None:
        """Return how large a content of the namespace is, None if it has not handed it in; it is kept for a while."""
        path = self._path(namespace, digest)
        with self._lock:
            if (namespace, path.name) in self._unsettled:
                return None
            try:
                found = path.stat()
                self._touch(path)
            except FileNotFoundError:
                return None
        return found.st_size

    @contextmanager
    def held(self, namespace: str, digests: Collection[str]) -> Iterator[None]:
        """Keep these contents while what refers to them is being stored, and as young as asked for, after that."""
        wanted = [(namespace, digest) for digest in digests]
        if not wanted:
            yield
            return
        with self._lock:
            self._held.update(wanted)
        try:
            yield
        finally:
            with self._lock:
                for each in wanted:
                    self.size(*each)
                self._held -= Counter(wanted)

    def give(self, namespace: str, digest: str, target: Path) -> None:
        """Have the content be at `target` too, which may be so already.

        Raises:
            Missing: there is none for this namespace.
        """
        with self._lock:
            try:
                os.link(self._path(namespace, digest), target)
            except FileExistsError:
                return
            except FileNotFoundError:
                raise Missing(f"{digest} was not uploaded in namespace {namespace}") from None

    def keep(self, namespace: str, whole: Sequence[Whole]) -> None:
        """Keep files that are whole, whose names are theirs no more then.

        Of a content that is here already, the one that is here stays. Others go on while this waits for the disk: so a
        name of a content is there for nobody until it is on it.
        """
        for each in whole:  # All of them first: a change of an inode costs its fsync a commit of the journal.
            each.path.chmod(0o400)
        _make_all_durable([each.path for each in whole])
        everyones, own = self.root / _ALL, self.root / _OF / namespace
        with self._lock:
            for directory in (everyones, own.parent, own):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for each in whole:
                self._link(each.path, everyones / each.hexadecimal)
                self._touch(everyones / each.hexadecimal)
                if self._link(everyones / each.hexadecimal, own / each.hexadecimal):
                    self._unsettled.add((namespace, each.hexadecimal))
        self.settle(namespace)
        for each in whole:
            each.path.unlink()

    def settle(self, namespace: str) -> None:
        """Have the names of all that a namespace has on the disk."""
        own = self.root / _OF / namespace
        with self._lock:
            settling = {each for each in self._unsettled if each[0] == namespace}
        with contextlib.suppress(FileNotFoundError):  # All that was in it is collected already.
            _make_durable(own)
        for directory in (self.root / _ALL, own.parent, self.root):
            _make_durable(directory)
        with self._lock:
            self._unsettled -= settling

    def used(self) -> int:
        """Return the bytes of all contents."""
        return self._bytes_in(self.root / _ALL)

    def used_by(self, namespace: str) -> int:
        """Return the bytes of all contents that a namespace has."""
        return self._bytes_in(self.root / _OF / namespace)

    def collect(self, referred: Callable[[], Collection[tuple[str, str]]]) -> int:
        """Remove what nobody refers to any more, by namespace and digest, since the grace; return how many went."""
        oldest = (self._clock.now() - timedelta(seconds=self.limits.grace_seconds)).timestamp()
        candidates = [
            (space.name, entry.name)
            for space in _entries(self.root / _OF)
            for entry in _entries(Path(space.path))
            if entry.stat().st_mtime < oldest
        ]
        in_use = referred() if candidates else ()
        gone = 0
        for namespace, name in candidates:
            digest = f"{PREFIX}{name}"
            with self._lock:
                if (namespace, digest) not in in_use and (namespace, digest) not in self._held:
                    gone += self._remove(self._path(namespace, digest), oldest, names=0)
        for entry in _entries(self.root / _ALL):
            # Its only name: no namespace has it any more, and no run.
            self._remove(Path(entry.path), oldest, names=1)
        return gone

    def _remove(self, path: Path, oldest: float, names: int) -> bool:
        """Remove a name if it is still as old, and of so many; 0 is any number."""
        with self._lock:
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
            if found.st_mtime >= oldest or (names and found.st_nlink != names):
                return False
            path.unlink()
            self._count(path.parent, -found.st_size)
            if not names:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
        return True

    def _link(self, path: Path, target: Path) -> bool:
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        self._count(target.parent, target.stat().st_size)
        return True

    def _bytes_in(self, directory: Path) -> int:
        """Return the bytes of all files in a directory, which are looked at once, and counted from then on."""
        with self._lock:
            if directory not in self._used:
                self._used[directory] = sum(entry.stat().st_size for entry in _entries(directory))
            return self._used[directory]

    def _count(self, directory: Path, size: int) -> None:
        if directory in self._used:
            self._used[directory] += size

    def _path(self, namespace: str, digest: str) -> Path:
        return self.root / _OF / namespace / digest.removeprefix(PREFIX)

    def _touch(self, path: Path) -> None:
        moment = self._clock.now().timestamp()
        os.utime(path, (moment, moment))


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from list(entries)
    except FileNotFoundError:
        return


def _make_all_durable(paths: Sequence[Path]) -> None:
    """Have files on the disk. Those that wait for it side by side share what the disk does for each."""
    if len(paths) == 1:
        _make_durable(paths[0])
        return
    with ThreadPoolExecutor(_SYNCING_THREADS, "contents to the disk") as threads:
        for _ in threads.map(_make_durable, paths):
            pass


def _make_durable(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
