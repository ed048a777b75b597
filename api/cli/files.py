"""Manifests from files, directories and stdin: documents that know the file and line they came from.

YAML is read as JSON would be: no dates, no tags, no repeated keys. Lists are taken apart.
Never here: what the documents mean; the server says that.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from api.meta import Document

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 16 << 20
MOST_NODES = 500_000
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


class _Loader(yaml.SafeLoader):
    """SafeLoader without dates: what JSON cannot say stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  As PyYAML declares it.
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(sources: tuple[str, ...], *, recursive: bool) -> Iterator[Manifest | BadManifest]:
    """Yield every document of the files, directories and `-` in `sources`, and what could not be read.

    Raises:
        click.UsageError: a source does not exist.
    """
    for source in sources:
        if source == "-":
            yield from parse("stdin", sys.stdin.buffer.read())
            continue
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
        if path.stat().st_size > MOST_BYTES:
            yield BadManifest(f"{path}: cannot read it: it is over {MOST_BYTES >> 20} MiB: split it")
            return
        content = path.read_bytes()
    except OSError as error:
        yield BadManifest(f"{path}: cannot read it: {error.strerror}")
        return
    yield from parse(str(path), content)


def parse(file: str, content: bytes) -> Iterator[Manifest | BadManifest]:
    """Yield the documents of a file's content; a bad one ends the file, for what follows is unsure."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield BadManifest(f"{file}: cannot read it: it is not UTF-8 text (byte {error.start})")
        return
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not _is_empty(node):
                _check(file, node)
                yield from _documents(file, node, loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        yield BadManifest(f"{file}:{line}: cannot read it as YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = loader.line + 1
        yield BadManifest(
            f"{file}:{line}: cannot read it as YAML: {str(error).splitlines()[0] if str(error) else 'too deep'}"
        )
    except BadManifest as error:
        yield error
    finally:
        loader.dispose()


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


def _check(file: str, node: yaml.Node) -> None:
    """Refuse repeated keys, and aliases that unfold to more than memory holds. Raises BadManifest."""
    sizes: dict[int, int] = {}

    def size_of(part: yaml.Node) -> int:
        if id(part) in sizes:
            if sizes[id(part)] < 0:
                raise BadManifest(f"{file}:{part.start_mark.line + 1}: cannot read it: it contains itself")
            return sizes[id(part)]
        sizes[id(part)] = -1
        if isinstance(part, yaml.MappingNode):
            _refuse_repeats(file, part)
        children = [n for pair in part.value for n in pair] if isinstance(part, yaml.MappingNode) else part.value
        total = 1 + (0 if isinstance(part, yaml.ScalarNode) else sum(map(size_of, children)))
        if total > MOST_NODES:
            raise BadManifest(
                f"{file}:{part.start_mark.line + 1}: cannot read it: it unfolds to over {MOST_NODES} values"
            )
        sizes[id(part)] = total
        return total

    size_of(node)


def _refuse_repeats(file: str, node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise BadManifest(f'{file}:{key.start_mark.line + 1}: cannot read it: "{key.value}" is there twice')
            seen.add(key.value)


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
