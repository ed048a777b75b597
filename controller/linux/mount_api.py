"""The mount API of Linux 5.2 to 5.12: mounts are file descriptors until they are attached.

Here: clone, make, change, attach, unmount, pivot. Never here: which mounts a sandbox has, and the
old mount(2) with MS_REMOUNT, which reaches only the top mount and leaves submounts writable.
Invariant: a tree is detached, so seen by nobody, until `attach`; what was not attached goes with its fd.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from struct import Struct

from controller.linux import libc
from controller.linux.held import Held
from controller.linux.libc import AT_FDCWD, SyscallError

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_SYMLINK_NOFOLLOW = 0x100
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSCONFIG_CMD_RECONFIGURE = 7
_FSPICK_CLOEXEC = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_MS_PRIVATE = 1 << 18
_ATIME_MASK = 0x70

_MOUNT_ATTR = Struct("QQQQ")  # struct mount_attr: attr_set, attr_clr, propagation, userns_fd.


class MountAttribute(IntFlag):
    """Attributes of a mount, with the kernel's names (MOUNT_ATTR_…)."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    IDMAP = 0x100000
    NOSYMFOLLOW = 0x200000


@dataclass(slots=True)
class MountTree(Held):
    """A detached mount and what is mounted below it. Closing it, unattached, dissolves it."""

    source: str


def clone_tree(
    source: str | Path, *, recursive: bool = True, directory_fd: int = AT_FDCWD, follow: bool = False
) -> MountTree:
    """Return a detached copy of the mount at `source`: what a bind mount attaches. The caller closes it.

    Args:
        source: a file or directory.
        recursive: with the mounts below it.
        follow: a symbolic link as the last part of `source`.

    Raises:
        SyscallError: the kernel refused; `errno` says how.

    Source: open_tree(2), Linux 5.2.
    """
    label = str(source)
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    flags |= 0 if follow else _AT_SYMLINK_NOFOLLOW
    fd = libc.syscall("open_tree", directory_fd, os.fsencode(label), flags, purpose=f"take a copy of the mount {label}")
    return MountTree(fd, label)


