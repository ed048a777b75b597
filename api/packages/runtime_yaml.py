"""Reads a runtime.yml: every problem at once, each with its line and column.

Pure: takes the bytes, gives a `Manifest`. Never here: whether the sources it names exist.
Invariant: what is returned keeps the promises of `manifest.py`; scalars are the author's own text.
"""

import posixpath
import re
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from api.packages import yaml_nodes
from api.packages.manifest import (
    PACKAGE_TOOLS,
    InvalidManifest,
    Manifest,
    Mount,
    PackageManager,
    Problem,
    Requirements,
)
from api.packages.yaml_nodes import Mapping, Node, Scalar, Sequence

_TYPES = ("system", "managed", "static", "language-runtime")
_IGNORED = frozenset({"libraries", "build_info", "original_yaml", "schema_version"})
_NEVER_TAKEN = ("/proc", "/tmp", "/etc/resolv.conf")
_REFUSED = ("/sys", "/dev", "/work", "/volumes")
_TOOLS = ", ".join(sorted(PACKAGE_TOOLS))
_ENV_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MAX_ENV_BYTES = 32768
_MAX_DESCRIPTION = 256
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMGT]i?B?|B)?", re.IGNORECASE)
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


@lru_cache(maxsize=4096)  # As many as a host may hold: every look at its trees reads them all.
def load(text: bytes) -> Manifest:
    """Return what the runtime.yml `text` says.

    Raises:
        InvalidManifest: it cannot be used; carries every problem found.
    """
    root = yaml_nodes.read(text)
    if not isinstance(root, Mapping):
        message = "it is empty" if root is None else "it must be a mapping of fields, such as name and mounts"
        raise InvalidManifest((Problem(1, 1, message),))
    reader = _Reader()
    manifest = reader.manifest(root)
    if reader.problems:
        raise InvalidManifest(tuple(sorted(reader.problems, key=lambda problem: (problem.line, problem.column))))
    return manifest


