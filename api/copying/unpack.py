"""A tar stream to a tree, below one directory and never outside of it, whatever is in the stream or lies there.

Every part of a name is opened or made below the descriptor of the directory before it, and no symbolic link is ever
followed: neither one of the stream, nor one that was there. What was there under the name of a file is replaced, and
not written through. No owner is taken over, and no setuid or setgid bit.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from api.copying import wire
from api.copying.problems import Problems

_BLOCK = 1 << 16
_PERMISSIONS = 0o1777
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(_BLOCK)
_MOST_PROBLEMS = 1000


class Source(Protocol):
    """What a stream is read from."""

    def read(self, most_bytes: int, /) -> bytes:
        """Return some of it, as much as there is; empty at its end."""
        ...


class BadStream(Exception):
    """The stream was cut short, or is none of ours."""


def unpack(source: Source, target: str, *, umask: int = 0) -> list[str]:
    """Unpack a stream at `target`, or in it if it is a directory; return what could not be packed or unpacked.

    Args:
        umask: permissions that nothing gets, whatever the stream says.

    Raises:
        BadStream: it was cut short, or says what none of ours does: what came until then is unpacked.
        OSError: there is no place for it.
    """
    try:
        with tarfile.open(mode="r|", fileobj=source, bufsize=_BLOCK, errors="surrogateescape") as tar:  # type: ignore[call-overload]
            return _unpack(tar, target, umask)
    except tarfile.TarError as error:
        raise BadStream(f"cannot unpack: the stream was cut short or is no tar of files: {error}") from error
    except (ValueError, OverflowError, RecursionError) as error:  # Numbers, names and an end that nobody packs.
        raise BadStream(f"cannot unpack all: the stream is none of ours: {error}") from error


def _unpack(tar: tarfile.TarFile, target: str, umask: int) -> list[str]:
    members = iter(tar)
    first = next(members, None)
    if first is None or wire.parts_of(first.name) != ():
        raise BadStream("cannot unpack: the stream is empty, or does not begin with what was asked for")
    problems = Problems()
    with _place(target, first.pax_headers.get(wire.BASE_NAME, "")) as (base_fd, leaf):
        tree = _Tree(tar, base_fd, leaf, _PERMISSIONS & ~umask)
        try:
            _add_first(tree, first, target)
            end = _add_all(tree, members, problems)
        finally:
            tree.close()
    if end is None:
        raise BadStream("cannot unpack all: the stream was cut short")
    return wire.problems_of(end) + problems.all()


def _add_first(tree: "_Tree", first: tarfile.TarInfo, target: str) -> None:
    try:
        tree.add(first)
    except OSError as error:
        raise OSError(f"cannot copy to {target}: {error.strerror or error}") from error


def _add_all(tree: "_Tree", members: Iterator[tarfile.TarInfo], problems: Problems) -> str | None:
    """Add the other members; return what the stream says at its end, None if it does not end."""
    for member in members:
        if member.name == wire.END:
            return member.pax_headers.get(wire.END)
        try:
            tree.add(member)
        except OSError as error:
            if len(problems) < _MOST_PROBLEMS:
                problems.note(member.name, error)
    return None


@contextmanager
def _place(target: str, base_name: str) -> Iterator[tuple[int, str]]:
    """Give the directory that the tree goes into, and its name there, empty if it becomes that directory itself."""
    if os.path.isdir(target):
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        leaf = base_name if _is_plain(base_name) else ""
    else:
        above, leaf = os.path.split(target.rstrip("/"))
        if target.endswith("/") or not _is_plain(leaf):
            raise NotADirectoryError(f"cannot copy to {target}: there is no such directory")
        try:
            fd = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotADirectoryError(f"cannot copy to {target}: {above}: {error.strerror}") from error
    try:
        yield fd, leaf
    finally:
        os.close(fd)


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


class _Tree:
    """A tree that is being made. Of the directory that was added to last, the whole way is open."""

    def __init__(self, tar: tarfile.TarFile, base_fd: int, leaf: str, permissions: int) -> None:
        self._tar = tar
        self._permissions = permissions
        self._base_fd = base_fd
        self._head = (leaf,) if leaf else ()
        self._open: list[tuple[str, int, tarfile.TarInfo | None]] = []

    def add(self, member: tarfile.TarInfo) -> None:
        """Add a member.

        Raises:
            OSError: it cannot be.
        """
        place = self._parts(member.name)
        if member.isdir():
            self._enter(place, member)
        elif not place:
            raise IsADirectoryError(f"cannot copy to a directory what has no name: {member.name}")
        else:
            self._add_leaf(member, self._enter(place[:-1]), place[-1])

    def close(self) -> None:
        """Finish what is open."""
        self._leave(0)

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = wire.parts_of(name)
        if parts is None:
            raise PermissionError(f"its name is not allowed: {name!r:.200}")
        return (*self._head, *parts)

    def _add_leaf(self, member: tarfile.TarInfo, directory_fd: int, name: str) -> None:
        if member.issym():
            _clear(name, directory_fd)
            os.symlink(member.linkname, name, dir_fd=directory_fd)
            _set_time(member, name, directory_fd)
        elif member.islnk():
            self._add_hard_link(member, directory_fd, name)
        elif member.isreg():
            self._add_file(member, directory_fd, name)
        else:
            raise PermissionError("it is no file, directory or link")

    def _add_hard_link(self, member: tarfile.TarInfo, directory_fd: int, name: str) -> None:
        *above, linked = self._parts(member.linkname) or ("",)
        if not linked:
            raise PermissionError(f"it is a link to a directory: {member.linkname!r:.200}")
        held = os.dup(directory_fd)  # Finding the other may close the way to this one.
        try:
            source_fd = self._enter(tuple(above))
            _clear(name, held)
            os.link(linked, name, src_dir_fd=source_fd, dst_dir_fd=held, follow_symlinks=False)
        finally:
            os.close(held)

    def _add_file(self, member: tarfile.TarInfo, directory_fd: int, name: str) -> None:
        _clear(name, directory_fd)
        fd = os.open(name, _NEW, 0o600, dir_fd=directory_fd)
        try:
            self._write(member, fd)
            os.ftruncate(fd, member.size)
            os.fchmod(fd, member.mode & self._permissions)
            os.utime(fd, ns=_times(member))
        finally:
            os.close(fd)

    def _write(self, member: tarfile.TarInfo, fd: int) -> None:
        """Write a file's content. What lies between its holes comes one after another, from where its data begins."""
        stream: Any = self._tar.fileobj
        stream.seek(member.offset_data)
        pieces: list[tuple[int, int]] | None = getattr(member, "sparse", None)
        for offset, size in [(0, member.size)] if pieces is None else pieces:  # A file may be one hole: it has none.
            at, end = offset, offset + size
            while at < end:
                block = stream.read(min(_BLOCK, end - at))
                if not block:
                    raise BadStream("cannot unpack all: the stream was cut short")
                if block != _ZEROS[: len(block)]:  # Else it stays a hole.
                    _write_at(fd, block, at)
                at += len(block)

    def _enter(self, parts: tuple[str, ...], member: tarfile.TarInfo | None = None) -> int:
        """Open the directory `parts`, which is made if need be, and keep the way to it open."""
        common = 0
        while common < min(len(parts), len(self._open)) and self._open[common][0] == parts[common]:
            common += 1
        self._leave(common)
        for part in parts[common:]:
            fd = _open_directory(part, self._last_fd())
            self._open.append((part, fd, None))
        if member is not None and parts:
            part, fd, _ = self._open[-1]
            self._open[-1] = (part, fd, member)
        return self._last_fd()

    def _last_fd(self) -> int:
        return self._open[-1][1] if self._open else self._base_fd

    def _leave(self, depth: int) -> None:
        """Close what is open below `depth`; only now a directory may become read-only, and has its time."""
        while len(self._open) > depth:
            _, fd, member = self._open.pop()
            try:
                if member is not None:
                    os.fchmod(fd, member.mode & self._permissions)
                    os.utime(fd, ns=_times(member))
            finally:
                os.close(fd)


def _open_directory(name: str, directory_fd: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=directory_fd)
    return os.open(name, _DIRECTORY, dir_fd=directory_fd)


def _clear(name: str, directory_fd: int) -> None:
    """Make room: what has the name goes, unless it is a directory."""
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode):
            raise IsADirectoryError("a directory is in its place")
        os.unlink(name, dir_fd=directory_fd)
    except FileNotFoundError:
        return


def _write_at(fd: int, block: bytes, at: int) -> None:
    left = memoryview(block)
    while left:
        written = os.pwrite(fd, left, at)
        left, at = left[written:], at + written


def _times(member: tarfile.TarInfo) -> tuple[int, int]:
    moment = wire.nanoseconds_of(member.pax_headers.get(wire.TIME, ""))
    return moment, moment


def _set_time(member: tarfile.TarInfo, name: str, directory_fd: int) -> None:
    os.utime(name, ns=_times(member), dir_fd=directory_fd, follow_symlinks=False)
