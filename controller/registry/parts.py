"""What came of large downloads that broke, kept on disk so that the next attempt, or the next daemon, goes on there.

A part is a file, `CHECKSUM-URL.part`: a line that says of which URL and state of it the bytes are, then the bytes, in
their order. Never here: whether they are the right ones. They are read again from the first one on, so whoever compares
the checksum of a whole download compares that of its part too.
Invariants: one download at a time has a part; no part is older than a day, all together are no larger than a few GiB,
even when each is whole, and none grows where that takes the space that is to be left free. No download fails for want
of its part.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from controller.engine.clock import Clock

LEAST_BYTES = 8 << 20
"""Smaller downloads are not kept: they come again as soon as a part of them could be read."""

MOST_BYTES = 4 << 30
_DIRECTORY = ".runwright/parts"
_SPACE_FACTOR = 4
_MOST_AGE_SECONDS = 86400.0
_MOST_AHEAD_SECONDS = 60.0  # It was written since the time was looked at, or by a clock that was set back a little.
_HEAD_BYTES = 8192
_READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Kept:
    """What all parts take together: when each is whole, and what of that is still to come."""

    whole_bytes: int = 0
    missing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts in one directory, which is made when the first of them is; `free_bytes` of its disk are left."""

    directory: Path
    clock: Clock
    free_bytes: int = 0
    least_bytes: int = LEAST_BYTES
    most_bytes: int = MOST_BYTES

    @classmethod
    def below(cls, root: Path, clock: Clock, free_bytes: int = 0) -> "Parts":
        """Return the parts of downloads to the runtime root `root`."""
        return cls(root / _DIRECTORY, clock, free_bytes)

    @contextmanager
    def open(self, url: str, sha256: str) -> Iterator["Part | None"]:
        """Hold the part of what `url` names, whose checksum is to be `sha256`; None if somebody else does.

        Nothing is written before there is something to keep.
        """
        path = self.directory / f"{sha256[:32]}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
        part = None
        with suppress(OSError):
            self.sweep()
            part = Part(self, path, f"{url} sha256:{sha256}")
        try:
            yield part
        finally:
            if part is not None:
                part.close()

    def sweep(self, room_bytes: int = 0, own: Path | None = None) -> Kept:
        """Remove what is older than a day, and the oldest until there are `room_bytes` left of what may be kept.

        Returns:
            What is left, but for the part `own`: that of downloads that are under way stays.
        """
        now = self.clock.now().timestamp()
        found = []
        for path in self.directory.glob("*.part"):
            with suppress(FileNotFoundError):
                status = path.lstat()
                if path != own:
                    found.append((status.st_mtime, max(status.st_size, _length(path)), status.st_size, path))
        whole, missing = sum(whole for _, whole, _, _ in found), sum(whole - size for _, whole, size, _ in found)
        for modified, length, size, path in sorted(found):
            is_old = not -_MOST_AHEAD_SECONDS <= now - modified <= _MOST_AGE_SECONDS
            if (is_old or whole + room_bytes > self.most_bytes) and _remove(path):
                whole, missing = whole - length, missing - (length - size)
        return Kept(whole, missing)

    def remove(self, sha256: str) -> None:
        """Remove what is kept of the file of that checksum, wherever it came from."""
        for path in self.directory.glob(f"{sha256[:32]}-*.part"):
            _remove(path)
        with suppress(OSError):
            self.directory.rmdir()  # If it is empty.

    @contextmanager
    def beginning(self, length: int | None, own: Path) -> Iterator[bool]:
        """Say whether a download of that length may be kept as `own`, with room made for it; nobody else begins one."""
        if length is None or not self.least_bytes <= length <= self.most_bytes:
            yield False
            return
        with ExitStack() as held:
            yield self._lock(held) and self._has_room(length, length, own)

    def may_go_on(self, length: int, missing: int, own: Path) -> bool:
        """Say whether there is room for what is `missing` of a part of that length."""
        return self._has_room(length, missing, own)

    def _lock(self, held: ExitStack) -> bool:
        """Have the directory, which is made, for ourselves until `held` ends."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            return False
        return True

    def _has_room(self, length: int, missing: int, own: Path) -> bool:
        try:
            others = self.sweep(length, own)
            disk = os.statvfs(self.directory)
        except OSError:
            return False
        free = disk.f_bavail * disk.f_frsize - others.missing_bytes
        # Itself, as far as it is still to come, and what it is unpacked to.
        needed = missing + (_SPACE_FACTOR - 1) * length
        return others.whole_bytes + length <= self.most_bytes and free >= self.free_bytes + needed


class Part:
    """The part of one download. While it is there, nobody else has it."""

    def __init__(self, parts: Parts, path: Path, about: str) -> None:
        """Hold what is kept at `path`, if it is `about` the same.

        Raises:
            OSError: somebody else holds it, or it is no plain file.
        """
        self._parts, self._path, self._about = parts, path, about
        self._is_kept = self._is_full = False
        self._read_at = self._size = 0
        self.etag, self.length = "", 0
        try:
            self._descriptor: int | None = _hold(path, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            self._descriptor = None
            return
        with suppress(ValueError, KeyError, TypeError):
            head = json.loads(os.pread(self._descriptor, _HEAD_BYTES, 0))
            if head["about"] == about:
                self.etag, self.length = str(head["etag"]), int(head["length"])
                self._size = max(0, os.fstat(self._descriptor).st_size - _HEAD_BYTES)
                self._is_kept = self._size > 0

    @property
    def size(self) -> int:
        """How many bytes are kept, from the first one on."""
        return self._size if self._is_kept else 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the download is here."""
        return self._is_kept and self._size == self.length

    def begin(self, length: int | None, etag: str) -> None:
        """Begin anew: what follows are the bytes from the first one on, of a download of that length."""
        self._read_at = self._size = 0
        self.etag, self.length = etag, length or 0
        head = json.dumps({"about": self._about, "etag": etag, "length": length}).encode()
        self._is_full = False
        with self._parts.beginning(length, self._path) as may_begin:
            self._is_kept = len(head) < _HEAD_BYTES and may_begin
            with suppress(OSError):
                if self._is_kept and self._descriptor is None:
                    self._descriptor = _hold(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            if self._is_kept:
                self._write(head.ljust(_HEAD_BYTES - 1) + b"\n", 0)

    def go_on(self) -> None:
        """Go on: what follows are the bytes after those that are kept. No more are if there is no room for them."""
        self._is_full = not self._parts.may_go_on(self.length, self.length - self._size, self._path)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next of the bytes that were kept before; nothing at their end."""
        wanted = min(_READ_BYTES if size < 0 else size, self.size - self._read_at)
        if wanted <= 0 or self._descriptor is None:
            return b""
        piece = os.pread(self._descriptor, wanted, _HEAD_BYTES + self._read_at)
        self._read_at += len(piece)
        return piece

    def add(self, piece: bytes) -> None:
        """Keep what came next."""
        if self._is_kept and piece and not self._is_full:
            self._write(piece, _HEAD_BYTES + self._size)
            self._size += len(piece)
            self._read_at = self._size

    def discard(self) -> None:
        """Forget what is kept: it is not what is wanted, or cannot be kept. It may begin anew."""
        self._is_kept = False
        with suppress(OSError):
            if self._descriptor is not None:
                os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Let go of it; what is kept stays."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            if not self._is_kept:
                self._path.unlink()
                self._path.parent.rmdir()  # If it is empty.
        os.close(self._descriptor)

    def _write(self, data: bytes, at: int) -> None:
        try:
            if self._descriptor is None:
                raise FileExistsError(self._path)
            if at == 0:
                os.ftruncate(self._descriptor, 0)
            while data:
                written = os.pwrite(self._descriptor, data, at)
                data, at = data[written:], at + written
        except OSError:  # The disk is full, perhaps: what is downloaded is worth more than its copy.
            self.discard()


def _hold(path: Path, flags: int) -> int:
    """Return the part at `path`, open and held by us alone.

    Raises:
        OSError: it cannot be opened, somebody holds it, or it is no plain file.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine, there = os.fstat(descriptor), path.lstat()
        if stat.S_ISREG(mine.st_mode) and (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
            return descriptor
        raise BlockingIOError(f"{path} is somebody else's")  # Who held it has removed it.
    except OSError:
        os.close(descriptor)
        raise


def _length(path: Path) -> int:
    """Return how long the download is of which the part at `path` is; 0 if it does not say so."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return max(0, int(json.loads(os.pread(descriptor, _HEAD_BYTES, 0))["length"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0
    finally:
        os.close(descriptor)


def _remove(path: Path) -> bool:
    """Remove a part that nobody holds; say whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
