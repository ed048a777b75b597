"""versions.lock: what is in a finished tree, read back from the tree itself.

Python packages from their metadata, Node packages from their package.json, Debian packages as they were unpacked;
the hashes of their archives beside them. Never here: what was asked for, and anything of the host but its platform.
Invariant: the same tree gives the same text.
"""

import email.parser
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

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
    for metadata in _python_metadata(tree):
        if not metadata.resolve().is_relative_to(tree.resolve()):
            continue  # By way of a link to something of the host.
        fields = email.parser.HeaderParser().parsestr(metadata.read_text(errors="replace"))
        name = str(fields["Name"] or metadata.parent.name.partition("-")[0])
        sha256 = hashes.get(canonicalize_name(name), "")
        found.append(Package(name, str(fields["Version"] or ""), sha256))
    return tuple(sorted(set(found)))


def node_packages(tree: Path, hashes: Mapping[str, str]) -> tuple[Package, ...]:
    """Return the Node packages of `tree`, those within others too; `hashes` are npm's, by directory."""
    found = []
    for top in _NODE_DIRECTORIES:
        for manifest in _node_manifests(tree / top):
            try:
                fields = json.loads(manifest.read_bytes())
                name, version = str(fields["name"]), str(fields["version"])
            except (ValueError, KeyError, TypeError):
                continue  # Not of a package: some keep such files for other purposes.
            relative = manifest.parent.relative_to((tree / top).parent)
            found.append(Package(name, version, hashes.get(str(relative), "")))
    return tuple(sorted(set(found)))


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


def _python_metadata(tree: Path) -> Iterator[Path]:
    for top in _PYTHON_DIRECTORIES:
        for packages in ("site-packages", "dist-packages"):
            yield from _regular((tree / top).glob(f"python3*/{packages}/*.dist-info/METADATA"))
            yield from _regular((tree / top).glob(f"python3*/{packages}/*.egg-info/PKG-INFO"))
            yield from _regular((tree / top).glob(f"python3*/{packages}/*.egg-info"))


def _node_manifests(modules: Path) -> Iterator[Path]:
    """Yield the package.json of every package in a node_modules directory, and in those within them."""
    left = [modules]
    while left:
        at = left.pop()
        if not at.is_dir() or at.is_symlink():
            continue
        for name in sorted(os.listdir(at)):
            package = at / name
            if package.is_symlink() or not package.is_dir() or name.startswith("."):
                continue
            if name.startswith("@"):
                left.append(package)
                continue
            yield from _regular([package / "package.json"])
            left.append(package / "node_modules")


def _regular(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in sorted(paths) if path.is_file() and not path.is_symlink())
