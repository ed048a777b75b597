"""Unpacks a .tar.gz while it arrives: counts and hashes it, and lets nothing out of the directory it is given.

Python's tarfile reads the format; every decision about what an entry may do is ours, because older
Python releases have no extraction filters. Refused: names that leave the tree or come twice, links out of it,
devices and pipes, more than the limits allow. Changed: owners become ours, modes 0755 or 0644, so
jobs of any uid can read and nothing is setuid.
Invariant: nothing is written through a link, nor outside of the directory. On an error what was
unpacked so far stays there, for the caller to remove with the directory.
"""

import errno
import gzip
import hashlib
import math
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from controller.engine.errors import TerminalError, TransientError
from controller.registry.fetch import Readable
from controller.runtime import links

_COPY_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 18
# What tarfile reads between two entries it keeps in memory: long names and pax headers, and one block ahead.
_MAX_HEADER_BYTES = 2 << 20
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold."""

    entries: int = 500_000
    expanded_bytes: int = 32 << 30
    path_bytes: int = 1024
    name_bytes: int = 255


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was written. `wrapper` is the one directory that everything lies in, if there is one."""

    entries: int
    expanded_bytes: int
    wrapper: str | None


class Metered:
    """A source that counts and hashes what is read of it, and tells of it about every `_BLOCK_BYTES`."""

    def __init__(self, source: Readable, progress: Callable[[int], None] | None = None) -> None:
        """Read from `source`; `progress` is called with the bytes read so far."""
        self._source = source
        self._progress = progress
        self._told = 0
        self._hash = hashlib.sha256()
        self.count = 0

    @property
    def sha256(self) -> str:
        """The checksum of what was read so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """Read on, and count."""
        piece = self._source.read(size)
        self._hash.update(piece)
        self.count += len(piece)
        if self._progress and (not piece or self.count - self._told >= _BLOCK_BYTES):
            self._told = self.count
            self._progress(self.count)
        return piece


def unpack(source: Readable, directory: int, limits: Limits | None = None) -> Unpacked:
    """Unpack the .tar.gz `source` into the empty directory open as `directory`.

    Checksum and size are the caller's to compare, *before* it uses anything of what was unpacked.

    Raises:
        TerminalError: InvalidArchive, an entry that may not be.
        TransientError: DamagedArchive, it is torn or not a .tar.gz: what a broken download looks like.
    """
    extraction = _Extraction(directory, limits or Limits())
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as plain:  # type: ignore[call-overload]  # It never seeks.
            extraction.run(plain)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise TransientError("DamagedArchive", f"cannot unpack the archive: it is no whole .tar.gz: {error}") from error
    return Unpacked(extraction.entries, extraction.expanded, extraction.wrapper())


def drain(stream: Readable) -> None:
    """Read `stream` to its end."""
    while stream.read(_BLOCK_BYTES):
        pass


class _Gauge:
    """The plain tar, cut off when an entry's headers or the whole grow beyond their limits."""

    def __init__(self, plain: Readable, max_bytes: int) -> None:
        self._plain = plain
        self._max_bytes = max_bytes
        self.count = 0
        self.header_start: int | None = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read on, within the limits."""
        piece = self._plain.read(size)
        self.count += len(piece)
        if self.count > self._max_bytes:
            raise _refused(f"it expands to more than {self._max_bytes} bytes")
        if self.header_start is not None and self.count - self.header_start > _MAX_HEADER_BYTES:
            raise _refused(f"the header of an entry has more than {_MAX_HEADER_BYTES} bytes")
        return piece


@dataclass
class _Extraction:
    """One archive on its way into one directory."""

    directory: int
    limits: Limits
    entries: int = 0
    expanded: int = 0
    _kinds: dict[str, str] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)

    def run(self, plain: Readable) -> None:
        # Headers and padding come on top of what is in the files: 2 blocks of 512 and room for long names.
        gauge = _Gauge(plain, self.limits.expanded_bytes + self.limits.entries * 4096)
        with tarfile.open(fileobj=gauge, mode="r|", bufsize=_BLOCK_BYTES) as tar:  # type: ignore[call-overload]
            while True:
                gauge.header_start = gauge.count
                member = tar.next()
                gauge.header_start = None
                if member is None:
                    break
                self._take(tar, member)
                # tarfile remembers every entry; a stream has no use for that.
                tar.members.clear()
            _expect_zeros(tar.fileobj)
        if not self.entries:
            raise _refused("it is empty")
        self._check_links()

    def wrapper(self) -> str | None:
        """Return the one top-level entry if it is a directory, the tree lying in it."""
        top = {path.partition("/")[0] for path in self._kinds}
        only = next(iter(top)) if len(top) == 1 else ""
        return only if self._kinds.get(only) == "directory" else None

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            raise _refused(f"it has more than {self.limits.entries} entries")
        path = self._path(member)
        if not path:
            if not member.isdir():
                raise _refused(f'"{_shown(member.name)}" is no name')
            return
        parent, _, name = path.rpartition("/")
        self._register(path, member)
        descriptor = self._open_directory(parent)
        try:
            if member.isdir():
                self._make_directory(descriptor, name)
            elif member.issym():
                self._make_symlink(descriptor, name, path, member)
            elif member.islnk():
                self._make_hardlink(descriptor, name, path, member)
            else:
                self._write_file(descriptor, name, tar, member)
        except OSError as error:
            raise _cannot_write(path, error) from error
        finally:
            os.close(descriptor)

    def _path(self, member: tarfile.TarInfo) -> str:
        """Return the path of an entry in the tree, "" for the tree itself."""
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        shown = _shown(member.name)
        if member.name.startswith("/"):
            raise _refused(f'the name "{shown}" is absolute')
        if ".." in parts:
            raise _refused(f'the name "{shown}" leads out of the tree')
        path = "/".join(parts)
        encoded = os.fsencode(path)
        if len(encoded) > self.limits.path_bytes or any(len(os.fsencode(p)) > self.limits.name_bytes for p in parts):
            raise _refused(f'the name "{shown}" is too long')
        if b"\0" in encoded:
            raise _refused(f'the name "{shown}" has a NUL in it')
        return path

    def _register(self, path: str, member: tarfile.TarInfo) -> None:
        kind = _kind(member)
        if kind is None:
            raise _refused(f"{_shown(path)} is {_describe(member)}: only files, directories and links may be in it")
        twin = self._kinds.get(path)
        if twin is not None and not (twin == kind == "directory"):
            raise _refused(f"{_shown(path)} is in it twice")
        self._kinds[path] = kind

    def _open_directory(self, path: str) -> int:
        """Open a directory of the tree step by step, making what is missing, following no link."""
        at = os.dup(self.directory)
        walked = ""
        for part in path.split("/") if path else ():
            walked = f"{walked}/{part}" if walked else part
            try:
                if walked not in self._kinds:
                    self._make_directory(at, part)
                    self._kinds[walked] = "directory"
                below = os.open(part, _DIRECTORY_FLAGS, dir_fd=at)
            except OSError as error:
                if self._kinds.get(walked) in ("symlink", "file", "hardlink"):
                    raise _refused(f"{_shown(path)} goes through {_shown(walked)}, which is no directory") from error
                raise _cannot_write(walked, error) from error
            finally:
                os.close(at)
            at = below
        return at

    def _make_directory(self, parent: int, name: str) -> None:
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            return  # Listed twice, or made for an entry in it: `_register` saw that it is a directory.
        os.chmod(name, 0o755, dir_fd=parent)  # Whatever the umask is.

    def _make_symlink(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        if not member.linkname or "\0" in member.linkname or len(os.fsencode(member.linkname)) > self.limits.path_bytes:
            raise _refused(f"{_shown(path)} links to a name that is empty or too long")
        os.symlink(member.linkname, name, dir_fd=parent)
        self._links[path] = member.linkname

    def _make_hardlink(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        target = "/".join(part for part in member.linkname.split("/") if part not in ("", "."))
        if self._kinds.get(target) not in ("file", "hardlink") or target == path:
            raise _refused(f"{_shown(path)} is a link to {_shown(member.linkname)}, which is no file before it")
        directory, _, file = target.rpartition("/")
        source = self._open_directory(directory)
        try:
            os.link(file, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _write_file(self, parent: int, name: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        content = tar.extractfile(member)
        descriptor = os.open(name, _FILE_FLAGS, 0o600, dir_fd=parent)
        with open(descriptor, "wb", buffering=0) as file:
            if content is not None:
                self._copy(content, file)
            os.fchmod(descriptor, 0o755 if member.mode & 0o111 else 0o644)
            os.utime(descriptor, (_seconds(member.mtime),) * 2)

    def _copy(self, content: IO[bytes], file: IO[bytes]) -> None:
        while piece := content.read(_COPY_BYTES):
            self.expanded += len(piece)
            if self.expanded > self.limits.expanded_bytes:
                raise _refused(f"it expands to more than {self.limits.expanded_bytes} bytes")
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]

    def _check_links(self) -> None:
        """Refuse links out of the tree, the wrapper around it not counted to it."""
        wrapper = self.wrapper()
        cut = len(wrapper) + 1 if wrapper and wrapper != links.ISOLATED else 0
        escape = links.first_escape({path[cut:]: target for path, target in self._links.items()})
        if escape:
            raise _refused(f"the link {_shown(escape)}")


def _expect_zeros(rest: Readable | None) -> None:
    """Read to the end of the tar, which is padding: tarfile also stops, silently, at a header it cannot read."""
    while rest is not None and (piece := rest.read(_BLOCK_BYTES)):
        if piece.count(0) != len(piece):
            raise tarfile.ReadError("something that is no entry lies between its entries")


def _seconds(mtime: float) -> int:
    return min(max(int(mtime), 0), 1 << 40) if math.isfinite(mtime) else 0


def _kind(member: tarfile.TarInfo) -> str | None:
    if member.issparse():
        return None
    named = {
        tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink",
        tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file",
    }  # fmt: skip
    return named.get(member.type)


def _describe(member: tarfile.TarInfo) -> str:
    named = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}
    return "a sparse file" if member.issparse() else named.get(member.type, "of an unknown type")


def _refused(why: str) -> TerminalError:
    return TerminalError("InvalidArchive", f"cannot unpack the archive: {why}")


def _cannot_write(path: str, error: OSError) -> TransientError:
    reason = "InsufficientSpace" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "CannotWrite"
    return TransientError(reason, f"cannot write {_shown(path)} of the archive: {error.strerror}")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
