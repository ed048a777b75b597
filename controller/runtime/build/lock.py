"""versions.lock: what is in a finished tree, read back from the tree itself.

Python packages from their metadata, Node packages from their package.json, Debian packages as they were unpacked, here
or for the runtime that the build began with, as they leave nothing to read; the hashes of their archives beside them.
Never here: what was asked for, and anything of the host but its platform.
Invariant: the same tree gives the same text.
"""

import email.parser
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.build import beneath
from controller.runtime.trees.tree import VERSIONS_LOCK

NAME = VERSIONS_LOCK
"""What the file is called, beside the runtime.yml."""

_ITEM = "  - "
_PYTHON_DIRECTORIES = ("usr/lib", "usr/local/lib")
_NODE_DIRECTORIES = ("usr/local/lib/node_modules", "usr/share/nodejs")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package in the tree. `sha256` is of its archive, in npm's form for those of npm; empty where nobody said."""

    name: str
    version: str
    sha256: str = ""
    architecture: str = ""


def python_packages(tree: Path, hashes: Mapping[str, str]) -> tuple[Package, ...]:
    """Return the Python packages of `tree`; `hashes` are those of their archives by canonical name."""
    found = []
    for metadata in python_metadata(tree):
        fields = email.parser.HeaderParser().parsestr(beneath.read(tree, metadata).decode(errors="replace"))
        name = str(fields["Name"] or metadata.split("/")[-2].partition("-")[0])
        sha256 = hashes.get(canonicalize_name(name), "")
        found.append(Package(name, str(fields["Version"] or ""), sha256))
    return tuple(sorted(set(found)))


def node_packages(tree: Path, hashes: Mapping[str, str]) -> tuple[Package, ...]:
    """Return the Node packages of `tree`, those within others too; `hashes` are npm's, by directory."""
    found = []
    for top in _NODE_DIRECTORIES:
        for package in _node_packages(tree, top):
            try:
                fields = json.loads(beneath.read(tree, f"{package}/package.json"))
                name, version = str(fields["name"]), str(fields["version"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # Not of a package: some keep such files for other purposes.
            relative = package.removeprefix(f"{top.rpartition('/')[0]}/")
            found.append(Package(name, version, hashes.get(relative, "")))
    return tuple(sorted(set(found)))


def of_base(tree: Path) -> Mapping[str, tuple[Package, ...]]:
    """Return what the versions.lock of the runtime in `tree` says, by group, if it is of our form; else nothing."""
    try:
        lines = read_bounded(tree / NAME).decode().splitlines()
    except (OSError, ValueError):
        return {}
    found: dict[str, list[Package]] = {}
    group = ""
    for line in lines:
        if line and not line.startswith(" "):
            group = line.partition(":")[0]
        elif line.startswith(_ITEM) and (package := _package(line.removeprefix(_ITEM))):
            found.setdefault(group, []).append(package)
    return {name: tuple(packages) for name, packages in found.items()}


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
        lines += [f"{_ITEM}{json.dumps(_fields(package))}" for package in listed]
    return "\n".join(lines) + "\n"


def _package(item: str) -> Package | None:
    try:
        fields = json.loads(item)
        said = [fields.get(name, "") for name in ("name", "version", "hash", "architecture")]
    except (ValueError, AttributeError, RecursionError):
        return None
    return Package(*said) if all(isinstance(each, str) for each in said) and said[0] else None


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
                for name in _below(tree, packages):
                    path = f"{packages}/{name}"
                    if name.endswith(".dist-info"):
                        yield from _file(tree, f"{path}/METADATA")
                    elif name.endswith(".egg-info"):
                        yield from _file(tree, path)
                        yield from _file(tree, f"{path}/PKG-INFO")


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
