"""Carrying out a sandbox's operations in this process, one after another.

Here: each operation in a few lines. Never here: which ones and in what order (`compile`).
Invariant: the first failure ends it and nothing is skipped, but for masks of what does not exist.
"""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from struct import Struct
from typing import assert_never

from controller.linux import clocks, landlock, libc, loopback, mount_api, namespaces, openat2
from controller.linux.landlock import Access, Ruleset
from controller.linux.libc import AT_FDCWD
from controller.linux.mount_api import MountAttribute, MountTree
from controller.sandbox import covers, masks, places, rootfs, sources
from controller.sandbox.copy_tree import copy_files, copy_tree
from controller.sandbox.errors import SandboxError
from controller.sandbox.ops import (
    Allow,
    BeginTime,
    BindMount,
    BringUpLoopback,
    CopyFiles,
    CopyTree,
    CoverFile,
    EnterNewNamespaces,
    ForgetDomain,
    GiveDevice,
    MakeDevice,
    MakeDirectory,
    MakeMountsPrivate,
    MakePlaces,
    MakeReadOnly,
    MakeSymlink,
    Mask,
    MountDevpts,
    MountProc,
    MountRoot,
    MountTmpfs,
    Op,
    OpenLowPorts,
    PivotRoot,
    SealRoot,
    SeparateDevices,
    SetHostname,
    Unmask,
    WriteFile,
)
from controller.sandbox.sources import Identity

_INERT = MountAttribute.NOSUID | MountAttribute.NODEV | MountAttribute.NOEXEC
_NODES = MountAttribute.NOSUID | MountAttribute.NOEXEC
_TOLD_BY_STATVFS = int(_INERT | MountAttribute.RDONLY)  # The same bits as of ST_RDONLY and so on; see statvfs(3).
_RDONLY = int(MountAttribute.RDONLY)
_SEALED_ROOT = MountAttribute.RDONLY | MountAttribute.NODEV
_MOUNT_ATTR = Struct("QQQQ")  # struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
_MOST_TERMINALS = "128"
"""Of one run. The kernel has some 3,000 for all sandboxes and containers of a host together: kernel.pty.max."""
_BYTES_OF_AN_INODE = 1024  # About what one costs the kernel. Empty files, directories and links take no other room.
_FEWEST_INODES = 1024
_NO_DOMAIN = b"(none)"  # As a kernel begins.
_DEVICE_MODE = 0o020666  # S_IFCHR, and everybody's.


