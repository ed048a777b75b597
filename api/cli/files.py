"""Manifests from files, directories and stdin: documents that know the file and line they came from.

Here: where each document and field is written. How its text is read is `api.objects.reading`'s, so
that a file means the same here and in a watched directory. Lists are taken apart.
Never here: what the documents mean; the server says that.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from api.caps import MOST_DEPTH, MOST_TEXT_BYTES, MOST_VALUES
from api.cli import yaml_repeats
from api.errors import BadRequest
from api.meta import Document
from api.objects import reading

SUFFIXES = (".yaml", ".yml", ".json")
_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class BadManifest(Exception):
    """A file, or one document of it, cannot be read; the message starts with file:line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document and where it was written."""

    file: str
    line: int
    document: Document
    node: yaml.Node = field(repr=False, compare=False)

    @property
    def place(self) -> str:
        """The file and line, as editors understand them."""
        return f"{self.file}:{self.line}"

    def place_of(self, path: str) -> str:
        """Return file:line of the field at a dotted path, or of the nearest field above it that is there."""
        return f"{self.file}:{_line_of(self.node, path)}"


def read(sources: tuple[str, ...], *, recursive: bool) -> Iterator[Manifest | BadManifest]:
    """Yield every document of the files, directories and `-` in `sources`, and what could not be read.

    Raises:
        click.UsageError: a source does not exist.
    """
    for source in sources:
        if source == "-":
            yield from parse("stdin", sys.stdin.buffer.read(MOST_TEXT_BYTES + 1))
            continue
        if not source:
            raise click.UsageError("the name of a file is empty: write FILE, DIR or -")
        if "://" in source:
            raise click.UsageError(
                f'cannot read "{source}": addresses are not fetched: curl -fsS {source} | rnx … -f -'
            )
        for path in _files(Path(source), recursive=recursive):
            yield from _read_file(path)


def _files(path: Path, *, recursive: bool) -> list[Path]:
    if not path.exists():
        raise click.UsageError(f'cannot read "{path}": there is no such file or directory')
    if not path.is_dir():
        return [path]
    found = path.rglob("*") if recursive else path.iterdir()
    files = sorted(f for f in found if f.suffix in SUFFIXES and f.is_file() and not f.name.startswith("."))
    if not files:
        hint = "" if recursive else ": -R looks below it too"
        raise click.UsageError(f'cannot read "{path}": it holds no {", ".join(SUFFIXES)} file{hint}')
    return files


def _read_file(path: Path) -> Iterator[Manifest | BadManifest]:
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_TEXT_BYTES + 1)
    except OSError as error:
        yield BadManifest(f"{path}: cannot read it: {error.strerror}")
        return
    yield from parse(str(path), content)


def parse(file: str, content: bytes) -> Iterator[Manifest | BadManifest]:
    """Yield the documents of a file's content; a bad one ends the file, for what follows is unsure."""
    if len(content) > MOST_TEXT_BYTES:
        yield BadManifest(f"{file}: cannot read it: it is over {MOST_TEXT_BYTES >> 20} MiB: split it")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield BadManifest(f"{file}: cannot read it: it is not UTF-8 text (byte {error.start})")
        return
    try:
        _check_caps(file, text)
        for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            if node is not None and not _is_empty(node):
                yield from _documents(file, node, _value(file, text, node))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        yield BadManifest(f"{file}:{line}: cannot read it as YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        yield BadManifest(f"{file}: cannot read it as YAML: {' '.join(str(error).split())}")
    except BadManifest as error:
        yield error


def _check_caps(file: str, text: str) -> None:
    """Refuse more than any file has, before anything recurses into it. Raises BadManifest."""
    depth = values = 0
    with contextlib.suppress(yaml.YAMLError):  # Said with its line when the documents before it were read.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            values += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth <= MOST_DEPTH and values <= MOST_VALUES:
                continue
            line = event.start_mark.line + 1 if event.start_mark else 1
            why = f"it has more than {MOST_VALUES} values: split it"
            if depth > MOST_DEPTH:
                why = f"it nests deeper than {MOST_DEPTH} levels: flatten it"
            raise BadManifest(f"{file}:{line}: cannot read it: {why}")


def _value(file: str, text: str, node: yaml.Node) -> Any:
    """Return what one document says, read as the server reads it. Raises BadManifest."""
    start, end = node.start_mark.index - node.start_mark.column, node.end_mark.index
    try:
        value = reading.read_yaml(text[start:end].encode())
    except BadRequest as error:
        why = error.message.partition(": ")[2]
        raise BadManifest(f"{file}:{node.start_mark.line + 1}: cannot read it: {why}") from error
    if repeated := yaml_repeats.first(node):
        key, line = repeated
        raise BadManifest(f'{file}:{line}: cannot read it: "{key}" is there twice')
    return value


def _documents(file: str, node: yaml.Node, document: Any) -> Iterator[Manifest | BadManifest]:
    line = node.start_mark.line + 1
    if not isinstance(document, dict):
        yield BadManifest(f"{file}:{line}: cannot read it: it is not an object with apiVersion and kind")
        return
    items = _child(node, "items")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list) and items:
        for child, item in zip(items.value, document["items"], strict=True):
            yield from _documents(file, child, item)
        return
    yield Manifest(file, line, document, node)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line_of(node: yaml.Node, path: str) -> int:
    for index, name in _PATH_PART.findall(path):
        below = _item(node, int(index)) if index else _child(node, name)
        if below is None:
            break
        node = below
    return int(node.start_mark.line) + 1


def _child(node: yaml.Node, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _item(node: yaml.Node, index: int) -> yaml.Node | None:
    return node.value[index] if isinstance(node, yaml.SequenceNode) and index < len(node.value) else None
