"""The host's files and directories that a sandbox is made of: taking hold of them, and telling if they are the same.

What was taken stays what it was, whatever becomes of its path. So who takes hold ahead of need looks again before it is
used: `Identity` for each source, `MountWatch` for what is mounted below them.
Invariant: a source of a tree (`within`) is opened so that no link leads out of it, each time.
"""

import os
import select
from dataclasses import dataclass

from controller.linux import mount_api, openat2, user_namespace
from controller.linux.mount_api import MountTree
from controller.linux.user_namespace import IdMap
from controller.sandbox.ops import BindMount, CopyFiles, CopyTree
from controller.sandbox.spec import NEUTRAL_ID


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file or directory it is, as long as somebody holds it: its number is not used again until then."""

    device: int
    inode: int


def take(op: BindMount | CopyTree | CopyFiles) -> MountTree:
    """Take hold of what `op` speaks of. The caller closes it.

    Raises:
        OSError: it is not there, or may not be taken.
    """
    if isinstance(op, CopyTree):
        return MountTree(_open(op.source, op.within, os.O_RDONLY | os.O_DIRECTORY), op.source)
    if isinstance(op, CopyFiles):
        return MountTree(_open(op.source, None, os.O_RDONLY | os.O_DIRECTORY), op.source)
    tree = _clone(op)
    try:
        mount_api.set_attributes(tree, op.attributes)
        if op.owners_from is not None:
            _give_owners(tree, op, op.owners_from)
    except OSError:
        tree.close()
        raise
    return tree


def open_neutral_owners(host_base: int) -> int:
    """Return the user namespace that maps `NEUTRAL_ID` and up to `host_base` and up. The caller closes it.

    Raises:
        OSError: there may be no more user namespaces here.
    """
    return user_namespace.create(IdMap(host_base, inside_base=NEUTRAL_ID))


def _give_owners(tree: MountTree, op: BindMount, host_base: int) -> None:
    owners_fd = user_namespace.create(IdMap(host_base, op.ids, op.disk_uid, op.disk_gid))
    try:
        mount_api.map_owners(tree, owners_fd)
    finally:
        os.close(owners_fd)


def _clone(op: BindMount) -> MountTree:
    recursive = op.owners_from is None
    if op.within is None:
        return mount_api.clone_tree(op.source, recursive=recursive, follow=True)
    source_fd = _open(op.source, op.within)
    try:
        return mount_api.clone_from_fd(source_fd, op.source, recursive=recursive)
    finally:
        os.close(source_fd)


def identity_taken(tree: MountTree) -> Identity:
    """Return which one was taken."""
    return _identity(os.fstat(tree.fd))


def identity_now(op: BindMount) -> Identity:
    """Return which one would be taken now.

    Raises:
        OSError: none.
    """
    if op.within is None:
        return _identity(os.stat(op.source))
    source_fd = _open(op.source, op.within)
    try:
        return _identity(os.fstat(source_fd))
    finally:
        os.close(source_fd)


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino)


def _open(source: str, within: str | None, flags: int = os.O_PATH) -> int:
    if within is None:
        return os.open(source, flags | os.O_CLOEXEC)
    tree_fd = os.open(within, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2.open_in_root(tree_fd, source, flags)
    finally:
        os.close(tree_fd)


class MountWatch:
    """Tells whether anything was mounted or unmounted in this process' mount namespace since this was made.

    Source: proc_pid_mountinfo(5); mounts_poll() in fs/proc_namespace.c.
    """

    def __init__(self) -> None:
        self.fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        """Has POLLPRI in any poll after the first change."""

    def has_changed(self) -> bool:
        """Say whether anything changed; it is not said twice."""
        poll = select.poll()
        poll.register(self.fd, select.POLLPRI)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
