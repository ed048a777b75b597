"""From bytes to a document: JSON and YAML from senders who are not trusted. Pure.

What is refused is refused with a BadRequest and in little time: bad UTF-8, NaN, deep nesting, YAML
aliases that multiply, tags. Repeated keys are found and reported with their path.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from api.errors import BadRequest
from api.objects import shapes

_MOST_NODES = 200_000


class Repeating(dict[str, Any]):
    """An object of which the text gave some keys more than once; the last one counts."""

    def __init__(self, pairs: Iterator[tuple[str, Any]] | list[tuple[str, Any]], repeated: list[str]) -> None:
        """Hold `pairs`, of which the keys in `repeated` came again."""
        super().__init__(pairs)
        self.repeated = tuple(repeated)


def read_json(body: bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = json.loads(_text(body), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"cannot read the body as JSON: {_said(error)}") from error
    shapes.check_depth(value)
    return value


def read_yaml(body: bytes) -> Any:
    """Return what a YAML text of one document says, of which JSON is a part.

    Raises:
        BadRequest: it is none, or has several documents.
    """
    text = _text(body)
    try:
        _check_size(text)
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise BadRequest(f"cannot read the body as YAML: {_said(error)}") from error
    shapes.check_depth(value)
    return value


def repeated_fields(value: Any, path: str = "") -> list[str]:
    """Return the paths of the fields that the text of `value` gave more than once."""
    found = []
    if isinstance(value, Repeating):
        found = [f"{path}.{name}" if path else name for name in value.repeated]
    if isinstance(value, dict):
        for name, child in value.items():
            found += repeated_fields(child, f"{path}.{name}" if path else name)
    if isinstance(value, list):
        for index, child in enumerate(value):
            found += repeated_fields(child, f"{path}[{index}]")
    return found


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"cannot read the body: it is not UTF-8 (byte {error.start})") from error


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it nests deeper than {shapes.MOST_DEPTH} levels"
    return " ".join(str(error).split())[:300]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    return Repeating(pairs, _repeated([name for name, _ in pairs]))


def _repeated(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _check_size(text: str) -> None:
    """Refuse texts that nest too deep, or that grow too large when their aliases are followed.

    Raises:
        ValueError: it does.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.CollectionStartEvent():
                opened.append((event.anchor, total))
                total += 1
            case yaml.CollectionEndEvent():
                anchor, before = opened.pop()
                sizes |= {anchor: total - before} if anchor else {}
            case yaml.ScalarEvent():
                sizes |= {event.anchor: 1} if event.anchor else {}
                total += 1
            case yaml.AliasEvent() if event.anchor in sizes:
                total += sizes[event.anchor]
            case yaml.AliasEvent():
                raise ValueError(f"*{event.anchor} refers to what contains it, or to nothing")
        if len(opened) > shapes.MOST_DEPTH:
            raise ValueError(f"it nests deeper than {shapes.MOST_DEPTH} levels")
        if total > _MOST_NODES:
            raise ValueError(f"it has more than {_MOST_NODES} values, aliases counted each time")


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: times stay text, no base 60, keys are strings."""

    def construct_object_node(self, node: Any) -> Iterator[dict[str, Any]]:
        """Build an object with string keys, and remember which of them came twice."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        repeated = _repeated([self._key(key) for key, _ in node.value])
        built: dict[str, Any] = Repeating([], repeated) if repeated else {}
        yield built
        self.flatten_mapping(node)
        built.update((self._key(key), self.construct_object(value)) for key, value in node.value)

    def _key(self, node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", node.start_mark)
        return str(node.value)


_INTEGER = re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)$")
_DROPPED = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def _set_up(loader: type[_Loader]) -> None:
    kept = {
        first: [(tag, form) for tag, form in resolvers if tag not in _DROPPED]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }
    loader.yaml_implicit_resolvers = kept
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    loader.add_constructor("tag:yaml.org,2002:map", loader.construct_object_node)
    for tag in ("binary", "set", "omap", "pairs", "timestamp"):
        loader.add_constructor(f"tag:yaml.org,2002:{tag}", loader.construct_undefined)  # type: ignore[type-var]


_set_up(_Loader)
