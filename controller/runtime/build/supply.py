"""Shared libraries that installed packages need and do not bring: fetched from where the build has them.

That is the root of a Debian build, in which more is unpacked than is wanted, or this host, for a tree of its files.
Wheels, for one, expect libstdc++ of whoever runs them. A library that is nowhere is not made up for.
Never here: libraries of other parts of the tree, which their packages are to name.
"""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from api.packages import runtime_yaml
from api.packages.links import ISOLATED
from controller.runtime import ldcache
from controller.runtime.build import carry
from controller.runtime.build.roots import HOST, Root
from controller.runtime.closure import MissingLibrary, closure
from controller.runtime.health import libraries

_OF_PACKAGES = re.compile(r"/(?:site-packages|dist-packages|node_modules)/")
_MISSING = re.compile(r" needs ([\w.+-]+), which ")
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
    manifest = runtime_yaml.load((payload / "runtime.yml").read_bytes())
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
    carry.refuse_links(root.path, ("usr/lib",))
    moved = []
    for directory in sorted((root.path / "usr/lib").glob("*-linux-gnu*")):
        at = directory / name
        while os.path.lexists(at) and not directory.is_symlink():
            target = os.readlink(at) if at.is_symlink() else ""
            relative = at.relative_to(root.path)
            if not (tree / relative).parent.is_dir():
                break
            os.rename(at, tree / relative)
            moved.append(str(relative))
            if not target or "/" in target:
                break
            at = directory / target
    return moved


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
    copied = []
    for called, path in sorted(needed.items()):
        if libc is not None and not os.path.lexists(libc / called):
            shutil.copyfile(path, libc / called)
            (libc / called).chmod(0o755)
            copied.append(str((libc / called).relative_to(tree)))
    return copied


def _libc_directory(tree: Path) -> Path | None:
    """Return where the tree has its libraries."""
    return next(
        (path.parent for path in sorted(tree.glob("usr/lib/*/libc.so.6")) + sorted(tree.glob("lib/*/libc.so.6"))), None
    )
