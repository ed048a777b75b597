"""YAML text to a tree of nodes that remember where they stood, with every scalar a string.

PyYAML makes `version: 3.10` the number 3.1; here it stays the text "3.10". Refused before anything is
built: files over the size cap, aliases beyond a few, depth. Never here: what any key means.
Invariant: work and memory are linear in the size of the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from api.packages.manifest import InvalidManifest, Problem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_ALIASES = 16

# libyaml where the wheel has it: ten times faster, same nodes and marks.
_Loader: type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, and where it starts."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, and where it starts."""

    items: "tuple[Node, ...]"
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Pairs in the order of the file, keys perhaps repeated, and where it starts."""

    pairs: "tuple[tuple[Scalar, Node], ...]"
    line: int
    column: int


Node = Scalar | Sequence | Mapping


def read(text: bytes) -> Node | None:
    """Return the one document in `text`, or None if there is nothing in it.

    Raises:
        InvalidManifest: it is not YAML, more than one document, or beyond a cap.
    """
    if len(text) > MAX_BYTES:
        raise _invalid(0, 0, f"it has {len(text)} bytes: use at most {MAX_BYTES}")
    try:
        decoded = text.decode("utf-8")
        _check_caps(decoded)
        nodes = list(yaml.compose_all(decoded, Loader=_Loader))
    except UnicodeDecodeError as error:
        raise _invalid(0, 0, f"it is not UTF-8 text: byte {error.start} is 0x{text[error.start]:02x}") from None
    except yaml.MarkedYAMLError as error:
        where = _place(error.problem_mark or error.context_mark)
        raise _invalid(*where, f"it is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise _invalid(0, 0, f"it is not YAML: {' '.join(str(error).split())}") from None
    if len(nodes) > 1:
        raise _invalid(*_place(nodes[1].start_mark), "a second document starts here: use one per file")
    return _convert(nodes[0]) if nodes else None


def _check_caps(text: str) -> None:
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            what = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_ALIASES} aliases"
            raise _invalid(*_place(event.start_mark), f"{what}: write it out")


def _convert(root: yaml.Node) -> Node:
    """Return `root` as our nodes, refusing aliases inside what they point to and doubling by aliases."""
    budget = iter(range(MAX_BYTES))
    return _convert_one(root, budget, 0)


def _convert_one(node: yaml.Node, budget: Iterator[int], depth: int) -> Node:
    line, column = _place(node.start_mark)
    if next(budget, None) is None or depth > MAX_DEPTH:
        raise _invalid(line, column, "its aliases make it too large: write it out")
    if isinstance(node, yaml.ScalarNode):
        return Scalar(str(node.value), line, column)
    if isinstance(node, yaml.SequenceNode):
        return Sequence(tuple(_convert_one(item, budget, depth + 1) for item in node.value), line, column)
    pairs = []
    for key, value in node.value:
        name = _convert_one(key, budget, depth + 1)
        if not isinstance(name, Scalar):
            raise _invalid(name.line, name.column, "a key must be a plain text")
        pairs.append((name, _convert_one(value, budget, depth + 1)))
    return Mapping(tuple(pairs), line, column)


def _place(mark: Any) -> tuple[int, int]:
    """Return the line and column of a mark of either loader, counted from 1."""
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


def _invalid(line: int, column: int, message: str) -> InvalidManifest:
    return InvalidManifest((Problem(line, column, message),))
