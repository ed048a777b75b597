"""Hiding files and directories of a root behind empty ones.

Not behind /dev/null, which can be written, and works as a device only: so each mask is a read-only mount of one empty
file, or of one empty directory, whose names are gone when this returns.
"""

import errno
import os
import stat
from collections.abc import Iterable

from controller.linux import mount_api
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.sandbox import rootfs

_ATTRIBUTES = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV | MountAttribute.NOEXEC
_NAMES = {False: ".empty", True: ".empty.d"}


def hide(root_fd: int, paths: Iterable[str], aside: str) -> None:
    """Hide what there is at `paths`.

    Args:
        aside: a directory, which can be written, for what is empty to be made in.

    Raises:
        OSError: something cannot be hidden.
    """
    aside_fd = rootfs.open_directory(root_fd, aside)
    first: dict[bool, int] = {}
    try:
        for path in paths:
            target_fd = open_if_there(root_fd, path)
            if target_fd is None:
                continue
            try:
                directory = rootfs.is_directory(target_fd)
                made_fd = first.get(directory)
                if made_fd is None:
                    first[directory] = _cover(target_fd, aside_fd, directory=directory)
                else:  # A copy of a mount has its attributes: three calls for each mask, and none to set them.
                    with mount_api.clone_from_fd(made_fd, path, recursive=False) as tree:
                        mount_api.attach_to_fd(tree, target_fd)
            finally:
                os.close(target_fd)
        for directory in first:  # What is mounted of them stays.
            (os.rmdir if directory else os.unlink)(_NAMES[directory], dir_fd=aside_fd)
    finally:
        for fd in (aside_fd, *first.values()):
            os.close(fd)


def uncover(root_fd: int, path: str) -> None:
    """Take away what hides `path` in this process' own root; where nothing is, nothing was hidden.

    Raises:
        OSError: it cannot be taken away.
    """
    place_fd = open_if_there(root_fd, path)
    if place_fd is not None:
        os.close(place_fd)
        mount_api.unmount(path, lazy=True)


def _cover(target_fd: int, aside_fd: int, *, directory: bool) -> int:
    """Make something empty, and mount it, read-only; return the mount, which the caller closes."""
    name = _NAMES[directory]
    if directory:
        os.mkdir(name, 0o555, dir_fd=aside_fd)
    else:
        os.mknod(name, stat.S_IFREG | 0o444, dir_fd=aside_fd)
    with mount_api.clone_tree(name, directory_fd=aside_fd) as tree:
        mount_api.set_attributes(tree, _ATTRIBUTES)
        mount_api.attach_to_fd(tree, target_fd)
        return os.dup(tree.fd)


def open_if_there(root_fd: int, path: str) -> int | None:
    """Open what is at `path`, to mount on it; None if nothing is. The caller closes it.

    Raises:
        SyscallError: as open(2), but ENOENT.
    """
    try:
        return rootfs.open_place(root_fd, path)
    except SyscallError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
