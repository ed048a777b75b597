"""Bytes of a manifest to documents that remember their lines. Pure.

YAML (several documents) and JSON are read alike, and `kind: List` is taken apart. What a scalar means
is said in `api.objects.scalars`. Refused, with line and column: what is no text, keys given twice, foreign tags, and
anything beyond a cap, before it costs memory. Never here: what a document means.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from api.caps import MOST_DEPTH, MOST_TEXT_BYTES, MOST_VALUES
from api.objects import scalars
from api.objects.scalars import NodeError

MOST_ALIASES = 1_000

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class InvalidText(Exception):
    """It cannot be read; `line` and `column` count from 1, the message is `CAUSE: FIX`."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        """Say what is wrong and where."""
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class _TooMuch(InvalidText):
    """It is beyond a cap, so nothing else of it is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """One document, and the lines of its fields."""

    document: Any
    line: int
    node: yaml.Node | None = None

    def line_of(self, field: str) -> int:
        """Return the line of a field such as `spec.env[0].name`, or of what is nearest above it."""
        return self.line if self.node is None else _descend(self.node, field, self.line)


def read(content: bytes) -> tuple[Parsed, ...]:
    """Return the documents in `content`, those of lists one by one; empty ones are left out.

    Raises:
        InvalidText: some of it cannot be read, so none of it counts.
    """
    text = _decode(content)
    if text.lstrip(" \t\r\n").startswith("{"):
        found = _read_json(text)
        if found is not None:
            return tuple(item for parsed in found for item in _items(parsed))
    return tuple(item for parsed in _read_yaml(text) for item in _items(parsed))


def _decode(content: bytes) -> str:
    if len(content) > MOST_TEXT_BYTES:
        raise InvalidText(f"it has {len(content)} bytes, the most is {MOST_TEXT_BYTES}: split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(content, error.start)
        what = f"byte 0x{content[error.start]:02x} is not UTF-8 text"
        raise InvalidText(f"{what}: save it as UTF-8", line, column) from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        raise InvalidText(f"control character 0x{ord(control[0]):02x}: remove it", line, column)
    return text


def _place(content: bytes, offset: int) -> tuple[int, int]:
    before = content[:offset]
    return before.count(b"\n") + 1, offset - (before.rfind(b"\n") + 1) + 1


def _read_json(text: str) -> list[Parsed] | None:
    """Return the JSON documents in `text`; None if it may be YAML in braces instead."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=scalars.finite)
    found: list[Parsed] = []
    start, index, left = 0, 0, MOST_VALUES
    nodes = _nodes_or_none(text)
    try:
        while (start := _skip_blank(text, index)) < len(text):
            document, index = decoder.raw_decode(text, start)
            left = _check_json(document, 1, left)
            node = nodes[len(found)] if nodes is not None and len(nodes) > len(found) else None
            found.append(Parsed(document, text.count("\n", 0, start) + 1, node))
    except json.JSONDecodeError as error:
        if text.lstrip()[1:].lstrip()[:1] == '"' and nodes is None:
            raise InvalidText(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.lineno, error.colno) from None
        return None
    except NodeError as error:
        raise InvalidText(error.message, text.count("\n", 0, start) + 1) from None
    except (ValueError, RecursionError) as error:
        raise InvalidText(f"not JSON that can be read: {error}", text.count("\n", 0, start) + 1) from None
    return found


def _nodes_or_none(text: str) -> Sequence[yaml.Node] | None:
    """Return the text's nodes, which know their lines, if it is YAML too; most JSON is."""
    try:
        return _compose(text)[0]
    except _TooMuch:
        raise
    except InvalidText:
        return None


def _skip_blank(text: str, index: int) -> int:
    while index < len(text) and text[index] in " \t\r\n":
        index += 1
    return index


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise NodeError(f'key "{twice[:60]}" is given twice: remove one', None)
    return made


def _no_constant(word: str) -> None:
    raise NodeError(f"{word} is no number that JSON has: write a number", None)


def _check_json(value: Any, depth: int, left: int) -> int:
    """Hold JSON that is no YAML to the same caps: of `left` values, keys among them, return how many are left."""
    left -= 1 + (len(value) if isinstance(value, dict) else 0)
    if left < 0:
        raise NodeError(f"more than {MOST_VALUES} values: split or flatten it", None)
    if depth > MOST_DEPTH:
        raise NodeError(f"more than {MOST_DEPTH} levels deep: flatten it", None)
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        left = _check_json(child, depth + 1, left)
    return left


def _read_yaml(text: str) -> list[Parsed]:
    nodes, as_text = _compose(text)
    building = scalars.Builder(as_text, MOST_VALUES, MOST_DEPTH)
    found = []
    for node in nodes:
        try:
            document = building.build(node)
        except NodeError as error:
            mark = (error.node or node).start_mark
            raise InvalidText(error.message, mark.line + 1, mark.column + 1) from None
        if document is not None:
            found.append(Parsed(document, _first_line(node), node))
    return found


def _first_line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _compose(text: str) -> tuple[Sequence[yaml.Node], frozenset[int]]:
    """Return the text's nodes, and where scalars stand that are tagged as text."""
    try:
        as_text = _check_caps(text)
        return list(yaml.compose_all(text, Loader=scalars.LOADER)), as_text
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidText(_explained(text, line, error), line, column) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidText(f"not YAML: {' '.join(str(error).split())}") from None


def _explained(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.split("\n")
    indentation = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())] if line <= len(lines) else ""
    if "\t" in indentation:
        return "a tab in the indentation: use spaces"
    context = f" {error.context}" if error.context else ""
    return f"not YAML: {error.problem or 'it ends too early'}{context}"


