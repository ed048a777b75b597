"""What we ourselves do below a tree that a build writes: each path walked by the kernel, from a descriptor of the tree.

A build's commands can make a link of any directory, and what is joined as a string leads through it into the host.
Never here: walks that open no path but that of a directory they have just seen (`carry`).
Invariant: no symbolic link is followed, whatever it leads to; a directory that is one fails the build.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.engine.errors import TerminalError
from controller.linux import openat2
from controller.linux.bounded import MOST_BYTES, read_descriptor
from controller.linux.libc import SyscallError
from controller.linux.openat2 import Resolve
from controller.runtime.build.commands import BUILD_FAILED

_BENEATH = Resolve.BENEATH | Resolve.NO_SYMLINKS | Resolve.NO_MAGICLINKS | Resolve.NO_XDEV
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_LED_AWAY = (errno.ELOOP, errno.EXDEV)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


@contextmanager
def directory(tree: Path, path: str) -> Iterator[int]:
    """Open the directory `path` of `tree`.

    Raises:
        FileNotFoundError: there is none.
        TerminalError: BuildFailed, it lies behind a link, or is one.
    """
    fd = _open(tree, path, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def made_directory(tree: Path, path: str) -> None:
    """Make the directory `path`, and those above it, where they are missing.

    Raises:
        TerminalError: BuildFailed, something else is in their place.
    """
    done = "."
    for part in path.split("/"):
        with directory(tree, done) as above:
            try:
                os.mkdir(part, 0o755, dir_fd=above)
                os.chmod(part, 0o755, dir_fd=above)
            except FileExistsError:
                pass
        done = f"{done}/{part}"
    with directory(tree, path):
        return


def names(tree: Path, path: str) -> list[str]:
    """Return what is in the directory `path`, sorted; nothing where there is no such directory.

    Raises:
        TerminalError: BuildFailed, it lies behind a link, or is one.
    """
    try:
        with directory(tree, path) as fd:
            return sorted(os.listdir(fd))
    except FileNotFoundError:
        return []


def links(tree: Path, path: str) -> dict[str, str]:
    """Return the links in the directory `path`, by name, with what they lead to; none where there is no directory.

    Raises:
        TerminalError: BuildFailed, it lies behind a link, or is one.
    """
    found = {}
    try:
        with directory(tree, path) as fd:
            for name in sorted(os.listdir(fd)):
                if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    found[name] = os.readlink(name, dir_fd=fd)
    except FileNotFoundError:
        return {}
    return found


def status(tree: Path, path: str) -> os.stat_result | None:
    """Return what `path` is, itself; None where it is not there.

    Raises:
        TerminalError: BuildFailed, it lies behind a link.
    """
    parent, _, name = path.rpartition("/")
    try:
        with directory(tree, parent or ".") as fd:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_file(tree: Path, path: str) -> bool:
    """Say whether `path` is a regular file, and no link.

    Raises:
        TerminalError: BuildFailed, it lies behind a link.
    """
    found = status(tree, path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_directory(tree: Path, path: str) -> bool:
    """Say whether `path` is a directory, and no link.

    Raises:
        TerminalError: BuildFailed, it lies behind a link.
    """
    found = status(tree, path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def read(tree: Path, path: str, most: int = MOST_BYTES) -> bytes:
    """Return what is in the file `path`.

    Raises:
        FileNotFoundError: it is not there.
        TerminalError: BuildFailed, it is no file, too large, or lies behind a link.
    """
    fd = _open(tree, path, _FILE)
    try:
        return read_descriptor(fd, Path("/", path), most)
    except OSError as error:
        raise TerminalError(BUILD_FAILED, f"cannot use /{path} of what was built: {error.strerror}") from error
    finally:
        os.close(fd)


def write(tree: Path, path: str, content: bytes, mode: int = 0o644) -> None:
    """Put a new file at `path`; one that is there is replaced, not written to.

    Raises:
        TerminalError: BuildFailed, it lies behind a link.
    """
    parent, _, name = path.rpartition("/")
    with directory(tree, parent or ".") as above:
        _unlink(name, above)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=above), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)


def symlink(tree: Path, path: str, target: str) -> None:
    """Make the link `path` to `target`.

    Raises:
        TerminalError: BuildFailed, it would lie behind a link.
    """
    parent, _, name = path.rpartition("/")
    with directory(tree, parent or ".") as above:
        os.symlink(target, name, dir_fd=above)


def remove(tree: Path, path: str) -> None:
    """Remove the file or link `path`, if it is there.

    Raises:
        TerminalError: BuildFailed, it lies behind a link, or is a directory.
    """
    parent, _, name = path.rpartition("/")
    try:
        with directory(tree, parent or ".") as above:
            _unlink(name, above)
    except FileNotFoundError:
        return


def _unlink(name: str, above: int) -> None:
    try:
        os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        return
    except IsADirectoryError as error:
        raise TerminalError(BUILD_FAILED, f"cannot use what was built: {name} is a directory, no file") from error


def _open(tree: Path, path: str, flags: int) -> int:
    top = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return openat2.open_in_root(top, path, flags | os.O_NOFOLLOW, resolve=_BENEATH)
    except SyscallError as error:
        if error.errno in _LED_AWAY:
            why = f"/{_first_link(tree, path)} is a link: leave it a directory"
            raise TerminalError(BUILD_FAILED, f"cannot carry the tree out of the build: {why}") from error
        if error.errno in _NOT_THERE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        raise
    finally:
        os.close(top)


def _first_link(tree: Path, path: str) -> str:
    """Return the first part of `path` that is a link, for people to read."""
    at = ""
    for part in path.split("/"):
        at = f"{at}/{part}" if at else part
        if (tree / at).is_symlink():
            return at
    return path