def memory_bytes(text: str) -> int:
    """Return how many bytes `text` means, such as 512MB.

    >>> memory_bytes("512MB"), memory_bytes("1.5Gi")
    (512000000, 1610612736)

    Raises:
        ValueError: it is no amount of memory.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'cannot read "{text}" as memory: use 512MB, 2GB or 1Gi')
    unit = (match[2] or "").upper().rstrip("B")
    power = " KMGT".index(unit[0]) if unit else 0
    return int(float(match[1]) * (1024 if unit.endswith("I") else 1000) ** power)


@dataclass
class _Reader:
    """Collects what is wrong while fields are read; reads on after each problem."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def manifest(self, root: Mapping) -> Manifest:
        known: dict[str, Any] = {}
        readers = {
            "name": self.text, "version": self.text, "type": self.type, "description": self.description,
            "language": self.text, "language_version": self.text, "mounts": self.mounts,
            "environment": self.environment, "requirements": self.requirements,
            "package_manager": self.package_manager, "packages": self.texts,
        }  # fmt: skip
        bad = set()
        for key, value in self.pairs(root):
            before = len(self.problems)
            if key.text in readers:
                known[key.text] = readers[key.text](value, key.text)
                bad |= {key.text} if len(self.problems) > before else set()
            elif key.text not in _IGNORED:
                why = "no longer used" if key.text == "init" else "not a field of runtime.yml"
                self.warn(key, f"{key.text} is {why}: ignored")
        for required in ("name", "mounts"):
            if not known.get(required) and required not in bad:
                self.problem(root, f"{required} is missing or empty: a runtime needs its name and what it mounts")
        path_prepend = dict(known.get("environment") or ()).get("PATH_PREPEND", "")
        variables = {k: v for k, v in (known.get("environment") or {}).items() if k != "PATH_PREPEND"}
        known["environment"] = MappingProxyType(variables)
        known.setdefault("name", "")
        known.setdefault("mounts", ())
        return Manifest(**known, path_prepend=path_prepend, warnings=tuple(self.warnings))

    # Fields.

    def mounts(self, node: Node, where: str) -> tuple[Mount, ...]:
        found: dict[str, Mount] = {}
        result = []
        for number, item in enumerate(self.items(node, where)):
            mount = self.mount(item, f"{where}[{number}]")
            if mount is None:
                continue
            twin = found.setdefault(mount.target, mount)
            if twin is not mount and not (twin.selective and mount.selective):
                self.problem(item, f"{where}[{number}]: {mount.target} is mounted twice: drop one of them")
            result.append(mount)
        return tuple(result)

    def mount(self, node: Node, where: str) -> Mount | None:
        before = len(self.problems)
        known: dict[str, Any] = {}
        readers = {"source": self.source, "target": self.target, "readonly": self.flag, "selective": self.names}
        for key, value in self.pairs(node, where):
            if key.text in readers:
                known[key.text] = readers[key.text](value, f"{where}.{key.text}")
            else:
                self.warn(key, f"{where}.{key.text} is not a field of a mount: ignored")
        for required in ("source", "target"):
            if required not in known and len(self.problems) == before:
                self.problem(node, f"{where}.{required} is missing")
        if len(self.problems) > before or not known["target"]:
            return None
        return Mount(**known)

    def source(self, node: Node, where: str) -> str:
        text = self.text(node, where)
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if text.startswith("/") or ".." in parts or "\0" in text:
            self.problem(node, f'{where}: "{text}" leaves the tree of the runtime: use a path inside it, without ".."')
        elif not parts:
            self.problem(node, f"{where} is empty: name a directory or file of the runtime")
        return "/".join(parts)

    def target(self, node: Node, where: str) -> str:
        """Return the target, or "" for one that is never taken, which is only warned of."""
        text = self.text(node, where)
        target = posixpath.normpath("/" + text.lstrip("/"))
        if not text.startswith("/") or ".." in text.split("/") or "\0" in text:
            self.problem(node, f'{where}: "{text}" is not an absolute path without ".."')
        elif target == "/" or _is_at_or_below(target, _REFUSED):
            self.problem(node, f"{where}: {target} belongs to the sandbox: mount somewhere else")
        elif _is_at_or_below(target, _NEVER_TAKEN):
            self.warn(node, f"{where}: {target} is never taken from a runtime: this mount is ignored")
            return ""
        return target

    def environment(self, node: Node, where: str) -> dict[str, str]:
        result = {}
        for key, value in self.pairs(node, where):
            text = self.text(value, f"{where}.{key.text}")
            if not _ENV_NAME.fullmatch(key.text):
                self.problem(key, f'{where}: "{key.text}" is not a name of a variable: use letters, digits and "_"')
            elif len(text.encode()) > _MAX_ENV_BYTES or "\0" in text:
                self.problem(value, f"{where}.{key.text}: use at most {_MAX_ENV_BYTES} bytes and no NUL")
            elif key.text.startswith("JOB_"):
                self.warn(key, f"{where}.{key.text}: JOB_ names belong to jobs: ignored")
            else:
                result[key.text] = text
        return result

    def requirements(self, node: Node, where: str) -> Requirements:
        known: dict[str, Any] = {}
        for key, value in self.pairs(node, where):
            if key.text in ("min_memory", "recommended_memory"):
                known[f"{key.text}_bytes"] = self.memory(value, f"{where}.{key.text}")
            elif key.text == "architectures":
                known["architectures"] = self.texts(value, f"{where}.architectures")
            elif key.text not in ("gpu", "cuda_version"):
                self.warn(key, f"{where}.{key.text} is not a known requirement: ignored")
        return Requirements(**known)

    def package_manager(self, node: Node, where: str) -> PackageManager | None:
        known, places = {}, {}
        for key, value in self.pairs(node, where):
            if key.text in ("type", "cache_volume"):
                known[key.text], places[key.text] = self.text(value, f"{where}.{key.text}"), value
            else:
                self.warn(key, f"{where}.{key.text} is not a field of it: ignored")
        if not known.get("type"):
            self.problem(node, f"{where}.type is missing: name the tool, such as pip")
            return None
        manager = PackageManager(**known)
        # Warnings, as trees that were installed before would not be usable any more.
        if manager.type.lower() not in PACKAGE_TOOLS:
            told = "jobs have the volume, and no variable tells the tool of it" if manager.volume else "ignored"
            self.warn(places["type"], f'{where}.type: "{manager.type}" is none of {_TOOLS}: {told}')
        if manager.cache_volume and not manager.has_usable_name:
            why = f'"{manager.cache_volume:.80}" is no name of a volume: each run has an empty cache of its own'
            fix = "use letters, digits and ._- after a letter or digit, 63 at most; shared: before it shares the volume"
            self.warn(places["cache_volume"], f"{where}.cache_volume: {why}: {fix}")
        return manager

    def type(self, node: Node, where: str) -> str:
        text = self.text(node, where)
        if text not in _TYPES:
            self.warn(node, f'{where}: "{text}" is not a known type: treated as system')
            return "system"
        return text

    def description(self, node: Node, where: str) -> str:
        text = self.text(node, where)
        if len(text) > _MAX_DESCRIPTION:
            self.warn(node, f"{where} has {len(text)} characters: cut at {_MAX_DESCRIPTION}")
        return text[:_MAX_DESCRIPTION]

    # Shapes.

    def pairs(self, node: Node, where: str = "") -> tuple[tuple[Scalar, Node], ...]:
        if isinstance(node, Scalar) and not node.text:
            return ()
        if not isinstance(node, Mapping):
            self.problem(node, f"{where} must be a mapping")
            return ()
        seen: dict[str, Scalar] = {}
        for key, _ in node.pairs:
            first = seen.setdefault(key.text, key)
            if first is not key:
                self.problem(key, f"{key.text} is there twice, first in line {first.line}")
        return node.pairs

    def items(self, node: Node, where: str) -> tuple[Node, ...]:
        if isinstance(node, Scalar) and not node.text:
            return ()
        if not isinstance(node, Sequence):
            self.problem(node, f"{where} must be a list")
            return ()
        return node.items

    def text(self, node: Node, where: str) -> str:
        if isinstance(node, Scalar):
            return node.text
        self.problem(node, f"{where} must be a text")
        return ""

    def texts(self, node: Node, where: str) -> tuple[str, ...]:
        return tuple(self.text(item, f"{where}[{number}]") for number, item in enumerate(self.items(node, where)))

    def names(self, node: Node, where: str) -> tuple[str, ...]:
        names = self.texts(node, where)
        for name in names:
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                self.problem(node, f'{where}: "{name}" is not the name of an entry of the source')
        return names

    def flag(self, node: Node, where: str) -> bool:
        text = self.text(node, where)
        if text.lower() not in _TRUE | _FALSE:
            self.problem(node, f'{where}: "{text}" is neither true nor false')
        return text.lower() not in _FALSE

    def memory(self, node: Node, where: str) -> int | None:
        text = self.text(node, where)
        try:
            return memory_bytes(text)
        except ValueError as error:
            self.problem(node, f"{where}: {error}")
            return None

    def problem(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.line, node.column, message))

    def warn(self, node: Node, message: str) -> None:
        self.warnings.append(Problem(node.line, node.column, message))


def _is_at_or_below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)