class Builder:
    """One sandbox in the making, by this process.

    `take_sources` wants to be where the sources are; `carry_out` where the sandbox is, which may be another mount
    namespace. After an error, the process is good for nothing but to report it and end.
    """

    def __init__(self, root_fd: int = -1) -> None:
        """Build in `root_fd`, which is then this object's; without it in what `MountRoot` mounts."""
        self.root_fd = root_fd
        self._parents: dict[str, int] = {}
        self._taken: dict[Op, MountTree] = {}
        self._identities: dict[BindMount, Identity] = {}
        self.writable: set[str] = set()
        """Where mounts are, by the kernel's names for it, that the job may write to."""
        self.ruleset: Ruleset | None = None
        """What the job is to be held to; None before the first `Allow`, and where the kernel has no Landlock."""

    def take_sources(self, ops: Sequence[Op]) -> None:
        """Take hold of the host's files and directories that `ops` speak of.

        Raises:
            SandboxError: one is not there, or may not be taken.
        """
        for step, op in enumerate(ops):
            if isinstance(op, BindMount | CopyTree | CopyFiles):
                try:
                    self._taken[op] = sources.take(op)
                except OSError as error:
                    raise SandboxError(step, op, error) from error

    def remember_sources(self) -> None:
        """Note which files and directories the mounts are of that were taken and not carried out so far."""
        self._identities = {
            op: sources.identity_taken(tree) for op, tree in self._taken.items() if isinstance(op, BindMount)
        }

    def sources_are_the_same(self) -> bool:
        """Say whether what `remember_sources` noted would be taken now. To be asked where the sources are."""
        try:
            return all(sources.identity_now(op) == identity for op, identity in self._identities.items())
        except OSError:
            return False

    def carry_out(self, ops: Sequence[Op]) -> None:
        """Carry out `ops` in order, their sources taken before.

        Raises:
            SandboxError: an operation was refused; those after it were not tried.
        """
        for step, op in enumerate(ops):
            try:
                self._carry_out_one(op)
            except OSError as error:
                raise SandboxError(step, op, error) from error

    def _carry_out_one(self, op: Op) -> None:  # noqa: C901 - one line for each operation
        match op:
            case EnterNewNamespaces(kinds):
                namespaces.unshare(kinds)
            case MakeMountsPrivate():
                mount_api.make_private()
            case BeginTime():
                clocks.begin_anew()
            case ForgetDomain():
                libc.syscall("setdomainname", _NO_DOMAIN, len(_NO_DOMAIN), purpose="forget the domain name")
            case SetHostname(name):
                socket.sethostname(name)
            case BringUpLoopback() | OpenLowPorts():
                _prepare_network(op)
            case MountRoot():
                self.root_fd = _mount_root(op)
            case MakeDirectory(path, mode):
                os.close(rootfs.open_directory(self.root_fd, path, mode))
            case MakeSymlink() | MakeDevice() | GiveDevice() | WriteFile():
                self._make_entry(op)
            case MakePlaces() | CoverFile() | Mask() | Unmask():
                self._cover(op)
            case BindMount():
                with self._taken.pop(op) as tree:
                    self._attach(tree, op.target, op.attributes, directory=rootfs.is_directory(tree.fd))
            case CopyTree() | CopyFiles():
                with self._taken.pop(op) as tree:
                    _copy(tree.fd, op, self.root_fd)
            case MountTmpfs():
                with _new_filesystem(op) as tree:
                    self._attach(tree, op.target, op.attributes)
            case MountDevpts() | MountProc():
                with _new_filesystem(op) as tree:
                    self._attach(tree, op.target, _NODES)
            case SeparateDevices(path):
                with mount_api.clone_tree(path[1:], directory_fd=self.root_fd) as tree:
                    mount_api.set_attributes(tree, _NODES)
                    self._attach(tree, path, _NODES)
            case MakeReadOnly(path):
                _make_read_only(path, self.root_fd)
            case Allow(path, access):
                self._allow(path, access)
            case PivotRoot():
                _pivot(self.root_fd)
            case SealRoot(devices):
                _seal("/", _SEALED_ROOT)
                _seal(devices, MountAttribute.RDONLY)
            case _:
                assert_never(op)  # The type checker names every operation that was forgotten.

    def _make_entry(self, op: MakeSymlink | MakeDevice | GiveDevice | WriteFile) -> None:
        parent_fd, name = self._parent_of(op.path)
        match op:
            case MakeSymlink(_, points_to):
                os.symlink(points_to, name, dir_fd=parent_fd)
            case MakeDevice(_, major, minor):
                os.mknod(name, _DEVICE_MODE, os.makedev(major, minor), dir_fd=parent_fd)
                os.chmod(name, _DEVICE_MODE & 0o777, dir_fd=parent_fd)  # Whatever the umask is.
            case GiveDevice():
                _give_device(parent_fd, name, op)
            case WriteFile(_, content):
                _write_file(parent_fd, name, content.encode())

    def _cover(self, op: MakePlaces | CoverFile | Mask | Unmask) -> None:
        match op:
            case Mask(directory, names, aside):
                masks.hide(self.root_fd, directory, names, aside)
            case CoverFile(path, content):
                covers.cover(self.root_fd, path, content.encode())
            case Unmask(path):
                masks.uncover(self.root_fd, path)
            case MakePlaces(files, directories, links):
                for covered in places.make(self.root_fd, files, directories, links):
                    self._forget_below(covered)

    def _parent_of(self, path: str) -> tuple[int, str]:
        """Return the directory that shall hold `path`, which stays open, and the last name of `path`."""
        parent, _, name = path.rpartition("/")
        parent_fd = self._parents.get(parent)
        if parent_fd is None:
            parent_fd = self._parents[parent] = rootfs.open_directory(self.root_fd, parent or "/")
            rootfs.refuse_what_is_ours(parent_fd, path, is_parent=True)
        return parent_fd, name

    def _attach(self, tree: MountTree, target: str, attributes: MountAttribute, *, directory: bool = True) -> None:
        parent_fd, name = self._parent_of(target)
        if rootfs.make_mount_point(parent_fd, name, target, directory=directory):
            mount_api.attach(tree, name, directory_fd=parent_fd)
        else:  # There already, perhaps as a link: followed as the root's own processes would.
            target_fd = rootfs.open_place(self.root_fd, target)
            try:
                rootfs.refuse_what_is_ours(target_fd, target)
                _require_the_same_kind(target_fd, target, directory=directory)
                mount_api.attach_to_fd(tree, target_fd)
            finally:
                os.close(target_fd)
        self._forget_below(target)
        _ask_for(attributes, os.fstatvfs(tree.fd), target)
        if not int(attributes) & _RDONLY:
            self.writable.add(os.readlink(f"/proc/self/fd/{tree.fd}"))

    def _forget_below(self, target: str) -> None:
        """Let go of directories that a mount at `target` has covered."""
        below = f"{target}/"
        for parent in [parent for parent in self._parents if parent == target or parent.startswith(below)]:
            os.close(self._parents.pop(parent))

    def _allow(self, path: str, access: Access) -> None:
        self.ruleset = self.ruleset or landlock.create()
        if self.ruleset is None:
            return
        place_fd = rootfs.open_place(self.root_fd, path)
        try:
            self.ruleset.allow(place_fd, access, directory=rootfs.is_directory(place_fd))
        finally:
            os.close(place_fd)

    def close(self) -> None:
        """Let go of the root, its directories and the rules."""
        if self.ruleset is not None:
            self.ruleset.close()
        for fd in (self.root_fd, *self._parents.values()):
            os.close(fd)
        self._parents.clear()


