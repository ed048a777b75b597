"""Shared libraries that installed packages need and do not bring: fetched from where the build has them.

That is the root of a Debian build, in which more is unpacked than is wanted, or this host, for a tree of its files.
Wheels, for one, expect libstdc++ of whoever runs them. A library that is nowhere is not made up for.
Never here: libraries of other parts of the tree, which their packages are to name.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from api.packages import runtime_yaml
from api.packages.links import ISOLATED
from controller.linux.bounded import read_bounded
from controller.runtime.binaries import ldcache
from controller.runtime.binaries.closure import MissingLibrary, closure
from controller.runtime.build import beneath
from controller.runtime.build.roots import HOST, Root
from controller.runtime.health import libraries
from controller.runtime.trees.tree import MANIFEST

_OF_PACKAGES = re.compile(r"/(?:site-packages|dist-packages|node_modules)/")
_MISSING = re.compile(r" needs ([\w.+-]+), which ")
_MULTIARCH = "-linux-gnu"
_ROUNDS = 4
_CACHE = Path("/etc/ld.so.cache")


@dataclass(frozen=True, slots=True)
class Supplied:
    """What was still missing in the end, as sentences, and the paths that were added to the tree."""

    missing: tuple[str, ...]
    added: tuple[str, ...]


def supply(payload: Path, root: Root, base: str) -> Supplied:
    """Add to the tree what its packages need, round by round, as what is added may need more.

    `base` is what the build began with; only of "host" are libraries of this host taken.
    """
    added: list[str] = []
    for _ in range(_ROUNDS):
        missing = _missing(payload, frozenset(added))
        names = sorted({name for line in missing for name in _MISSING.findall(line)})
        new = [path for name in names for path in _fetch(name, payload / ISOLATED, root, base)]
        if not new:
            break
        added += new
    return Supplied(_missing(payload, frozenset(added)), tuple(added))


def _missing(payload: Path, added: frozenset[str]) -> tuple[str, ...]:
    manifest = runtime_yaml.load(read_bounded(payload / MANIFEST))
    return tuple(
        line
        for line in libraries.missing(payload, manifest)
        if _OF_PACKAGES.search(line) or line.partition(" ")[0].lstrip("/") in added
    )


def _fetch(name: str, tree: Path, root: Root, base: str) -> Iterable[str]:
    if base == HOST:
        return _from_host(name, tree)
    return _from_root(name, tree, root)


def _from_root(name: str, tree: Path, root: Root) -> list[str]:
    """Move the library, and what it is a link to, out of the build's root."""
    moved = []
    for directory in (f"usr/lib/{found}" for found in beneath.names(root.path, "usr/lib") if _MULTIARCH in found):
        if beneath.is_directory(root.path, directory) and beneath.is_directory(tree, directory):
            with beneath.directory(root.path, directory) as source, beneath.directory(tree, directory) as target:
                moved += [f"{directory}/{taken}" for taken in _move(name, source, target)]
    return moved


def _move(name: str, source: int, target: int) -> Iterator[str]:
    """Move the file `name`, and that which it is a link to, from one directory to the other; yield their names."""
    while (status := _status(name, source)) is not None and not stat.S_ISDIR(status.st_mode):
        there = _status(name, target)
        if there is not None and stat.S_ISDIR(there.st_mode):
            return
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        yield name
        if not stat.S_ISLNK(status.st_mode):
            return
        name = os.readlink(name, dir_fd=target)
        if "/" in name:
            return


def _status(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _from_host(name: str, tree: Path) -> list[str]:
    """Copy the library, and all that it needs, from this host, as its loader finds them."""
    cache = ldcache.parse(_CACHE.read_bytes()) if _CACHE.exists() else {}
    found = next((Path(path) for path in cache.get(name, ()) if Path(path).is_file()), None)
    if found is None:
        return []
    try:
        needed = {name: found, **closure([found]).libraries}
    except MissingLibrary:
        return []
    libc = _libc_directory(tree)
    if libc is None:
        return []
    copied = []
    for called, path in sorted(needed.items()):
        if "/" not in called and beneath.status(tree, f"{libc}/{called}") is None:
            beneath.write(tree, f"{libc}/{called}", path.read_bytes(), 0o755)
            copied.append(f"{libc}/{called}")
    return copied


def _libc_directory(tree: Path) -> str | None:
    """Return where the tree has its libraries."""
    return next(
        (
            f"{top}/{name}"
            for top in ("usr/lib", "lib")
            if beneath.is_directory(tree, top)
            for name in beneath.names(tree, top)
            if beneath.is_directory(tree, f"{top}/{name}") and beneath.status(tree, f"{top}/{name}/libc.so.6")
        ),
        None,
    )
