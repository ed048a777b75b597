"""Copying what a user handed in into a run's own file system, trusting nothing in it.

Here: files, directories and symbolic links (as links, never followed), with their modes.
Invariant: every name is opened relative to its directory's descriptor and never through a link, so
that a tree that changes or lies while it is copied cannot make us read or write elsewhere.
"""

import errno
import os
import stat
from collections.abc import Iterable

from controller.linux import openat2
from controller.linux.openat2 import Resolve
from controller.sandbox.spec import GivenFile

_CHUNK_BYTES = 8 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BELOW = Resolve.BENEATH | Resolve.NO_SYMLINKS | Resolve.NO_XDEV
_MODE_BITS = 0o777  # No setuid, setgid or sticky bit is worth copying.


def copy_tree(source_fd: int, target_fd: int, host_uid: int, host_gid: int) -> None:
    """Copy what is in the directory `source_fd` into the empty directory `target_fd`, owned by these host ids.

    Raises:
        OSError: ENOSPC if it does not fit; EINVAL for what is no file, directory or link; EEXIST.
    """
    with os.scandir(source_fd) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        _copy_one(name, source_fd, target_fd, (host_uid, host_gid))


def _copy_one(name: str, source_fd: int, target_fd: int, owner: tuple[int, int]) -> None:
    found = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
    try:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
            os.chown(name, *owner, dir_fd=target_fd, follow_symlinks=False)
        elif stat.S_ISDIR(found.st_mode):
            _copy_directory(name, source_fd, target_fd, owner)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(name, source_fd, target_fd, owner)
        else:
            raise OSError(errno.EINVAL, "it is no file, directory or symbolic link")
    except OSError as error:
        if error.filename is not None and error.filename != name:
            raise  # It names a deeper one already.
        raise OSError(error.errno, f"cannot copy: {error.strerror}", name) from error


def _copy_directory(name: str, source_fd: int, target_fd: int, owner: tuple[int, int]) -> None:
    source = os.open(name, _DIRECTORY, dir_fd=source_fd)
    try:
        os.mkdir(name, 0o700, dir_fd=target_fd)
        target = os.open(name, _DIRECTORY, dir_fd=target_fd)
        try:
            copy_tree(source, target, *owner)
            _hand_over(target, os.fstat(source).st_mode, owner)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_file(name: str, source_fd: int, target_fd: int, owner: tuple[int, int]) -> None:
    # Non-blocking: what has become a fifo since it was looked at must not hold us up.
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source_fd)
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file any more")
        target = os.open(name, _NEW_FILE, 0o600, dir_fd=target_fd)
        try:
            _copy_content(source, target)
            _hand_over(target, found.st_mode, owner)
        finally:
            os.close(target)
    finally:
        os.close(source)


def copy_files(source_fd: int, target_fd: int, files: Iterable[GivenFile], host_uid: int, host_gid: int) -> None:
    """Copy `files` of the directory `source_fd` below the directory `target_fd`, owned by these host ids.

    Raises:
        OSError: ENOSPC if they do not fit; EEXIST; ELOOP if a link is in the way.
    """
    for file in files:
        try:
            source = os.open(file.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_fd)
            try:
                target = openat2.open_in_root(target_fd, file.path, _NEW_FILE, 0o600, _BELOW)
                try:
                    _copy_content(source, target)
                    _hand_over(target, file.mode, (host_uid, host_gid))
                finally:
                    os.close(target)
            finally:
                os.close(source)
        except OSError as error:
            raise OSError(error.errno, f"cannot copy: {error.strerror}", file.path) from error


def _copy_content(source: int, target: int) -> None:
    """Copy a file's content from where both are, its holes as holes."""
    size = os.fstat(source).st_size
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # Nothing but a hole is left.
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(source, at, os.SEEK_SET)
        os.lseek(target, at, os.SEEK_SET)
        while at < end and (copied := os.sendfile(target, source, None, min(_CHUNK_BYTES, end - at))):
            at += copied
        if at < end:
            break  # It was cut short meanwhile.
    os.ftruncate(target, size)


def _hand_over(fd: int, mode: int, owner: tuple[int, int]) -> None:
    os.fchown(fd, *owner)
    os.fchmod(fd, stat.S_IMODE(mode) & _MODE_BITS)