def _mount_root(op: MountRoot) -> int:
    options = {"size": str(op.size_bytes), "mode": "755"}
    tree = mount_api.new_filesystem("tmpfs", options, MountAttribute.NOSUID)
    mount_api.attach(tree, op.staging)
    return tree.fd


def _give_device(parent_fd: int, name: str, op: GiveDevice) -> None:
    kind = stat.S_IFBLK if op.kind == "b" else stat.S_IFCHR
    os.mknod(name, kind, os.makedev(op.major, op.minor), dir_fd=parent_fd)  # Nobody's, until it has its owner.
    os.chown(name, op.host_uid, op.host_gid, dir_fd=parent_fd, follow_symlinks=False)
    os.chmod(name, op.mode, dir_fd=parent_fd)


def _write_file(parent_fd: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent_fd)
    try:
        if os.write(fd, content) != len(content):
            raise OSError(errno.ENOSPC, "it does not fit into the sandbox's root", name)
    finally:
        os.close(fd)


def _prepare_network(op: BringUpLoopback | OpenLowPorts) -> None:
    if isinstance(op, BringUpLoopback):
        loopback.bring_up()
        return
    try:
        loopback.open_low_ports()
    except OSError as error:
        if error.errno != errno.EROFS:  # Where /proc/sys is read-only they stay closed, and all else is as it should.
            raise


def _new_filesystem(op: MountTmpfs | MountDevpts | MountProc) -> MountTree:
    match op:
        case MountTmpfs(_, size_bytes, mode, host_uid, host_gid, attributes):
            options = {"size": str(size_bytes), "mode": f"{mode:o}", "uid": str(host_uid), "gid": str(host_gid)}
            options["nr_inodes"] = str(max(_FEWEST_INODES, size_bytes // _BYTES_OF_AN_INODE))
            return mount_api.new_filesystem("tmpfs", options, attributes)
        case MountDevpts(_, host_gid):
            options = {
                "newinstance": "",
                "ptmxmode": "0666",
                "mode": "0620",
                "gid": str(host_gid),
                "max": _MOST_TERMINALS,
            }
            return mount_api.new_filesystem("devpts", options, MountAttribute.NOSUID | MountAttribute.NOEXEC)
        case MountProc():
            return mount_api.new_filesystem("proc", {"hidepid": "invisible"}, _INERT)
        case _:
            assert_never(op)


def _make_read_only(path: str, root_fd: int) -> None:
    place_fd = masks.open_if_there(root_fd, path)
    if place_fd is None:
        return
    try:
        with mount_api.clone_from_fd(place_fd, path) as tree:
            mount_api.set_attributes(tree, _INERT | MountAttribute.RDONLY)
            mount_api.attach_to_fd(tree, place_fd)
    finally:
        os.close(place_fd)


def _copy(source_fd: int, op: CopyTree | CopyFiles, root_fd: int) -> None:
    target_fd = openat2.open_in_root(root_fd, op.target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if isinstance(op, CopyFiles):
            copy_files(source_fd, target_fd, op.files, op.host_uid, op.host_gid)
        else:
            copy_tree(source_fd, target_fd, op.host_uid, op.host_gid)
    finally:
        os.close(target_fd)


def _pivot(root_fd: int) -> None:
    # The old root ends up on top of the new one, and the lazy unmount takes it off: no place for it
    # is needed in the new one. Source: pivot_root(2), NOTES.
    os.fchdir(root_fd)
    mount_api.pivot_root(".", ".")
    mount_api.unmount(".", lazy=True)
    os.chdir("/")


def _require_the_same_kind(target_fd: int, target: str, *, directory: bool) -> None:
    """Say which of both is a directory, where only one is: the kernel's ENOTDIR does not."""
    if rootfs.is_directory(target_fd) != directory:
        there, mounted = ("a file", "a directory") if directory else ("a directory", "a file")
        raise NotADirectoryError(
            errno.ENOTDIR, f"{there} is at {target}, where {mounted} is to be mounted: use another path"
        )


def _ask_for(attributes: MountAttribute, seen: os.statvfs_result, target: str) -> None:
    """Ask the kernel whether a mount has the attributes that it was told to give it."""
    lacking = int(attributes) & _TOLD_BY_STATVFS & ~seen.f_flag  # Of integers: of flags it takes ten times as long.
    if lacking:
        name = MountAttribute(lacking).name
        raise PermissionError(errno.EPERM, f"the kernel says that the mount is not {name}", target)


def _seal(path: str, attributes: MountAttribute) -> None:
    # Not recursive, unlike `mount_api.set_attributes`: /work and /tmp stay writable.
    request = _MOUNT_ATTR.pack(attributes, 0, 0, 0)
    libc.syscall("mount_setattr", AT_FDCWD, path.encode(), 0, request, _MOUNT_ATTR.size, purpose=f"seal {path}")
    _ask_for(attributes, os.statvfs(path), path)