def clone_from_fd(fd: int, source_label: str, *, recursive: bool = True) -> MountTree:
    """Return a detached copy of the mount at the place `fd` (O_PATH will do) is open on. The caller closes it.

    Raises:
        SyscallError: the kernel refused; `errno` says how.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    tree = libc.syscall("open_tree", fd, b"", flags, purpose=f"take a copy of the mount {source_label}")
    return MountTree(tree, source_label)


def set_attributes(tree: MountTree, attributes: MountAttribute, *, clear: MountAttribute | None = None) -> None:
    """Set `attributes` on the detached mount `tree` and on every mount below it, after taking `clear` off.

    Call it before `attach`, so that no process ever sees the mount without them.

    Raises:
        SyscallError: the kernel refused; `errno` says how.

    Source: mount_setattr(2), Linux 5.12. The older MS_REMOUNT reaches only the top mount.
    """
    wanted = int(attributes)
    cleared = int(clear or 0) | (_ATIME_MASK if wanted & _ATIME_MASK else 0)
    _mount_setattr(
        tree.fd,
        b"",
        _AT_EMPTY_PATH | _AT_RECURSIVE,
        _MOUNT_ATTR.pack(wanted, cleared, 0, 0),
        f"set the attributes {attributes!r} on the tree of {tree.source}",
    )


def map_owners(tree: MountTree, user_namespace_fd: int) -> None:
    """Show the owners of files in `tree` as `user_namespace_fd` maps them.

    Raises:
        SyscallError: EINVAL where the filesystem cannot do it (overlayfs, for one).
    """
    request = _MOUNT_ATTR.pack(MountAttribute.IDMAP, 0, 0, user_namespace_fd)
    _mount_setattr(tree.fd, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, request, f"map the owners of files in {tree.source}")


def new_filesystem(fstype: str, options: Mapping[str, str], attributes: MountAttribute, *, what: str = "") -> MountTree:
    """Return a new filesystem, or the one on the disk `source`, mounted but detached. The caller closes it.

    Args:
        options: the filesystem's own (`size`, `mode`, …); an empty value sets a flag.
        what: finishes the sentence "cannot …" should it fail; a new one is made unless it is said.

    Raises:
        SyscallError: the kernel refused; `detail` has its own words where it wrote some.

    Source: fsopen(2), fsconfig(2), fsmount(2), Linux 5.2.
    """
    purpose = what or f"make a new {fstype}"
    context = libc.syscall("fsopen", fstype.encode(), _FSOPEN_CLOEXEC, purpose=purpose)
    try:
        for key, value in options.items():
            command, given = (_FSCONFIG_SET_STRING, value.encode()) if value else (_FSCONFIG_SET_FLAG, None)
            libc.syscall("fsconfig", context, command, key.encode(), given, 0, purpose=f"{purpose} with {key}={value}")
        libc.syscall("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0, purpose=purpose)
        fd = libc.syscall("fsmount", context, _FSMOUNT_CLOEXEC, int(attributes), purpose=purpose)
    except SyscallError as error:
        error.detail = _message_of(context)
        raise
    finally:
        os.close(context)
    return MountTree(fd, fstype)


def reconfigure(place: str | Path, options: Mapping[str, str]) -> None:
    """Change options of the filesystem that is mounted at `place`: its own, such as `size`, for all its mounts.

    Raises:
        SyscallError: the kernel refused; `detail` has its own words where it wrote some.

    Source: fspick(2), Linux 5.2.
    """
    purpose = f"change the options of the filesystem at {place}"
    context = libc.syscall("fspick", AT_FDCWD, os.fsencode(place), _FSPICK_CLOEXEC, purpose=purpose)
    try:
        for key, value in options.items():
            libc.syscall("fsconfig", context, _FSCONFIG_SET_STRING, key.encode(), value.encode(), 0, purpose=purpose)
        libc.syscall("fsconfig", context, _FSCONFIG_CMD_RECONFIGURE, None, None, 0, purpose=purpose)
    except SyscallError as error:
        error.detail = _message_of(context)
        raise
    finally:
        os.close(context)


def attach(tree: MountTree, target: str | Path, *, directory_fd: int = AT_FDCWD) -> None:
    """Mount the detached `tree` at `target`; a symbolic link as its last part is not followed.

    Raises:
        SyscallError: the kernel refused; `errno` says how.
    """
    path = os.fsencode(target)
    purpose = f"mount {tree.source} at {target}"
    libc.syscall("move_mount", tree.fd, b"", directory_fd, path, _MOVE_MOUNT_F_EMPTY_PATH, purpose=purpose)


def attach_to_fd(tree: MountTree, target_fd: int) -> None:
    """Mount the detached `tree` on the file or directory that `target_fd` (O_PATH will do) is open on.

    Raises:
        SyscallError: the kernel refused; `errno` says how.
    """
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    libc.syscall("move_mount", tree.fd, b"", target_fd, b"", flags, purpose=f"mount {tree.source} at an open directory")


def make_private(path: str = "/") -> None:
    """Cut every mount from `path` down off from mount events of other namespaces, both ways.

    Raises:
        SyscallError: EINVAL if `path` is no mount.
    """
    request = _MOUNT_ATTR.pack(0, 0, _MS_PRIVATE, 0)
    _mount_setattr(AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, request, f"make the mounts below {path} private")


def pivot_root(new: str, old: str) -> None:
    """Make the mount `new` this mount namespace's root and put the old root at `old` (both may be ".").

    Raises:
        SyscallError: EINVAL if `new` is no mount or if its parent is shared: `make_private` first.
    """
    libc.syscall("pivot_root", os.fsencode(new), os.fsencode(old), purpose=f"make {new} the root")


def unmount(path: str, *, lazy: bool) -> None:
    """Unmount what is mounted at `path`; a symbolic link as its last part is not followed.

    Args:
        lazy: take it out of sight at once, with the mounts below, and let go when nobody uses it.

    Raises:
        SyscallError: EBUSY while it is used and not `lazy`.
    """
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    libc.syscall("umount2", os.fsencode(path), flags, purpose=f"unmount {path}")


def _mount_setattr(fd: int, path: bytes, flags: int, request: bytes, purpose: str) -> None:
    libc.syscall("mount_setattr", fd, path, flags, request, _MOUNT_ATTR.size, purpose=purpose)


def _message_of(context: int) -> str:
    """Return what the kernel wrote about the failure, each line of it as "e tmpfs: Bad value for 'size'"."""
    try:
        return os.read(context, 4096).decode(errors="replace").strip().removeprefix("e ")
    except OSError:  # ENODATA: it had nothing to say.
        return ""
