"""Puts the entries of an archive into a directory, one after the other, and lets none of them out of it.

Every decision about what an entry may do is made here, whatever format it came in. Refused: names that leave
the tree, come twice, or differ from another in case or Unicode form only; links out of it; more than the limits allow.
Changed: owners become ours, modes 0755 or 0644, so jobs of any uid can read and nothing is setuid.
Invariant: nothing is written through a link, nor outside of the directory. On an error what was
unpacked so far stays there, for the caller to remove with the directory.
"""

import errno
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from api.packages import links
from controller.engine.errors import TerminalError, TransientError
from controller.registry.fetch import Readable
from controller.runtime.archives.seen import Kind, Seen

_COPY_BYTES = 1 << 18
_LINK_BYTES = 128  # What it takes to remember one, beside its name and target.
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold. `paths_bytes` is of all names together, `links_bytes` of what is kept of links.

    Beyond `free_bytes` it may expand to `ratio` times its own size and no more: what does is made to fill disks.
    """

    entries: int = 500_000
    expanded_bytes: int = 32 << 30
    path_bytes: int = 1024
    name_bytes: int = 255
    paths_bytes: int = 64 << 20
    links_bytes: int = 32 << 20
    ratio: int = 200
    free_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of an archive. `kind` None is one that may not be there, which `what` describes."""

    name: str
    kind: Kind | None
    what: str = ""
    target: str = ""
    is_executable: bool = False
    mtime: float = 0.0
    content: Readable | None = None


class Growth:
    """Counts what an archive expands to, against its limits and its own size."""

    def __init__(self, limits: Limits, packed_bytes: Callable[[], int], overhead_bytes: int = 0) -> None:
        """`packed_bytes` says how much of the archive was read; `overhead_bytes` come on top of the files' content."""
        self._limits = limits
        self._packed_bytes = packed_bytes
        self._max_bytes = limits.expanded_bytes + overhead_bytes
        self.count = 0

    def grow(self, count: int) -> None:
        """Count, and refuse what is too much."""
        self.count += count
        if self.count > self._max_bytes:
            raise refused(f"it expands to more than {self._limits.expanded_bytes} bytes")
        if self.count > self._limits.free_bytes and self.count > self._limits.ratio * self._packed_bytes():
            raise refused(f"it expands to more than {self._limits.ratio} times its own size")


