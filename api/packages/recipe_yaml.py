"""Reads a recipe's manifest.yaml, in the released format of Joblet's runtimes: every problem with its line.

    name, version, description, platforms, packages; other fields, such as python_version, are kept as they are.

Pure: takes the bytes. Never here: the scripts beside it. Invariant: scalars are the author's own text.
"""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

from api.packages import yaml_nodes
from api.packages.manifest import InvalidManifest, Problem
from api.packages.yaml_nodes import Mapping, Node, Scalar, Sequence

_LISTS = ("platforms", "packages", "components", "features")
_TEXTS = ("name", "version", "description")


@dataclass(frozen=True, slots=True)
class RecipeManifest:
    """What a manifest.yaml says; `others` are the fields that only its scripts know."""

    name: str = ""
    version: str = ""
    description: str = ""
    platforms: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    others: MappingOf[str, str] = field(default_factory=dict)


def load(text: bytes) -> RecipeManifest:
    """Return what the manifest.yaml `text` says; what is missing is empty.

    Raises:
        InvalidManifest: it cannot be read; carries every problem found.
    """
    root = yaml_nodes.read(text)
    if not isinstance(root, Mapping):
        why = "it is empty" if root is None else "it must be a mapping of fields, such as name and version"
        raise InvalidManifest((Problem(1, 1, why),))
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    seen: dict[str, int] = {}
    for key, value in root.pairs:
        if key.text in seen:
            problems.append(Problem(key.line, key.column, f"{key.text} is there twice, first in line {seen[key.text]}"))
        seen.setdefault(key.text, key.line)
        if key.text in _LISTS:
            lists[key.text] = _texts(key.text, value, problems)
        elif isinstance(value, Scalar):
            texts[key.text] = value.text
        elif key.text in _TEXTS:
            problems.append(Problem(value.line, value.column, f"{key.text} must be a text"))
    if problems:
        raise InvalidManifest(tuple(problems))
    known = {name: texts.pop(name, "") for name in _TEXTS}
    return RecipeManifest(
        **known, platforms=lists.get("platforms", ()), packages=lists.get("packages", ()), others=texts
    )


def _texts(name: str, node: Node, problems: list[Problem]) -> tuple[str, ...]:
    if isinstance(node, Scalar) and not node.text:
        return ()
    if not isinstance(node, Sequence):
        problems.append(Problem(node.line, node.column, f"{name} must be a list"))
        return ()
    found = []
    for item in node.items:
        if isinstance(item, Scalar):
            found.append(item.text)
        else:
            problems.append(Problem(item.line, item.column, f"{name} must be a list of texts"))
    return tuple(found)
