"""A tree as a tar stream: directories, files with their holes, symbolic and hard links, modes and times.

Each name is opened below the descriptor of its directory, and no link is followed but the path that was asked for: a
tree that changes meanwhile cannot lead out of itself. What cannot be packed is told at the end, and the rest is packed.
"""

import errno
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Protocol

from api.copying import wire
from api.copying.problems import Problems

_BUFFER_BYTES = 1 << 17
_DEEPEST = 200
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # Non-blocking: a FIFO is not waited for.
_ODD = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Sink(Protocol):
    """What a stream is written to."""

    def write(self, content: bytes, /) -> object:
        """Take all of it."""
        ...


class NothingThere(Exception):
    """The path that was asked for cannot be packed at all."""


def pack(path: str, sink: Sink) -> list[str]:
    """Write what is at `path` as a stream; return what of it could not be packed.

    Raises:
        NothingThere: there is nothing, or it is no file or directory: then nothing was written.
        OSError: `sink` takes no more.
    """
    try:
        fd = os.open(path, _READ)
    except OSError as error:
        raise NothingThere(f"cannot copy {path}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise NothingThere(f"cannot copy {path}: it is {_ODD.get(stat.S_IFMT(status.st_mode), 'no file')}")
        with tarfile.open(mode="w|", fileobj=_Whole(sink), format=tarfile.PAX_FORMAT, bufsize=_BUFFER_BYTES) as tar:
            packer = _Packer(tar)
            packer.add_root(fd, status, os.path.basename(os.path.abspath(path)))
            packer.add_end()
    finally:
        os.close(fd)
    return packer.problems.all()


class _Whole(io.RawIOBase):
    """A sink as tarfile wants it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, content: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        self._sink.write(bytes(content))
        return len(content)


class _Packer:
    """Adds members; `problems` are what could not be added."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._seen: dict[tuple[int, int], str] = {}
        self.problems = Problems()

    def add_root(self, fd: int, status: os.stat_result, base_name: str) -> None:
        info = _info(wire.NAME, status)
        info.pax_headers = {**info.pax_headers, wire.BASE_NAME: base_name}
        if stat.S_ISDIR(status.st_mode):
            self._tar.addfile(info)
            self._add_below(fd)
        else:
            self._add_content(info, fd, status)

    def add_end(self) -> None:
        info = tarfile.TarInfo(wire.END)
        info.pax_headers = {wire.END: wire.end_of(self.problems.all())}
        self._tar.addfile(info)

    def _add_below(self, root_fd: int) -> None:
        """Add all that is below a directory, one after another; as deep as descriptors allow."""
        open_now: list[tuple[int, str, Iterator[str]]] = [(root_fd, wire.NAME, iter(self._names(root_fd, wire.NAME)))]
        try:
            while open_now:
                fd, above, names = open_now[-1]
                name = next(names, None)
                if name is None:
                    open_now.pop()
                    if fd != root_fd:
                        os.close(fd)
                    continue
                path = f"{above}/{name}"
                try:
                    below = self._add(fd, name, path, is_deep=len(open_now) >= _DEEPEST)
                except OSError as error:
                    self.problems.note(path, error)
                    continue
                if below is not None:
                    open_now.append((below, path, iter(self._names(below, path))))
        finally:
            for fd, _, _ in open_now:
                if fd != root_fd:
                    os.close(fd)

    def _names(self, fd: int, path: str) -> list[str]:
        try:
            return sorted(os.listdir(fd))
        except OSError as error:
            self.problems.note(path, error)
            return []

    def _add(self, directory_fd: int, name: str, path: str, *, is_deep: bool) -> int | None:
        """Add one entry; return the descriptor of a directory, whose entries are to be added next."""
        status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            info = _info(path, status)
            info.linkname = os.readlink(name, dir_fd=directory_fd)
            self._tar.addfile(info)
            return None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            self.problems.note(path, f"it is {_ODD.get(stat.S_IFMT(status.st_mode), 'no file')}")
            return None
        if stat.S_ISDIR(status.st_mode) and is_deep:
            self.problems.note(path, f"it is more than {_DEEPEST} directories deep")
            return None
        fd = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory_fd)
        status = os.fstat(fd)  # Of what is held: what has the name may be another by now.
        if stat.S_ISDIR(status.st_mode):
            self._tar.addfile(_info(path, status))
            return fd
        try:
            self._add_file(fd, status, path)
        finally:
            os.close(fd)
        return None

    def _add_file(self, fd: int, status: os.stat_result, path: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.problems.note(path, "it was replaced while it was copied")
            return
        info, identity = _info(path, status), (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and identity in self._seen:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, self._seen[identity], 0
            self._tar.addfile(info)
            return
        if status.st_nlink > 1:
            self._seen[identity] = path
        self._add_content(info, fd, status)

    def _add_content(self, info: tarfile.TarInfo, fd: int, status: os.stat_result) -> None:
        is_sparse = status.st_blocks * 512 < status.st_size
        pieces = _pieces_of(fd, status.st_size) if is_sparse else [(0, status.st_size)]
        content = _Content(fd, pieces)
        if is_sparse:
            content.head = _make_sparse(info, status.st_size, pieces)
            info.size = len(content.head) + sum(size for _, size in pieces)
        self._tar.addfile(info, content)  # type: ignore[arg-type]  # It reads, and no more.
        if content.is_short:
            self.problems.note(
                info.pax_headers.get("GNU.sparse.name", info.name), "it became shorter while it was copied"
            )


class _Content:
    """The pieces of a file, one after another: exactly as many bytes as it had when it was opened."""

    def __init__(self, fd: int, pieces: list[tuple[int, int]]) -> None:
        self._fd = fd
        self._pieces = pieces
        self._piece = 0
        self._at = 0
        self.head = b""
        self.is_short = False

    def read(self, wanted: int) -> bytes:
        """Return as much as is wanted, as long as there is as much: tarfile takes less for the end."""
        parts = bytearray()
        while len(parts) < wanted and (part := self._next(wanted - len(parts))):
            parts += part
        return bytes(parts)

    def _next(self, most_bytes: int) -> bytes:
        if self.head:
            part, self.head = self.head[:most_bytes], self.head[most_bytes:]
            return part
        while self._piece < len(self._pieces) and self._at == self._pieces[self._piece][1]:
            self._piece, self._at = self._piece + 1, 0
        if self._piece == len(self._pieces):
            return b""
        offset, size = self._pieces[self._piece]
        wanted = min(most_bytes, size - self._at)
        part = os.pread(self._fd, wanted, offset + self._at)
        if not part:
            self.is_short = True
            part = bytes(wanted)
        self._at += len(part)
        return part


def _info(path: str, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode = stat.S_IMODE(status.st_mode)
    info.pax_headers = {wire.TIME: wire.time_of(status.st_mtime_ns)}
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
    else:
        info.size = status.st_size
    return info


def _pieces_of(fd: int, size: int) -> list[tuple[int, int]]:
    """Return where a file has content: (offset, length) of what lies between its holes."""
    pieces, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return [(0, size)]  # A file system that tells of no holes.
            break
        if start >= size:
            break
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        pieces.append((start, at - start))
    return pieces


def _make_sparse(info: tarfile.TarInfo, size: int, pieces: list[tuple[int, int]]) -> bytes:
    """Have a member be sparse, in GNU's format 1.0; return the map that its content begins with."""
    info.pax_headers = {
        **info.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": info.name,
        "GNU.sparse.realsize": str(size),
    }
    numbers = [len(pieces), *(number for piece in pieces for number in piece)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    return text + bytes(-len(text) % tarfile.BLOCKSIZE)
