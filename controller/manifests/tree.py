"""The manifest files below a directory, and which file is whole.

Here: walking, which names count, reading one file safely, and telling a file that is being written
from one that is done. Never here: watching, nor what is in a file.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from api.caps import MOST_TEXT_BYTES
from controller.manifests.documents import InvalidText
from controller.manifests.sources import FeedError, printable

SUFFIXES = (".yaml", ".yml", ".json")
_MOST_FILES = 20_000
_MOST_LEVELS = 32
_ANYBODY = "anybody may write to it"

Signature = tuple[int, int, int, int, int]
"""Device, inode, size, mtime and ctime: what changes when a file does."""


@dataclass(frozen=True, slots=True)
class Found:
    """One manifest file, by its path below the directory; an error instead of a signature if it has none."""

    path: str
    signature: Signature | None
    mtime: float
    error: str = ""


def is_manifest(name: str) -> bool:
    """Whether a file of this name counts: not hidden, not an editor's, with a suffix of ours."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "~", "#"))


def walk(root: str) -> list[Found]:
    """Return the manifest files below `root`, in order of their paths; hidden directories do not count.

    Symbolic links are followed, none in a circle. What cannot be read below is found with its error.

    Raises:
        FeedError: `root` itself cannot be read, or there are too many files.
    """
    found = []
    for one in _walk(root, "", frozenset()):
        found.append(one)
        if len(found) > _MOST_FILES:
            raise FeedError(f"cannot read {printable(root)}: more than {_MOST_FILES} manifests: remove some")
    return sorted(found, key=lambda one: one.path)


def _walk(root: str, below: str, above: frozenset[tuple[int, int]]) -> Iterator[Found]:
    directory = os.path.join(root, below)
    try:
        about = os.stat(directory)
        _check_private(directory, about.st_mode)
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        if not below:
            raise FeedError(_explained(directory, error)) from error
        if not _is_gone(directory, error):
            yield _unreadable(below, error)
        return
    identity = (about.st_dev, about.st_ino)
    if identity in above or len(above) >= _MOST_LEVELS:
        return
    for name in names:
        if not name.startswith((".", "~", "#")):
            yield from _look_at(root, os.path.join(below, name), above | {identity})


def _look_at(root: str, path: str, above: frozenset[tuple[int, int]]) -> Iterator[Found]:
    try:
        about = os.stat(os.path.join(root, path))
        if is_manifest(os.path.basename(path)):
            _check_private(os.path.join(root, path), about.st_mode)
    except OSError as error:
        # Also for a link to nowhere: what it led to, files or a directory of them, may be back in a moment.
        if not _is_gone(os.path.join(root, path), error):
            yield _unreadable(path, error)
        return
    if stat.S_ISDIR(about.st_mode):
        yield from _walk(root, path, above)
    elif is_manifest(os.path.basename(path)) and stat.S_ISREG(about.st_mode):
        signature = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        yield Found(path, signature, about.st_mtime)


def _check_private(path: str, mode: int) -> None:
    """Refuse what any user of the host could change: whoever writes a manifest has jobs run.

    A mounted ConfigMap is mode 0777 and mounted read-only, so that nobody may write to it.
    """
    if mode & stat.S_IWOTH and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise PermissionError(errno.EPERM, _ANYBODY)


def _unreadable(path: str, error: OSError) -> Found:
    fix = "take that away with chmod o-w" if error.strerror == _ANYBODY else "make it readable, or remove it"
    return Found(path, None, 0.0, f"{error.strerror}: {fix}")


def _is_gone(path: str, error: OSError) -> bool:
    """Whether it went while we looked; a link to nowhere is not gone."""
    return error.errno == errno.ENOENT and not os.path.lexists(path)


def _explained(directory: str, error: OSError) -> str:
    fix = "make it" if error.errno == errno.ENOENT else "make it readable"
    fix = "take that away with chmod o-w" if error.strerror == _ANYBODY else fix
    return f"cannot read manifests in {printable(directory)}: {error.strerror}: {fix}; nothing is pruned"


def read_file(path: str) -> tuple[bytes, Signature]:
    """Return what is in a file, and its signature after it was read.

    Raises:
        OSError: it cannot be read.
        InvalidText: it is too large to be read.
    """
    # Not blocking, for what was a file a moment ago may be a pipe by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > MOST_TEXT_BYTES:
            raise InvalidText(f"it has {size} bytes, the most is {MOST_TEXT_BYTES}: split it")
        content = file.read(MOST_TEXT_BYTES + 1)
        about = os.fstat(descriptor)
    return content, (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
