"""What must be made in a tree, before it is a root, to mount on, and is removed from it afterwards.

Never here: the mounts (`root`).
Invariant: only what is empty is removed; links of the tree lead nowhere outside of it.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from controller.linux.libc import SyscallError
from controller.runtime.build.order import Order, TreeRoot
from controller.runtime.build.root import PRIVATE
from controller.sandbox import rootfs


def places_to_be_made(asked: Order) -> tuple[str, ...]:
    """Return what a tree lacks of the places that are mounted on: they are made in it, the deepest first here.

    Raises:
        OSError: it cannot be looked at.
    """
    if not isinstance(asked.root, TreeRoot):
        return ()
    binds = (inside for _, inside in (*asked.writable, *asked.readable))
    wanted = (*(inside for inside, _ in PRIVATE), *binds, *asked.files, "/dev", "/proc")
    root_fd = os.open(asked.root.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = {place for inside in wanted for place in _missing(root_fd, inside)}
    finally:
        os.close(root_fd)
    return tuple(sorted(found, key=lambda place: -place.count("/")))


def remove_places(tree: Path, places: Sequence[str]) -> None:
    """Remove those of `places` from `tree` that are empty; the build may have filled others, or removed them."""
    root_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for place in places:
            with suppress(OSError):
                _remove_if_empty(root_fd, place)
    finally:
        os.close(root_fd)


def _remove_if_empty(root_fd: int, place: str) -> None:
    parent, _, name = place.rpartition("/")
    parent_fd = rootfs.open_place(root_fd, parent or "/")
    try:
        status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent_fd)
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(name, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)


def _missing(root_fd: int, inside: str) -> list[str]:
    """Return those of `inside` and its parents that are not there, the deepest first."""
    missing = []
    while inside:
        try:
            os.close(rootfs.open_place(root_fd, inside))
            break
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
        missing.append(inside)
        inside = inside.rpartition("/")[0]
    return missing
