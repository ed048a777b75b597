"""Keeping files of a run's /work when it has ended: those that its job named by patterns, with their digests.

It is done by the run's supervisor, when no process of the run is left, so nothing changes meanwhile; but all that lies
there was made by the job: it may be deep, wide, sparse, full of links and of what is no file. What is kept is numbered
files in a directory of ours, and an index, which is JSON and says what each was called. No name of the job's is ever a
name on the host's disk.
What lies in a volume that is mounted below /work is not taken: it outlives the run where it is, and other runs may be
writing it at this moment.
Invariants: nothing outside of /work is read, whatever leads there. What is kept and the time that it takes are bounded,
and what was left out is told. The index has its name when all that it tells of is on the disk.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from controller.launcher.globs import ALL_BELOW, Globs, States
from controller.launcher.runspec import Artifacts
from controller.linux import libc, openat2
from controller.linux.openat2 import Resolve

INDEX = "index.json"
VERSION = 1
_INDEX_TO_BE = "index.new"
_DEEPEST = 100
_LONGEST_PATH = 4000  # PATH_MAX, less what the kernel's own messages need.
_MOST_LOOKED_AT = 1_000_000
_MOST_WAITING = 100_000
_PIECE_BYTES = 1 << 20
_FEW = 32
_ZEROS = bytes(_PIECE_BYTES)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_BELOW = Resolve.BENEATH | Resolve.NO_SYMLINKS | Resolve.NO_MAGICLINKS | Resolve.NO_XDEV
_LINK_INSIDE = Resolve.IN_ROOT | Resolve.NO_MAGICLINKS | Resolve.NO_XDEV
_IN_A_VOLUME = "it is in a volume, which keeps it itself"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Kept:
    """What was kept so far, and why other things were not."""

    files: list[dict[str, object]] = field(default_factory=list)
    size: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    first_left_out: dict[str, str] = field(default_factory=dict)
    looked_at: int = 0

    def leave_out(self, why: str, path: str = "") -> None:
        """Count what is not kept; of each reason the first path is told, of which `path` may be none to tell."""
        self.left_out[why] = self.left_out.get(why, 0) + 1
        if path:
            self.first_left_out.setdefault(why, path)


class _Enough(Exception):
    """Nothing more is to be kept; the message says why."""


class Keeper:
    """What keeps the artifacts of one run, from before it has begun until after it has ended."""

    def __init__(self, wanted: Artifacts) -> None:
        """Take hold of the directory to keep them in, where the host's paths are.

        Raises:
            OSError: it is not there.
        """
        self._wanted = wanted
        self.target_fd = os.open(wanted.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._work_fd = -1

    def take(self, work: str) -> None:
        """Take hold of what is at `work` in the sandbox, before anybody else is in there. Raises OSError."""
        self._work_fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def keep(self, seconds: float, is_stopped: Callable[[], bool]) -> None:
        """Keep what is to be kept, for so long at most and until somebody wants it stopped; write the index.

        Raises:
            OSError: the index cannot be written.
        """
        kept, until = _Kept(), time.monotonic() + seconds
        try:
            for path, is_link in self._matching(kept):
                if time.monotonic() >= until or is_stopped():
                    raise _Enough("the time for it was over")
                self._keep_one(path, kept, is_link=is_link, until=until)
        except _Enough as why:
            kept.leave_out(str(why))
        except OSError as error:
            kept.leave_out(f"cannot go on: {error.strerror}")
        self._write_index(kept)

    def _matching(self, kept: _Kept) -> Iterator[tuple[str, bool]]:
        """Yield the paths of files that match, and whether each is a link."""
        globs = Globs(self._wanted.patterns)
        waiting: list[tuple[str, States]] = [("", globs.start)]
        while waiting:
            directory, states = waiting.pop()
            for entry in self._entries(directory, kept):
                kept.looked_at += 1
                if kept.looked_at > _MOST_LOOKED_AT:
                    raise _Enough(f"/work has more than {_MOST_LOOKED_AT} files")
                path, now = f"{directory}/{entry.name}" if directory else entry.name, globs.after(states, entry.name)
                if not now:
                    continue
                if not _is_usable(path):
                    kept.leave_out("its path is too long, too deep, or no text")
                elif entry.is_dir(follow_symlinks=False):
                    if len(waiting) >= _MOST_WAITING:
                        raise _Enough(f"/work has more than {_MOST_WAITING} directories")
                    waiting.append((path, ALL_BELOW if globs.matches(now) else now))
                elif globs.matches(now):
                    yield path, entry.is_symlink()

    def _entries(self, directory: str, kept: _Kept) -> Iterator[os.DirEntry[str]]:
        try:
            fd = openat2.open_in_root(self._work_fd, directory or ".", _DIRECTORY, resolve=_BELOW)
        except OSError as error:
            why = _IN_A_VOLUME if error.errno == errno.EXDEV else "it is a directory that cannot be read"
            kept.leave_out(why, directory)
            return
        try:
            with os.scandir(fd) as entries:
                yield from entries
        finally:
            os.close(fd)

    def _keep_one(self, path: str, kept: _Kept, *, is_link: bool, until: float) -> None:
        if len(kept.files) >= self._wanted.most_files:
            raise _Enough(f"there are more than {self._wanted.most_files} of them")
        resolve = _LINK_INSIDE if is_link else _BELOW
        try:
            # Non-blocking: a fifo must not hold us up. No device can be opened here, the mount has none.
            source = openat2.open_in_root(self._work_fd, path, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
        except OSError as error:
            elsewhere = (
                _IN_A_VOLUME if error.errno == errno.EXDEV else "it is a link that leads out of /work or nowhere"
            )
            kept.leave_out(elsewhere if is_link else "it is no file", path)
            return
        try:
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                kept.leave_out("it is no file", path)
            elif kept.size + found.st_size > self._wanted.most_bytes:
                kept.leave_out(f"all together are more than {self._wanted.most_bytes} bytes", path)
            else:
                self._copy(path, source, found, kept, until)
        finally:
            os.close(source)

    def _copy(self, path: str, source: int, found: os.stat_result, kept: _Kept, until: float) -> None:
        name = str(len(kept.files))
        target = os.open(name, _NEW, 0o600, dir_fd=self.target_fd)
        try:
            digest = _copy_content(source, target, found.st_size, until)
        except (_Enough, OSError):
            os.unlink(name, dir_fd=self.target_fd)
            raise
        finally:
            os.close(target)
        kept.size += found.st_size
        mode = stat.S_IMODE(found.st_mode) & 0o777
        kept.files.append({"path": path, "file": int(name), "sizeBytes": found.st_size, "digest": digest, "mode": mode})

    def _write_index(self, kept: _Kept) -> None:
        kept.files.sort(key=lambda file: str(file["path"]))
        told = {"files": kept.files, "leftOut": kept.left_out, "firstLeftOut": kept.first_left_out}
        content = json.dumps({"version": VERSION, **told}).encode()
        self._make_durable(len(kept.files))
        fd = os.open(_INDEX_TO_BE, _NEW, 0o600, dir_fd=self.target_fd)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(_INDEX_TO_BE, INDEX, src_dir_fd=self.target_fd, dst_dir_fd=self.target_fd)
        os.fsync(self.target_fd)

    def _make_durable(self, count: int) -> None:
        if count > _FEW:
            libc.syscall("syncfs", self.target_fd, purpose="bring what was kept to the disk")
            return
        for number in range(count):
            fd = os.open(str(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.target_fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _is_usable(path: str) -> bool:
    if len(path) > _LONGEST_PATH or path.count("/") >= _DEEPEST:
        return False
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path.isprintable()


def _copy_content(source: int, target: int, size: int, until: float) -> str:
    """Copy a file, its holes as holes; return its digest. Raises _Enough."""
    digest, at = hashlib.sha256(), 0
    while at < size:
        if time.monotonic() >= until:
            raise _Enough("the time for it was over")
        start, end = _next_data(source, at, size)
        while at < start:
            hole = min(_PIECE_BYTES, start - at)
            digest.update(_ZEROS if hole == _PIECE_BYTES else bytes(hole))
            at += hole
            if at % (64 * _PIECE_BYTES) == 0 and time.monotonic() >= until:
                raise _Enough("the time for it was over")
        while at < end:
            piece = os.pread(source, min(_PIECE_BYTES, end - at), at)
            if not piece:
                raise OSError(errno.EIO, "it became shorter")
            digest.update(piece)
            done = 0
            while done < len(piece):
                done += os.pwrite(target, piece[done:], at + done)
            at += len(piece)
    os.ftruncate(target, size)
    return f"sha256:{digest.hexdigest()}"


def _next_data(fd: int, at: int, size: int) -> tuple[int, int]:
    """Return where the next data of a file is and, at most a good piece of it, where that ends."""
    start = size
    with contextlib.suppress(OSError):  # ENXIO: nothing but a hole is left.
        start = os.lseek(fd, at, os.SEEK_DATA)
    if start >= size:
        return size, size
    return start, min(os.lseek(fd, start, os.SEEK_HOLE), start + 64 * _PIECE_BYTES, size)
