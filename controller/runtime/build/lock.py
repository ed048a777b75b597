"""versions.lock: what is in a finished tree, read back from the tree itself.

Python packages from their metadata, Node packages from their package.json, Debian packages as they were unpacked, here
or for the runtime that the build began with, as they leave nothing to read; the hashes of their archives beside them.
Never here: what was asked for, and anything of the host but its platform; reading one (`lock_reading.py`).
Invariant: the same tree gives the same text.
"""

import email.parser
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from controller.engine.errors import TerminalError
from controller.runtime.build import beneath
from controller.runtime.trees.tree import VERSIONS_LOCK

NAME = VERSIONS_LOCK
"""What the file is called, beside the runtime.yml."""

_PYTHON_DIRECTORIES = ("usr/lib", "usr/local/lib")
_NODE_DIRECTORIES = ("usr/local/lib/node_modules", "usr/share/nodejs")
_IN_MODULES = re.compile(r"/node_modules/(?:@[^/]*/)?[^/.@][^/]*$")
_LONGEST = 1000
"""Characters of a name or a version; what is longer is no package's."""

_MOST_DIRECTORIES = 200_000
"""Of how many directories `everywhere` looks into; more are in no tree that people make."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package in the tree. `sha256` is of its archive, in npm's form for those of npm; empty where nobody said."""

    name: str
    version: str
    sha256: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What pip or npm said of what it installed: the hashes of the archives, by name or by directory.

    `loose` are packages of which a hash does not bind what came to be in the tree, `scripts` those that ran a script
    when they were installed; for a person.
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    loose: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()


class TooLarge(Exception):
    """There is too much in a tree to look at all of it."""


def python_packages(tree: Path, hashes: Mapping[str, str]) -> tuple[Package, ...]:
    """Return the Python packages of `tree`; `hashes` are those of their archives by canonical name."""
    found = (_python_package(tree, path, hashes) for path in python_metadata(tree))
    return tuple(sorted(set(found)))


def node_packages(tree: Path, hashes: Mapping[str, str]) -> tuple[Package, ...]:
    """Return the Node packages of `tree`, those within others too; `hashes` are npm's, by directory."""
    found: set[Package] = set()
    for top in _NODE_DIRECTORIES:
        for package in _node_packages(tree, top):
            relative = package.removeprefix(f"{top.rpartition('/')[0]}/")
            found.update(_node_package(tree, package, hashes.get(relative, "")))
    return tuple(sorted(found))


def everywhere(tree: Path) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    """Return the Python and the Node packages that lie anywhere in `tree`, as in the environments of venv and conda.

    Raises:
        TooLarge: it has too many directories to look into all of them.
    """
    python: set[Package] = set()
    node: set[Package] = set()
    left, looked = ["."], 0
    while left:
        at = left.pop()
        looked += 1
        if looked > _MOST_DIRECTORIES:
            raise TooLarge(f"it has more than {_MOST_DIRECTORIES} directories")
        names, directories = _inside(tree, at)
        python.update(_python_package(tree, path, {}) for path in _described_in(tree, at, names))
        if _IN_MODULES.search(at) and any(_file(tree, f"{at}/package.json")):
            node.update(_node_package(tree, at, ""))
        left += [f"{at}/{name}" for name in directories]
    return tuple(sorted(python)), tuple(sorted(node))


def with_hashes(packages: Iterable[Package], known: Iterable[Package]) -> tuple[Package, ...]:
    """Return `packages`; those of whose archive nobody said the hash with that of the same version in `known`."""
    hashes = {(canonicalize_name(each.name), each.version): each.sha256 for each in known}
    return tuple(
        each if each.sha256 else replace(each, sha256=hashes.get((canonicalize_name(each.name), each.version), ""))
        for each in packages
    )


def text(runtime: str, version: str, platform: str, language: str, groups: Mapping[str, Iterable[Package]]) -> str:
    """Return the file: YAML, of which every text is JSON."""
    lines = [
        "metadata:",
        f"  runtime: {json.dumps(runtime)}",
        f"  version: {json.dumps(version)}",
        f"  platform: {json.dumps(platform)}",
        *([f"  language: {json.dumps(language)}"] if language else []),
    ]
    for group, packages in groups.items():
        listed = sorted(packages)
        lines.append(f"{group}:" if listed else f"{group}: []")
        lines += [f"  - {json.dumps(_fields(package))}" for package in listed]
    return "\n".join(lines) + "\n"


def _fields(package: Package) -> dict[str, str]:
    given = {
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "hash": package.sha256,
    }
    return {name: value for name, value in given.items() if value}


def python_metadata(tree: Path) -> Iterator[str]:
    """Yield the files that describe the Python packages of `tree`."""
    for top in _PYTHON_DIRECTORIES:
        for python in (name for name in _below(tree, top) if name.startswith("python3")):
            for packages in (f"{top}/{python}/{kind}" for kind in ("site-packages", "dist-packages")):
                yield from _described_in(tree, packages, _below(tree, packages))


def _described_in(tree: Path, packages: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        path = f"{packages}/{name}"
        if name.endswith(".dist-info"):
            yield from _file(tree, f"{path}/METADATA")
        elif name.endswith(".egg-info"):
            yield from _file(tree, path)
            yield from _file(tree, f"{path}/PKG-INFO")


def _python_package(tree: Path, metadata: str, hashes: Mapping[str, str]) -> Package:
    fields = email.parser.HeaderParser().parsestr(beneath.read(tree, metadata).decode(errors="replace"))
    name = str(fields["Name"] or metadata.split("/")[-2].partition("-")[0])[:_LONGEST]
    return Package(name, str(fields["Version"] or "")[:_LONGEST], hashes.get(canonicalize_name(name), ""))


def _node_package(tree: Path, package: str, sha256: str) -> list[Package]:
    """Return what a directory's package.json says; nothing if it is of no package, as some are for other purposes."""
    try:
        fields = json.loads(beneath.read(tree, f"{package}/package.json"))
        return [Package(str(fields["name"])[:_LONGEST], str(fields["version"])[:_LONGEST], sha256)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _node_packages(tree: Path, modules: str) -> Iterator[str]:
    """Yield the directory of every package in a node_modules directory, and in those within them."""
    left = [modules]
    while left:
        at = left.pop()
        for name in _below(tree, at):
            package = f"{at}/{name}"
            if name.startswith("."):
                continue
            if name.startswith("@"):
                left.append(package)
                continue
            if any(_file(tree, f"{package}/package.json")):
                yield package
            left.append(f"{package}/node_modules")


def _below(tree: Path, path: str) -> list[str]:
    """Return what is in a directory; nothing of one that is a link, or behind one: it is counted where it is."""
    try:
        return beneath.names(tree, path)
    except TerminalError:
        return []


def _file(tree: Path, path: str) -> list[str]:
    try:
        return [path] if beneath.is_file(tree, path) else []
    except TerminalError:
        return []


def _inside(tree: Path, path: str) -> tuple[list[str], list[str]]:
    """Return what is in a directory and which of it are directories; nothing of one whose path is too long to open."""
    try:
        with beneath.directory(tree, path) as fd, os.scandir(fd) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return [], []
    return [name for name, _ in found], [name for name, is_directory in found if is_directory]
