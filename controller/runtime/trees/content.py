"""The one pass over a tree on its way in: made uniform, listed, digested, and its files shared with other trees.

Uniform: owned by us, directories and executable files 0755, other files 0644, no devices, pipes or sockets. So equal
files are equal in all that a job can see, and one inode can stand for them.

Times. A file that several trees share can have one time only, and it must not depend on which of them came first.
So every file gets the same time, but where something in the tree compares it with what it has noted:
  - a Python source whose .pyc says "made from the source of time T": it keeps that T, or else Python would compile
    it again at each start, in a tree where it cannot keep the result;
  - a .jar: Java's class data archives note the times of the class path's.
Two files that differ in such a time are two files.

Never here: moving the tree to its place (`install.py`).
Invariant: `share` is called when the tree is on the disk; until then its files have no name in the store.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from controller.engine.errors import TerminalError
from controller.runtime.archives.seen import Digests
from controller.runtime.trees import digest
from controller.runtime.trees.digest import Line
from controller.runtime.trees.store import NORMAL_TIME, Content, Store

_PYC_HEADER = 16


@dataclass(frozen=True, slots=True)
class Taken:
    """A tree that is uniform now: its digest, and what it takes on the disk."""

    digest: str
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Intake:
    """One tree on its way in. `known` are digests of its files that need not be computed again."""

    payload: Path
    store: Store
    known: Digests = field(default_factory=dict[str, bytes])

    def take(self, listing: Path) -> Taken:
        """Make the tree uniform, use what the store has of it, and write its list to the new file `listing`.

        Raises:
            TerminalError: InvalidRuntime, it holds what may not be in a tree.
            OSError: it cannot be read or changed.
        """
        whole, blocks = hashlib.sha256(), 0
        with listing.open("wb") as file:
            for line, taken in self._lines():
                text = digest.render(line)
                whole.update(text)
                file.write(text)
                blocks += taken
        return Taken(whole.hexdigest(), blocks * 512)

    def share(self, listing: Path) -> None:
        """Give the files that the store had not their name in it."""
        root = os.fsencode(self.payload) + b"/"
        with listing.open("rb") as file:
            for line in map(digest.parse, file):
                if line.kind not in ("f", "x"):
                    continue
                full = root + line.path
                status = os.lstat(full)
                if status.st_size and status.st_nlink == 1:  # Of more names one is in the store.
                    content = Content(line.content, line.kind == "x", status.st_size, int(status.st_mtime))
                    self.store.offer(full, content)

    def _lines(self) -> Iterator[tuple[Line, int]]:
        """Yield the lines of the list, each with the blocks of 512 bytes that its entry takes.

        Equal files have one inode when they are shared: all but the first take nothing.
        """
        root = os.fsencode(self.payload)
        counted = set[int]()  # Hashes, not digests: a tree may have many files, and this is only about its size.
        _uniform_directory(root, os.lstat(root))
        compiled = dict(_compiled(b"", root))
        for path, entry in digest.walk(root):
            status = entry.stat(follow_symlinks=False)
            blocks = status.st_blocks
            if S_ISREG(status.st_mode):
                time = _time_of(path, status, compiled)
                line = self._file(path, entry.path, status, time)
                content = hash((line.kind, line.content, time))
                blocks = 0 if content in counted else blocks
                counted.add(content)
            elif S_ISDIR(status.st_mode):
                _uniform_directory(entry.path, status)
                compiled.update(_compiled(path + b"/", entry.path))
                line = Line("d", path)
            elif S_ISLNK(status.st_mode):
                _own(entry.path, status)
                line = Line("l", path, digest.link_target(os.readlink(entry.path)))
            else:
                shown = path.decode(errors="replace")
                raise TerminalError("InvalidRuntime", f"cannot use the tree: {shown} is no file, directory or link")
            yield line, blocks

    def _file(self, path: bytes, full: bytes, status: os.stat_result, time: int) -> Line:
        known = self.known.get(os.fsdecode(path))
        sha256 = known.hex() if known is not None else digest.hash_file(full)
        executable = bool(status.st_mode & 0o111)
        content = Content(sha256, executable, status.st_size, time)
        # Empty files have nothing to share, and more of them are in trees than a file may have names.
        if not status.st_size or not self.store.reuse(full, status, content):
            self._make_uniform(full, status, content)
        return Line("x" if executable else "f", path, sha256)

    def _make_uniform(self, full: bytes, status: os.stat_result, content: Content) -> None:
        wanted = (content.mode, content.time * 10**9, os.geteuid())
        if (S_IMODE(status.st_mode), status.st_mtime_ns, status.st_uid) == wanted:
            return
        if status.st_nlink > 1:  # Another tree's too: that one is left alone.
            self.store.separate(full)
            status = os.lstat(full)
        _own(full, status)
        if S_IMODE(status.st_mode) != content.mode or status.st_uid != os.geteuid():  # A new owner takes bits away.
            os.chmod(full, content.mode)
        os.utime(full, (content.time, content.time))


def _time_of(path: bytes, status: os.stat_result, compiled: dict[bytes, int]) -> int:
    time = int(status.st_mtime)
    if path.endswith(b".jar") or (path.endswith(b".py") and compiled.get(path) == time & 0xFFFFFFFF):
        return time
    return NORMAL_TIME


def _compiled(prefix: bytes, directory: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the sources in `directory`, with `prefix`, whose .pyc want them to have a time, and that time.

    Source: Python's importlib, _validate_timestamp_pyc: magic, flags (0), time and size, of four bytes each.
    """
    try:
        entries = os.scandir(os.path.join(directory, b"__pycache__"))
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            module, dot, _ = entry.name.partition(b".")
            if dot and entry.name.endswith(b".pyc") and entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb", buffering=0) as file:
                    header = file.read(_PYC_HEADER)
                if header[4:8] == b"\0\0\0\0":
                    yield prefix + module + b".py", int.from_bytes(header[8:12], "little")


def _uniform_directory(full: bytes, status: os.stat_result) -> None:
    _own(full, status)
    if S_IMODE(status.st_mode) != 0o755:
        os.chmod(full, 0o755)


def _own(full: bytes, status: os.stat_result) -> None:
    user = os.geteuid()
    if status.st_uid != user or (user == 0 and status.st_gid != 0):
        os.chown(full, user, 0 if user == 0 else -1, follow_symlinks=False)