@dataclass
class Extraction:
    """One archive on its way into one directory. `seen` is what is in it so far."""

    directory: int
    limits: Limits
    growth: Growth
    entries: int = 0
    seen: Seen = field(default_factory=Seen)
    _links: dict[str, str] = field(default_factory=dict)
    _paths_bytes: int = 0
    _links_bytes: int = 0
    _open: tuple[str, int] | None = None

    def take(self, item: Item) -> None:
        """Unpack one entry, its content being read as far as it goes."""
        self.entries += 1
        if self.entries > self.limits.entries:
            raise refused(f"it has more than {self.limits.entries} entries")
        path = self._path(item.name)
        if not path:
            if item.kind is not Kind.DIRECTORY:
                raise refused(f'"{shown(item.name)}" is no name')
            return
        if item.kind is None:
            raise refused(f"{shown(path)} is {item.what}: only files, directories and links may be in it")
        self._register(path, item.kind)
        parent, _, name = path.rpartition("/")
        descriptor = self._directory(parent)
        try:
            self._place(descriptor, name, path, item)
        except OSError as error:
            raise cannot_write(path, error) from error

    def finish(self) -> None:
        """Judge what can be judged only of the whole: that there is something, and that no link leads out."""
        if not self.entries:
            raise refused("it is empty")
        wrapper = self.wrapper()
        cut = len(wrapper) + 1 if wrapper and wrapper != links.ISOLATED else 0
        escape = links.first_escape({path[cut:]: target for path, target in self._links.items()})
        if escape:
            raise refused(f"the link {shown(escape)}")

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def wrapper(self) -> str | None:
        """Return the one top-level entry if it is a directory, the tree lying in it."""
        return self.seen.only_top()

    def _path(self, name: str) -> str:
        """Return the path of an entry in the tree, "" for the tree itself."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/"):
            raise refused(f'the name "{shown(name)}" is absolute')
        if ".." in parts:
            raise refused(f'the name "{shown(name)}" leads out of the tree')
        if "\0" in name:
            raise refused(f'the name "{shown(name)}" has a NUL in it')
        path = "/".join(parts)
        encoded = os.fsencode(path)
        self._paths_bytes += len(encoded)
        if self._paths_bytes > self.limits.paths_bytes:
            raise refused(f"the names in it have more than {self.limits.paths_bytes} bytes together")
        if len(encoded) > self.limits.path_bytes or max(map(len, encoded.split(b"/"))) > self.limits.name_bytes:
            raise refused(f'the name "{shown(name)}" is too long')
        return path

    def _register(self, path: str, kind: Kind) -> None:
        """Take it up; refuse what another entry would overwrite, also where case or Unicode forms do not count."""
        twin = self.seen.kind(path)
        if twin is not None:
            if not (twin is kind is Kind.DIRECTORY):
                raise refused(f"{shown(path)} is in it twice")
            return
        alike = self.seen.kind_alike(path)
        if alike is not None and not (kind is alike is Kind.DIRECTORY):
            raise refused(f"{shown(path)} and another name in it differ in case or Unicode form only")
        if len(self.seen) >= self.limits.entries:  # With the directories that nobody has listed.
            raise refused(f"it has more than {self.limits.entries} entries")
        self.seen.add(path, kind)

    def _directory(self, path: str) -> int:
        """Return the directory of the tree open; ours to close, and the last one stays open as its files follow."""
        if self._open is None or self._open[0] != path:
            opened = self._open_directory(path)
            self.close()
            self._open = (path, opened)
        return self._open[1]

    def _open_directory(self, path: str) -> int:
        """Open a directory of the tree step by step, making what is missing, following no link."""
        at = os.dup(self.directory)
        walked = ""
        for part in path.split("/") if path else ():
            walked = f"{walked}/{part}" if walked else part
            try:
                if self.seen.kind(walked) is None:
                    self._register(walked, Kind.DIRECTORY)
                    _make_directory(at, part)
                below = os.open(part, _DIRECTORY_FLAGS, dir_fd=at)
            except OSError as error:
                if self.seen.kind(walked) is not Kind.DIRECTORY:
                    raise refused(f"{shown(path)} goes through {shown(walked)}, which is no directory") from error
                raise cannot_write(walked, error) from error
            finally:
                os.close(at)
            at = below
        return at

    def _place(self, parent: int, name: str, path: str, item: Item) -> None:
        if item.kind is Kind.DIRECTORY:
            _make_directory(parent, name)
        elif item.kind is Kind.SYMLINK:
            self._make_symlink(parent, name, path, item.target)
        elif item.kind is Kind.HARDLINK:
            self._make_hardlink(parent, name, path, item.target)
        else:
            self._write_file(parent, name, path, item)

    def _make_symlink(self, parent: int, name: str, path: str, target: str) -> None:
        if not target or "\0" in target or len(os.fsencode(target)) > self.limits.path_bytes:
            raise refused(f"{shown(path)} links to a name that is empty or too long")
        self._links_bytes += len(os.fsencode(path + target)) + _LINK_BYTES
        if self._links_bytes > self.limits.links_bytes:
            raise refused("it has too many links")
        os.symlink(target, name, dir_fd=parent)
        self._links[path] = target

    def _make_hardlink(self, parent: int, name: str, path: str, said: str) -> None:
        target = "/".join(part for part in said.split("/") if part not in ("", "."))
        content = self.seen.get(target)
        if content is None or target == path:
            raise refused(f"{shown(path)} is a link to {shown(said)}, which is no file before it")
        directory, _, file = target.rpartition("/")
        source = self._open_directory(directory)
        try:
            os.link(file, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
        self.seen.set_content(path, content)

    def _write_file(self, parent: int, name: str, path: str, item: Item) -> None:
        descriptor = os.open(name, _FILE_FLAGS, 0o600, dir_fd=parent)
        try:
            self.seen.set_content(path, self._copy(item.content, descriptor))
            os.fchmod(descriptor, 0o755 if item.is_executable else 0o644)
            os.utime(descriptor, (_seconds(item.mtime),) * 2)
        finally:
            os.close(descriptor)

    def _copy(self, content: Readable | None, descriptor: int) -> bytes:
        """Write all of `content`; return its sha256, for which nobody has to read it again."""
        written = hashlib.sha256()
        while content is not None and (piece := content.read(_COPY_BYTES)):
            self.growth.grow(len(piece))
            written.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        return written.digest()


def _make_directory(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return  # Listed twice, or made for an entry in it: `_register` saw that it is a directory.
    os.chmod(name, 0o755, dir_fd=parent)  # Whatever the umask is.


def _seconds(mtime: float) -> int:
    return min(max(int(mtime), 0), 1 << 40) if math.isfinite(mtime) else 0


def refused(why: str) -> TerminalError:
    """Return the error for an archive that may not be unpacked."""
    return TerminalError("InvalidArchive", f"cannot unpack the archive: {why}")


def cannot_write(what: str, error: OSError) -> TransientError:
    """Return the error for a disk that takes no more of the archive."""
    reason = "InsufficientSpace" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "CannotWrite"
    return TransientError(reason, f"cannot write {shown(what)} of the archive: {error.strerror}")


def shown(text: str) -> str:
    """Return what of a name is safe and short enough for a message."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
