"""Putting files of a run's own in place of those that its read-only mounts bring, as a runtime's /etc/resolv.conf.

A file of the root's, with no name any more, is mounted read-only where the other one is, or where a link of that name
leads. Invariant: no mount is changed; whoever wrote the links, nothing outside of the root is touched.
"""

import errno
import os
import posixpath

from controller.linux import mount_api, openat2
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.sandbox import rootfs

_ATTRIBUTES = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV | MountAttribute.NOEXEC
_NAME = ".cover"  # In the root, which can be written until it is sealed.


def cover(root_fd: int, path: str, content: bytes) -> None:
    """Have `content` read at `path`, where there is a file, or a link that may lead nowhere.

    Raises:
        OSError: there is no place for it.
    """
    try:
        place_fd = rootfs.open_place(root_fd, path)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
        _write(root_fd, _end_of(root_fd, path), content)
        return
    try:
        rootfs.refuse_what_is_ours(place_fd, path)
        _write(root_fd, f"/{_NAME}", content)
        try:
            with mount_api.clone_tree(_NAME, directory_fd=root_fd) as tree:
                mount_api.set_attributes(tree, _ATTRIBUTES)
                mount_api.attach_to_fd(tree, place_fd)
        finally:
            os.unlink(_NAME, dir_fd=root_fd)
    finally:
        os.close(place_fd)


def _end_of(root_fd: int, path: str) -> str:
    """Return where the link at `path` leads, which is nowhere so far."""
    link_fd = openat2.open_in_root(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        target = os.readlink("", dir_fd=link_fd)
    finally:
        os.close(link_fd)
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _write(root_fd: int, path: str, content: bytes) -> None:
    parent, _, name = path.rpartition("/")
    parent_fd = rootfs.open_directory(root_fd, parent or "/")
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    try:
        if os.write(fd, content) != len(content):
            raise OSError(errno.ENOSPC, "it does not fit into the sandbox's root", path)
    finally:
        os.close(fd)
