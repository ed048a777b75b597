"""The root of a build: an overlay over the host, or a tree of ours, with what every root has mounted in it.

Files belong to root inside, and to root on disk, though root inside is none on the host: every layer is mounted with
its owners mapped. Where a file system cannot do that, there is no build, but where the host's settings allow that it
is real root, with its few capabilities, which it says.
Here: mounts. Never here: what of the host is hidden (`host_view`), entering user namespaces (`sandbox_init`).
Invariant: nothing is mounted outside of the mount namespace this process is in.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.linux import libc, mount_api, mountinfo
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute, MountTree
from controller.linux.mountinfo import MountEntry
from controller.runtime.build import host_view
from controller.runtime.build.order import HostOverlay, Order, TreeRoot
from controller.sandbox import rootfs
from controller.sandbox.compile import compile_base
from controller.sandbox.interpret import Builder
from controller.sandbox.ops import (
    MakeDevice,
    MakeDirectory,
    MakeReadOnly,
    MakeSymlink,
    Mask,
    MountDevpts,
    MountProc,
    MountTmpfs,
    Op,
    PivotRoot,
)
from controller.sandbox.spec import HostIds

_INSIDE = MountAttribute.NOSUID | MountAttribute.NODEV
_READ_ONLY = _INSIDE | MountAttribute.RDONLY
_CANNOT_MAP = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
_ESSENTIAL = frozenset({"/usr", "/etc", "/var"})
"""What no build can do without: of another file system of the host it is shown an empty directory, if need be."""

_NO_UPPER = frozenset({"overlay", "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vfat", "exfat"})
_MAPPED_LAYERS = (5, 19)
_SHM_BYTES = 64 << 20
_DEV_BYTES = 1 << 20
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_KERNELS_OWN = (MakeDirectory, MakeDevice, MakeSymlink, MountDevpts, MountProc, Mask, MakeReadOnly)
PRIVATE = (("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/run", 0o755), ("/root", 0o700))
"""Directories that a tree as a root has of its own for the time of the build, with their modes."""


@dataclass(slots=True)
class Root:
    """A root, ready to be entered. `notes` say what is odd about it."""

    fd: int
    owners_are_mapped: bool
    notes: list[str] = field(default_factory=list)

    def enter(self) -> None:
        """Make it this process' root; the host's is out of reach then."""
        Builder(self.fd).carry_out([PivotRoot()])


def make_root(asked: Order, owners_fd: int, first_id: int) -> Root:
    """Mount the root that is asked for, and in it all that a root needs.

    Args:
        owners_fd: the user namespace by which owners are mapped.
        first_id: the host's id that is root in it.

    Raises:
        OSError: something cannot be mounted.
    """
    mapper = _Mapper(owners_fd, first_id)
    if isinstance(asked.root, HostOverlay) and _kernel(os.uname().release) < _MAPPED_LAYERS:
        mapper.works, mapper.why = False, f"Linux {os.uname().release} cannot map owners in an overlay"
    else:
        mapper.try_on(_places(asked))
    if not mapper.works and not asked.as_root:
        fix = "build on a file system and kernel (5.19 or later) that can, or set runtime.build_as_root: true"
        raise OSError(f"cannot keep the build from being root on the host: {mapper.why}: {fix}")
    root = _Making(asked, mapper).root()
    if not mapper.works:
        root.notes.insert(0, f"{mapper.why}: this build is root on the host too, with few capabilities")
    return root


class _Mapper:
    """Maps owners, if every file system that is involved can do it; all or none, as root is one user."""

    def __init__(self, owners_fd: int, first_id: int) -> None:
        self._owners_fd = owners_fd
        self.first_id = first_id
        self.works = True
        self.why = ""

    def try_on(self, places: Sequence[Path]) -> None:
        for place in places:
            with mount_api.clone_tree(place, recursive=False, follow=True) as tree:
                try:
                    mount_api.map_owners(tree, self._owners_fd)
                except SyscallError as error:
                    if error.errno not in _CANNOT_MAP:
                        raise
                    self.works, self.why = False, f"the file system of {place} cannot map owners"
                    return

    def apply(self, tree: MountTree) -> None:
        if self.works:
            mount_api.map_owners(tree, self._owners_fd)

    def host_ids(self) -> HostIds:
        return HostIds(self.first_id, self.first_id) if self.works else HostIds(0, 0)

    @contextmanager
    def as_root_inside(self) -> Iterator[None]:
        """Be root inside on the file system, with the rights of root outside: who mounts an overlay writes through it.

        Else its own directories would belong to somebody whom the layers' map does not know (EOVERFLOW).
        """
        if not self.works:
            yield
            return
        libc.syscall("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0, purpose="keep capabilities over setuid")
        os.setresgid(-1, self.first_id, -1)
        os.setresuid(-1, self.first_id, -1)
        try:
            yield
        finally:
            os.setresuid(-1, 0, -1)
            os.setresgid(-1, 0, -1)
            libc.syscall("prctl", _PR_SET_SECUREBITS, 0, 0, 0, 0, purpose="let setuid clear capabilities")


def _places(asked: Order) -> tuple[Path, ...]:
    base = asked.root.base if isinstance(asked.root, HostOverlay) else asked.root.path
    essential = [Path(entry.mount_point) for entry in _mounts_below(base) if _inside(base, entry) in _ESSENTIAL]
    return (base, *essential, asked.scratch, *(host for host, _ in (*asked.writable, *asked.readable)))


class _Making:
    def __init__(self, asked: Order, mapper: _Mapper) -> None:
        self._asked = asked
        self._mapper = mapper
        self._scratch = asked.scratch
        self._notes: list[str] = []
        self._numbers = iter(range(1 << 30))

    def root(self) -> Root:
        wanted = self._asked.root
        fd = self._host_overlay(wanted) if isinstance(wanted, HostOverlay) else self._tree(wanted)
        for host, inside in self._asked.writable:
            self._bind(fd, host, inside)
        for host, inside in self._asked.readable:
            self._bind(fd, host, inside, _READ_ONLY)
        self._kernels_own(fd)
        return Root(fd, self._mapper.works, self._notes)

    # -- the host, overlaid --

    def _host_overlay(self, wanted: HostOverlay) -> int:
        self._scratch_that_takes_layers()
        view = host_view.look(wanted.base, (*wanted.hidden, self._scratch), self._asked.files)
        mounts = _mounts_below(wanted.base)
        top = self._overlay(wanted.base, view, "")
        attached = self._attach_aside(top)
        emptied: list[str] = []
        for entry in mounts:
            inside = _inside(wanted.base, entry)
            if any(inside.startswith(f"{above}/") for above in emptied) or not view.shows(inside):
                continue
            if os.path.isdir(entry.mount_point) and not self._overlay_below(attached, entry, inside, view):
                emptied.append(inside)
                self._show_empty(attached, entry, inside)
        return attached

    def _overlay_below(self, root_fd: int, entry: MountEntry, inside: str, view: host_view.View) -> bool:
        """Overlay one more file system of the host, such as /usr of its own; False if it cannot be a layer.

        Raises:
            OSError: it cannot, and no build can do without it.
        """
        try:
            overlay = self._overlay(Path(entry.mount_point), view, inside)
        except SyscallError as error:
            if error.errno not in _CANNOT_MAP or inside in _ESSENTIAL:
                raise
            return False
        with overlay as tree:
            place = rootfs.open_place(root_fd, inside)
            try:
                mount_api.attach_to_fd(tree, place)
            finally:
                os.close(place)
        return True

    def _show_empty(self, root_fd: int, entry: MountEntry, inside: str) -> None:
        why = f"{entry.filesystem} cannot be shown to a build"
        self._notes.append(f"{inside} is an empty directory here: {why}")
        own = self._scratch / f"empty-{next(self._numbers)}"
        own.mkdir()
        own.chmod(0o755)
        self._bind(root_fd, own, inside)

    def _overlay(self, lower: Path, view: host_view.View, inside: str) -> MountTree:
        """Return an overlay, not yet attached, over the one mount `lower`, which is at `inside`."""
        layers = self._scratch / f"layers-{next(self._numbers)}"
        for name in ("lower", "disk", "disk/upper", "disk/work"):
            (layers / name).mkdir(mode=0o755, parents=True)
        view.fill(layers / "disk/upper", inside)
        self._attach_mapped(lower, layers / "lower")
        self._attach_mapped(layers / "disk", layers / "disk")
        places = ("lower", "disk/upper", "disk/work")
        fds = [os.open(layers / place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for place in places]
        names = [f"/proc/self/fd/{fd}" for fd in fds]
        options = {
            "lowerdir": names[0], "upperdir": names[1], "workdir": names[2],
            # What is thrown away needs no fsync; what is copied up, is copied whole.
            "volatile": "", "redirect_dir": "off", "index": "off", "metacopy": "off", "xino": "off",
        }  # fmt: skip
        try:
            with self._mapper.as_root_inside():
                return mount_api.new_filesystem("overlay", options, _INSIDE)
        finally:
            for fd in fds:
                os.close(fd)

    def _attach_mapped(self, source: Path, at: Path) -> None:
        with mount_api.clone_tree(source, recursive=False, follow=True) as tree:
            self._mapper.apply(tree)
            mount_api.attach(tree, at)

    def _scratch_that_takes_layers(self) -> None:
        """Use memory where the disk can hold no layer of an overlay, being one itself or on a network."""
        kind = _filesystem_of(self._scratch)
        if kind not in _NO_UPPER and not kind.startswith("fuse"):
            return
        self._notes.append(f"{self._scratch} is on {kind}, which can be no layer: what is written counts as memory")
        with mount_api.new_filesystem("tmpfs", {"mode": "700"}, _INSIDE) as tree:
            mount_api.attach(tree, self._scratch)

    # -- a tree of ours --

    def _tree(self, wanted: TreeRoot) -> int:
        with mount_api.clone_tree(wanted.path, recursive=False) as tree:
            self._mapper.apply(tree)
            mount_api.set_attributes(tree, _INSIDE)
            fd = self._attach_aside(tree)
        for inside, mode in PRIVATE:
            own = self._scratch / f"private-{next(self._numbers)}"
            own.mkdir()
            own.chmod(mode)
            self._bind(fd, own, inside)
        for inside, text in self._asked.files.items():
            self._bind_file(fd, inside, text)
        return fd

    def _bind_file(self, root_fd: int, inside: str, text: str) -> None:
        source = self._scratch / f"file-{next(self._numbers)}"
        source.write_text(text)
        source.chmod(0o644)
        self._bind(root_fd, source, inside, _READ_ONLY)

    # -- both --

    def _attach_aside(self, tree: MountTree) -> int:
        place = self._scratch / "root"
        place.mkdir()
        mount_api.attach(tree, place)
        fd, tree.fd = tree.fd, -1
        return fd

    def _bind(self, root_fd: int, host: Path, inside: str, attributes: MountAttribute = _INSIDE) -> None:
        with mount_api.clone_tree(host, recursive=False) as tree:
            self._mapper.apply(tree)
            mount_api.set_attributes(tree, attributes)
            place = self._place(root_fd, inside, directory=rootfs.is_directory(tree.fd))
            try:
                mount_api.attach_to_fd(tree, place)
            finally:
                os.close(place)

    def _place(self, root_fd: int, inside: str, *, directory: bool) -> int:
        """Open where to mount, making what is missing."""
        parent, _, name = inside.rpartition("/")
        with self._mapper.as_root_inside():
            if directory:
                return rootfs.open_directory(root_fd, inside)
            parent_fd = rootfs.open_directory(root_fd, parent or "/")
            try:
                rootfs.make_mount_point(parent_fd, name, inside, directory=False)
            finally:
                os.close(parent_fd)
        return rootfs.open_place(root_fd, inside)

    def _kernels_own(self, root_fd: int) -> None:
        ids = self._mapper.host_ids()
        for inside in ("/dev", "/proc"):
            os.close(self._place(root_fd, inside, directory=True))
        own = [op for op in compile_base(ids, str(self._scratch)) if isinstance(op, _KERNELS_OWN)]
        dev = MountTmpfs("/dev", _DEV_BYTES, 0o755, ids.uid, ids.gid, MountAttribute.NOSUID)
        shm = MountTmpfs("/dev/shm", _SHM_BYTES, 0o1777, ids.uid, ids.gid, _INSIDE)
        ops: list[Op] = [dev, *own, shm]
        Builder(os.dup(root_fd)).carry_out(ops)


def _kernel(release: str) -> tuple[int, int]:
    """Return the version of a kernel.

    >>> _kernel("6.1.0-18-amd64"), _kernel("5.19+")
    ((6, 1), (5, 19))
    """
    major, minor, *_ = re.findall(r"\d+", release)
    return int(major), int(minor)


def _mounts_below(base: Path) -> list[MountEntry]:
    """Return the file systems mounted below `base`, as they are seen: of several at one place the last, outer first."""
    at: dict[str, MountEntry] = {}
    prefix = str(base).rstrip("/") + "/"
    for entry in mountinfo.parse(mountinfo.decode(Path("/proc/self/mountinfo").read_bytes())):
        if entry.mount_point.startswith(prefix) and entry.mount_point != prefix:
            at[entry.mount_point] = entry
    return [at[point] for point in sorted(at, key=lambda point: (point.count("/"), point))]


def _inside(base: Path, entry: MountEntry) -> str:
    return "/" + os.path.relpath(entry.mount_point, base)


def _filesystem_of(path: Path) -> str:
    """Return the type of the file system that `path` is on."""
    real = str(path.resolve()) + "/"
    best = ("", "")
    for entry in mountinfo.parse(mountinfo.decode(Path("/proc/self/mountinfo").read_bytes())):
        point = entry.mount_point.rstrip("/") + "/"
        if real.startswith(point) and len(point) >= len(best[0]):
            best = (point, entry.filesystem)
    return best[1]
