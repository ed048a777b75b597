"""Writing files into a root: what was gathered from the host, and the tree of another runtime, which is copied.

Copied, not linked: what runs in a root writes in place, and must not write in an installed runtime.
Invariant: nothing is written through a link; of a runtime that was changed since it was installed nothing is used.
"""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from api.packages.manifest import Mount
from api.packages.pack import Contents, Directory, Link
from controller.engine.errors import TerminalError
from controller.runtime.build.commands import BUILD_FAILED
from controller.runtime.trees import tree
from controller.runtime.trees.inventory import Inventory


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


def copy(stock: Inventory, mounts: tuple[Mount, ...], root: Path, place: Callable[[str], str | None]) -> frozenset[str]:
    """Copy what jobs in the runtime of `stock` see by its `mounts` to where they see it; return the paths written.

    Raises:
        TransientError: ParentNotReady, the runtime is not as it was installed.
    """
    copying = _Copying(stock, root, place)
    stock.file(tree.MANIFEST, stock.path / tree.MANIFEST)
    for mount in mounts:
        for name in mount.selective or ("",):
            target = f"{mount.target}/{name}" if name else mount.target
            source = os.path.normpath(f"{mount.source}/{name}")
            copying.run("" if source == "." else source, target.lstrip("/"))
    return frozenset(copying.written)


@dataclass(frozen=True, slots=True)
class _Copying:
    """Another runtime's tree on its way into a root."""

    stock: Inventory
    root: Path
    place: Callable[[str], str | None]
    written: set[str] = field(default_factory=set)

    def run(self, source: str, target: str) -> None:
        """Copy all of `source`, a path in the tree, to where jobs see it."""
        left = [(source, target)]
        while left:
            path, shown = left.pop()
            try:
                status = os.lstat(self.stock.path / path)
            except FileNotFoundError:
                self.stock.missing(path)
            if stat.S_ISDIR(status.st_mode):
                if path:
                    self.stock.directory(path)
                names = sorted(os.listdir(self.stock.path / path), reverse=True)
                left += [(os.path.join(path, name), f"{shown}/{name}") for name in names]
            else:
                self._copy(path, shown, status)
        self.stock.complete((source,))

    def _copy(self, path: str, shown: str, status: os.stat_result) -> None:
        inside, at = self.place(shown), self.stock.path / path
        room = _make_room(self.root, inside) if inside is not None else None
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(at)
            self.stock.link(path, target)
            if room is not None:
                room.symlink_to(target)
        elif room is None:
            self.stock.file(path, at)
        else:
            shutil.copyfile(at, room, follow_symlinks=False)
            self.stock.file(path, room)
            room.chmod(0o755 if status.st_mode & 0o111 else 0o644)
            _keep_time(at, room)
        if inside is not None:
            self.written.add(inside)


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
