"""The text of a versions.lock read again: the packages that it names, by group. Nowhere else is one read.

Ours (`lock.py`), and any YAML of that form, as Joblet's released packages have. Whether what it says is true of the
tree that it is in: `controller/runtime/locked.py`.
Invariant: what `lock.text` wrote is read as it was.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from api.packages import yaml_nodes
from api.packages.manifest import InvalidManifest
from api.packages.yaml_nodes import Mapping as YamlMapping
from api.packages.yaml_nodes import Scalar, Sequence
from controller.linux.bounded import read_bounded
from controller.runtime.build import lock
from controller.runtime.build.lock import Package

Groups = Mapping[str, tuple[Package, ...]]

_ABOUT = "metadata"
_GROUP = re.compile(r"([a-z_]+):(?: \[\])?")
_KEYS = ("name", "version", "hash", "architecture")


def of_base(tree: Path) -> Groups:
    """Return what the versions.lock of the runtime in `tree` names; nothing if it has none that can be read."""
    try:
        groups = parse(read_bounded(tree / lock.NAME))
    except (OSError, ValueError, InvalidManifest):
        return {}
    return {group: tuple(package for package in packages if package.name) for group, packages in groups.items()}


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
    if not isinstance(root, YamlMapping):
        raise ValueError("it is no mapping")
    return {
        key.text: tuple(_package(item) for item in value.items if isinstance(item, YamlMapping))
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
                groups[group].append(Package(*(str(fields.get(key, "")) for key in _KEYS)))
            elif found := _GROUP.fullmatch(line):
                group = found[1]
                groups[group] = []
            elif group != _ABOUT or not line.startswith("  "):
                return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {group: tuple(packages) for group, packages in groups.items() if group != _ABOUT}


def _package(item: YamlMapping) -> Package:
    fields = {key.text: value.text for key, value in item.pairs if isinstance(value, Scalar)}
    return Package(*(fields.get(key, "") for key in _KEYS))
