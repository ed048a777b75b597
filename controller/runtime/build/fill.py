"""Writing files into a root: what was gathered from the host, and the tree of another runtime, which is copied.

Copied, not linked: what runs in a root writes in place, and must not write in an installed runtime.
Invariant: nothing is written through a link; what another has put there is not replaced.
"""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from api.packages.manifest import Mount
from api.packages.pack import Contents, Directory, Link
from controller.engine.errors import TerminalError
from controller.runtime.build.commands import BUILD_FAILED


def write(contents: Contents, below: str, root: Path, place: Callable[[str], str | None]) -> frozenset[str]:
    """Write what of `contents` is in the directory `below`; return the paths written.

    `place` says where a path goes in this root, or None where it is left out.
    """
    written = set()
    for path, (content, mode) in sorted(contents.entries.items()):
        inside = place(path.removeprefix(f"{below}/")) if path.startswith(f"{below}/") else None
        if inside is None:
            continue
        target = _make_room(root, inside)
        if isinstance(content, Link):
            target.symlink_to(content.target)
        elif isinstance(content, Directory):
            target.mkdir()
        elif isinstance(content, bytes):
            target.write_bytes(content)
            target.chmod(mode)
        else:
            shutil.copyfile(content, target)
            target.chmod(mode)
            _keep_time(content, target)
        written.add(inside)
    return frozenset(written)


def copy(tree: Path, mounts: tuple[Mount, ...], root: Path, place: Callable[[str], str | None]) -> frozenset[str]:
    """Copy what jobs in the runtime `tree` see by its `mounts` to where they see it; return the paths written."""
    written: set[str] = set()
    for mount in mounts:
        names = mount.selective or ("",)
        for name in names:
            source = tree / mount.source / name if name else tree / mount.source
            target = f"{mount.target}/{name}" if name else mount.target
            if not source.is_symlink():
                _copy_tree(source, target.lstrip("/"), root, place, written)
            elif (inside := place(target.lstrip("/"))) is not None:
                _make_room(root, inside).symlink_to(os.readlink(source))
                written.add(inside)
    return frozenset(written)


def _copy_tree(source: Path, target: str, root: Path, place: Callable[[str], str | None], written: set[str]) -> None:
    left = [(source, target)]
    while left:
        at, path = left.pop()
        found = at.lstat()
        if stat.S_ISDIR(found.st_mode):
            left += [(at / name, f"{path}/{name}") for name in sorted(os.listdir(at), reverse=True)]
            continue
        inside = place(path)
        if inside is None:
            continue
        room = _make_room(root, inside)
        if stat.S_ISLNK(found.st_mode):
            room.symlink_to(os.readlink(at))
        else:
            shutil.copyfile(at, room, follow_symlinks=False)
            room.chmod(0o755 if found.st_mode & 0o111 else 0o644)
            _keep_time(at, room)
        written.add(inside)


def _make_room(root: Path, inside: str) -> Path:
    """Return where `inside` is to be written: its directories made, what was there removed."""
    at = root
    *parents, name = inside.split("/")
    for part in parents:
        at = at / part
        if at.is_symlink() or (at.exists() and not at.is_dir()):
            raise TerminalError(BUILD_FAILED, f"cannot put /{inside} into the tree: {part} in its path is no directory")
        at.mkdir(exist_ok=True)
    target = at / name
    if target.is_symlink() or target.is_file():
        target.unlink()
    return target


def _keep_time(source: Path, target: Path) -> None:
    found = source.stat()
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