def _check_caps(text: str) -> frozenset[int]:
    nodes = aliases = depth = 0
    as_text = set()
    for event in yaml.parse(text, Loader=scalars.LOADER):
        mark = event.start_mark
        if mark is None:
            continue
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            aliases += isinstance(event, yaml.AliasEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.tag == scalars.TEXT_TAG:
            as_text.add(mark.index)
        for count, most, what in (
            (nodes, MOST_VALUES, "values"), (aliases, MOST_ALIASES, "aliases"), (depth, MOST_DEPTH, "levels"),
        ):  # fmt: skip
            if count > most:
                raise _TooMuch(f"more than {most} {what}: split or flatten it", mark.line + 1, mark.column + 1)
    return frozenset(as_text)


def _items(parsed: Parsed) -> Sequence[Parsed]:
    """Take a list of objects apart; anything else is itself."""
    document = parsed.document
    is_list = isinstance(document, dict) and str(document.get("kind", "")).endswith("List")
    items = document.get("items") if is_list else None
    if not isinstance(items, list):
        return (parsed,)
    node = scalars.child(parsed.node, "items") if parsed.node is not None else None
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [None] * len(items)
    return [
        Parsed(item, _first_line(at) if at is not None else parsed.line, at)
        for item, at in zip(items, nodes, strict=True)
    ]


def _descend(node: yaml.Node, field: str, line: int) -> int:
    while field:
        if isinstance(node, yaml.SequenceNode) and field.startswith("["):
            index, _, field = field[1:].partition("]")
            if not index.isdigit() or int(index) >= len(node.value):
                return line
            node = node.value[int(index)]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            fitting = [pair for pair in node.value if _starts(field, pair[0].value)]
            if not fitting:
                return line
            key, node = max(fitting, key=lambda pair: len(pair[0].value))
            line, field = key.start_mark.line + 1, field[len(key.value) :]
        else:
            return line
        field = field.removeprefix(".")
    return line


def _starts(field: str, key: object) -> bool:
    return isinstance(key, str) and field.startswith(key) and field[len(key) :][:1] in ("", ".", "[")
