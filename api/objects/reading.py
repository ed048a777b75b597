"""From bytes to a document: JSON and YAML from senders who are not trusted. Pure.

What a YAML scalar means is said in `scalars`, so that a text sent here means what it does as a file.

What is refused is refused with a BadRequest and in little time: bad UTF-8, NaN, deep nesting, YAML
aliases that multiply, tags. Repeated keys are found and reported with their path.
"""

import json
import re
from collections import Counter
from typing import Any, NoReturn

import yaml

from api.caps import MOST_DEPTH, MOST_VALUES
from api.errors import BadRequest
from api.objects import scalars, shapes
from api.objects.scalars import NodeError, Repeating

_NO_NAME = re.compile(r'in "<\w+ string>", ')
"""What PyYAML calls a text that came from no file."""


def read_json(body: bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = json.loads(
            _text(body), object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=scalars.finite
        )
    except (NodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"cannot read the body as JSON: {_said(error)}") from error
    shapes.check_caps(value)
    return value


def read_yaml(body: bytes) -> Any:
    """Return what a YAML text of one document says, of which JSON is a part.

    Raises:
        BadRequest: it is none, or has several documents.
    """
    text = _text(body)
    try:
        as_text = _check_size(text)
        node = _single_node(text)
        building = scalars.Builder(as_text, MOST_VALUES, MOST_DEPTH + 1, may_repeat=True)
        value = None if node is None else building.build(node)
    except (yaml.YAMLError, NodeError, ValueError, RecursionError, OverflowError) as error:
        raise BadRequest(f"cannot read the body as YAML: {_said(error)}") from error
    shapes.check_caps(value)
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
        return f"it nests deeper than {MOST_DEPTH} levels"
    return " ".join(_NO_NAME.sub("at ", str(error)).split())[:300]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    return Repeating(pairs, _repeated([name for name, _ in pairs]))


def _repeated(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _single_node(text: str) -> yaml.Node | None:
    loader = scalars.LOADER(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _check_size(text: str) -> frozenset[int]:
    """Refuse texts that nest too deep or grow too large as aliases are followed; return where text is tagged as such.

    Raises:
        ValueError: it does.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    as_text = set()
    total = 0
    for event in yaml.parse(text, Loader=scalars.LOADER):
        match event:
            case yaml.CollectionStartEvent():
                opened.append((event.anchor, total))
                total += 1
            case yaml.CollectionEndEvent():
                anchor, before = opened.pop()
                sizes |= {anchor: total - before} if anchor else {}
            case yaml.ScalarEvent():
                sizes |= {event.anchor: 1} if event.anchor else {}
                as_text |= {event.start_mark.index} if event.start_mark and event.tag == scalars.TEXT_TAG else set()
                total += 1
            case yaml.AliasEvent() if event.anchor in sizes:
                total += sizes[event.anchor]
            case yaml.AliasEvent():
                raise ValueError("an alias, which begins with *, refers to what contains it, or to nothing")
        if len(opened) > MOST_DEPTH:
            raise ValueError(f"it nests deeper than {MOST_DEPTH} levels")
        if total > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES} values, aliases counted each time")
    return frozenset(as_text)
