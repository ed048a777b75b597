"""Making places in a root whose mounts may be read-only and lack them: empty files, directories and links.

What lies in a mount that can be written is made there. A directory of a read-only mount is covered by itself with what
is added to it: an overlay of two layers, both only read. Invariant: no mount is changed; what was mounted below a
directory that is covered is there again.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from controller.linux import mount_api, mountinfo
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.sandbox import rootfs

_READ_ONLY = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV
_LAYER = MountAttribute.NOSUID | MountAttribute.NODEV
_LAYER_BYTES = 1 << 20
_ASIDE = "/tmp"  # A directory of every sandbox, for a layer to be mounted on for a moment.


@dataclass(slots=True)
class _Added:
    """What a directory of a read-only mount is to have besides, by path relative to it: None for a directory."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


def make(
    root_fd: int, files: Iterable[str], directories: Iterable[str], links: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """Make what is not there; return the directories that were covered, as the root names them.

    Args:
        root_fd: the root, which is this process' own by now.

    Raises:
        OSError: something cannot be made.
    """
    lacking: dict[str, _Added] = {}
    for path in files:
        if place := _make(root_fd, path, "file"):
            lacking.setdefault(place[0], _Added()).files.append(place[1])
    for path in directories:
        if place := _make(root_fd, path, "directory"):
            lacking.setdefault(place[0], _Added()).directories.append(place[1])
    for path, points_to in links:
        if place := _make(root_fd, path, points_to, link=True):
            lacking.setdefault(place[0], _Added()).links.append((place[1], points_to))
    merged = _merged(lacking)
    for place_, added in merged.items():
        _cover(root_fd, place_, added)
    return tuple(merged)


def _make(root_fd: int, path: str, what: str, *, link: bool = False) -> tuple[str, str] | None:
    """Make one; where a read-only mount lacks it, return the directory there is and the path from it instead."""
    parent, _, name = path.rpartition("/")
    try:
        parent_fd = rootfs.open_directory(root_fd, parent or "/")
        try:
            if link:
                os.symlink(what, name, dir_fd=parent_fd)
            else:
                rootfs.make_mount_point(parent_fd, name, path, directory=what == "directory")
        finally:
            os.close(parent_fd)
    except FileExistsError:
        return None
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return _nearest(root_fd, path)
    return None


def _nearest(root_fd: int, path: str) -> tuple[str, str]:
    above, _, below = path.rpartition("/")
    while True:
        try:
            fd = rootfs.open_place(root_fd, above or "/")
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            above, _, name = above.rpartition("/")
            below = f"{name}/{below}"
            continue
        try:
            return os.readlink(f"/proc/self/fd/{fd}"), below
        finally:
            os.close(fd)


def _merged(lacking: dict[str, _Added]) -> dict[str, _Added]:
    """Return it with what is below another directory that is covered added to that."""
    merged: dict[str, _Added] = {}
    for place, added in sorted(lacking.items()):
        above = next((one for one in merged if place.startswith(f"{one}/")), None)
        if above is None:
            merged[place] = added
            continue
        prefix = place.removeprefix(f"{above}/")
        merged[above].files += [f"{prefix}/{path}" for path in added.files]
        merged[above].directories += [f"{prefix}/{path}" for path in added.directories]
        merged[above].links += [(f"{prefix}/{path}", points_to) for path, points_to in added.links]
    return merged


def _cover(root_fd: int, place: str, added: _Added) -> None:
    with ExitStack() as stack:
        place_fd = rootfs.open_place(root_fd, place)
        stack.callback(os.close, place_fd)
        below = [(path, stack.enter_context(mount_api.clone_tree(path))) for path in _mounts_below(place)]
        layer = stack.enter_context(mount_api.new_filesystem("tmpfs", {"size": str(_LAYER_BYTES)}, _LAYER))
        _fill(layer.fd, added)
        _look_like(layer.fd, place_fd)
        aside_fd = rootfs.open_place(root_fd, _ASIDE)
        stack.callback(os.close, aside_fd)
        mount_api.attach_to_fd(layer, aside_fd)  # Layers of an overlay have to be mounted somewhere.
        try:
            layers = {"lowerdir": f"/proc/self/fd/{layer.fd}:/proc/self/fd/{place_fd}"}
            covered = stack.enter_context(mount_api.new_filesystem("overlay", layers, _READ_ONLY))
        finally:
            mount_api.unmount(_ASIDE, lazy=True)
        mount_api.attach_to_fd(covered, place_fd)
        for path, tree in below:
            mount_api.attach(tree, path)


def _mounts_below(place: str) -> Iterator[str]:
    """Return the uppermost mounts below the directory `place`; what is mounted on them comes with them."""
    with open("/proc/self/mountinfo", "rb") as file:
        entries = mountinfo.parse(mountinfo.decode(file.read()))
    found: list[str] = []
    for path in sorted({entry.mount_point for entry in entries}):
        if path.startswith(f"{place.rstrip('/')}/") and not any(path.startswith(f"{above}/") for above in found):
            found.append(path)
    return iter(found)


def _fill(layer_fd: int, added: _Added) -> None:
    for path in added.directories:
        os.close(rootfs.open_directory(layer_fd, f"/{path}"))
    for path in added.files:
        parent_fd, name = _parent(layer_fd, path)
        try:
            rootfs.make_mount_point(parent_fd, name, path, directory=False)
        finally:
            os.close(parent_fd)
    for path, points_to in added.links:
        parent_fd, name = _parent(layer_fd, path)
        try:
            os.symlink(points_to, name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)


def _parent(layer_fd: int, path: str) -> tuple[int, str]:
    parent, _, name = path.rpartition("/")
    return rootfs.open_directory(layer_fd, f"/{parent}"), name


def _look_like(layer_fd: int, place_fd: int) -> None:
    """Give a layer's top the owner and mode of the directory it covers: it is what is seen of both."""
    status = os.fstat(place_fd)
    top = f"/proc/self/fd/{layer_fd}"
    os.chown(top, status.st_uid, status.st_gid)
    os.chmod(top, stat.S_IMODE(status.st_mode))
