"""Hiding files and directories of a root behind empty ones.

Not behind /dev/null, which can be written, and works as a device only: so each mask is a read-only mount of one empty
file, or of one empty directory, whose names are gone when this returns.
"""

import errno
import os
import stat
from collections.abc import Container

from controller.linux import mount_api, openat2
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.sandbox import rootfs

_ATTRIBUTES = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV | MountAttribute.NOEXEC
_NAMES = {False: ".empty", True: ".empty.d"}


def hide(root_fd: int, directory: str, names: Container[str], aside: str) -> None:
    """Hide what there is of `names` in `directory`, which is there.

    Args:
        aside: a directory, which can be written, for what is empty to be made in.

    Raises:
        OSError: something cannot be hidden.
    """
    aside_fd = rootfs.open_directory(root_fd, aside)
    inside_fd = openat2.open_in_root(root_fd, directory, os.O_RDONLY | os.O_DIRECTORY)
    first: dict[bool, int] = {}
    try:
        for name, is_directory in _found(directory, inside_fd, names):
            made_fd = first.get(is_directory)
            if made_fd is None:
                first[is_directory] = _cover(name, inside_fd, aside_fd, directory=is_directory)
            else:  # A copy of a mount has its attributes: two calls for each mask, and none to set them.
                with mount_api.clone_from_fd(made_fd, name, recursive=False) as tree:
                    mount_api.attach(tree, name, directory_fd=inside_fd)
        for is_directory in first:  # What is mounted of them stays.
            (os.rmdir if is_directory else os.unlink)(_NAMES[is_directory], dir_fd=aside_fd)
    finally:
        for fd in (aside_fd, inside_fd, *first.values()):
            os.close(fd)


def _found(directory: str, inside_fd: int, names: Container[str]) -> list[tuple[str, bool]]:
    """Return those of `names` that are there, and whether each is a directory; read once, not asked for one by one."""
    with os.scandir(inside_fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]
    if link := next((name for name, _, is_link in found if is_link and name in names), None):
        raise OSError(errno.ELOOP, f"{link} in {directory} is a link: what it leads to would not be hidden")
    return [(name, is_directory) for name, is_directory, _ in found if name in names]


def uncover(root_fd: int, path: str) -> None:
    """Take away what hides `path` in this process' own root; where nothing is, nothing was hidden.

    Raises:
        OSError: it cannot be taken away.
    """
    place_fd = open_if_there(root_fd, path)
    if place_fd is not None:
        os.close(place_fd)
        mount_api.unmount(path, lazy=True)


def _cover(target: str, inside_fd: int, aside_fd: int, *, directory: bool) -> int:
    """Make something empty, and mount it, read-only, on `target`; return the mount, which the caller closes."""
    name = _NAMES[directory]
    if directory:
        os.mkdir(name, 0o555, dir_fd=aside_fd)
    else:
        os.mknod(name, stat.S_IFREG | 0o444, dir_fd=aside_fd)
    with mount_api.clone_tree(name, directory_fd=aside_fd) as tree:
        mount_api.set_attributes(tree, _ATTRIBUTES)
        mount_api.attach(tree, target, directory_fd=inside_fd)
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
