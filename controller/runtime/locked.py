"""A versions.lock read again, and held against the tree that it is in, to see whether it is true.

Ours (`build/lock.py`), and those of Joblet's released packages, which told of the machine that packed them. Python and
Node packages are read back from the tree; Debian's leave nothing to read, so what is said of them is only repeated.
Invariant: a lock that cannot be read, or that names what is not there, is never called true.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from api.packages import yaml_nodes
from api.packages.links import ISOLATED
from api.packages.manifest import InvalidManifest
from api.packages.yaml_nodes import Mapping, Scalar, Sequence
from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.build import lock
from controller.runtime.build.lock import Package

DEBIAN, PYTHON, NODE = "debian_packages", "python_packages", "node_packages"
_ABOUT = "metadata"
_GROUP = re.compile(r"([a-z_]+):(?: \[\])?")
_MOST_SHOWN = 3

Groups = dict[str, tuple[Package, ...]]


@dataclass(frozen=True, slots=True)
class Locked:
    """What a versions.lock says, group by group, and `wrong`, how that is not what is in the tree."""

    groups: Groups
    wrong: str = ""

    def of(self, group: str) -> tuple[Package, ...]:
        """Return the packages of a group."""
        return self.groups.get(group, ())


def read(tree: Path) -> Locked | None:
    """Return what the versions.lock of `tree` says, held against the tree; None if it has none."""
    try:
        groups = parse(read_bounded(tree / lock.NAME))
        isolated = tree / ISOLATED
        is_one = isolated.is_dir() and not isolated.is_symlink()
        return Locked(groups, _wrong(groups, isolated if is_one else tree))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InvalidManifest, TerminalError) as error:
        return Locked({}, f"{lock.NAME} cannot be read: {error}")


def parse(text: bytes) -> Groups:
    """Return the packages that a versions.lock names, by group.

    >>> parse(b"python_packages:\\n  - {name: six, version: '=1.16.0'}\\n")["python_packages"]
    (Package(name='six', version='=1.16.0', sha256='', architecture=''),)

    Raises:
        ValueError, InvalidManifest: it is no YAML of that form.
    """
    found = _as_we_write(text.decode())
    if found is not None:
        return found
    root = yaml_nodes.read(text)
    if not isinstance(root, Mapping):
        raise ValueError("it is no mapping")
    return {
        key.text: tuple(_package(item) for item in value.items if isinstance(item, Mapping))
        for key, value in root.pairs
        if isinstance(value, Sequence)
    }


def _as_we_write(text: str) -> Groups | None:
    """Return what our own form says, which may be longer than YAML that others wrote; None if it is not that form."""
    groups: dict[str, list[Package]] = {}
    group = ""
    try:
        for line in text.splitlines():
            if line.startswith("  - "):
                fields = json.loads(line.removeprefix("  - "))
                groups[group].append(Package(*(str(fields.get(key, "")) for key in ("name", "version", "hash"))))
            elif found := _GROUP.fullmatch(line):
                group = found[1]
                groups[group] = []
            elif group != _ABOUT or not line.startswith("  "):
                return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {group: tuple(packages) for group, packages in groups.items()}


def _package(item: Mapping) -> Package:
    fields = {key.text: value.text for key, value in item.pairs if isinstance(value, Scalar)}
    return Package(fields.get("name", ""), fields.get("version", ""), fields.get("hash", ""))


def _wrong(groups: Groups, root: Path) -> str:
    """Say what a lock names that is not there, and the other way round; empty if it is right."""
    said = []
    for group, read_back in ((PYTHON, lock.python_packages), (NODE, lock.node_packages)):
        if group in groups:
            named, there = _versions(group, groups[group]), _versions(group, read_back(root, {}))
            said += [f"{name} {version} is not in the tree" for name, version in sorted(named - there)]
            said += [f"{name} {version} of the tree is not in it" for name, version in sorted(there - named)]
    if not said:
        return ""
    more = f" and {len(said) - _MOST_SHOWN} more" if len(said) > _MOST_SHOWN else ""
    return f"{lock.NAME} is not true: {', '.join(said[:_MOST_SHOWN])}{more}"


def _versions(group: str, packages: tuple[Package, ...]) -> set[tuple[str, str]]:
    return {(canonicalize_name(p.name) if group == PYTHON else p.name, p.version) for p in packages}
