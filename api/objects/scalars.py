"""YAML nodes to plain JSON values: the one meaning that a text has, whichever way it comes in. Pure.

Here: what a plain scalar is, merge keys, repeated keys, and a bound on what aliases may blow up to.
Source: YAML 1.2.2, 10.3 Core Schema; 0644 as octal and `<<` as kubectl has them.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

# libyaml where the wheel has it: ten times faster, same nodes and marks.
LOADER: type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Makes the nodes to build from: it resolves nothing, so that what is plain is decided here."""

TEXT_TAG = "tag:yaml.org,2002:str"
_KNOWN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_WORDS = dict.fromkeys(("", "~", "null", "Null", "NULL")) | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"[-+]?0o?[0-7]+")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MOST_DIGITS = 4000  # Python refuses to read longer ones; nobody means them.


class NodeError(Exception):
    """A node cannot be a value; the message is `CAUSE: FIX`."""

    def __init__(self, message: str, node: yaml.Node | None) -> None:
        """Say what is wrong with `node`, if it is known which."""
        super().__init__(message)
        self.message = message
        self.node = node


class Repeating(dict[str, Any]):
    """An object of which the text gave some keys more than once; the last one counts."""

    def __init__(self, pairs: dict[str, Any] | Iterable[tuple[str, Any]], repeated: Iterable[str]) -> None:
        """Hold `pairs`, of which the keys in `repeated` came again."""
        super().__init__(pairs)
        self.repeated = tuple(repeated)


class Builder:
    """Builds values from the nodes of one text, and counts them: aliases may not multiply for ever."""

    def __init__(self, as_text: frozenset[int], most_nodes: int, most_depth: int, *, may_repeat: bool = False) -> None:
        """Take the scalars at the offsets `as_text` as text, whatever they look like.

        Keys that are given twice are refused, or remembered as `Repeating` if they `may_repeat`.
        """
        self._as_text = as_text
        self._left = most_nodes
        self._most_nodes = most_nodes
        self._most_depth = most_depth
        self._may_repeat = may_repeat

    def build(self, node: yaml.Node, depth: int = 1) -> Any:
        """Return the value of `node`.

        Raises:
            NodeError: it is no JSON value, or too large or deep.
        """
        self._left -= 1
        if self._left < 0:
            raise NodeError(f"more than {self._most_nodes} values once aliases are filled in: use fewer", node)
        if depth > self._most_depth:
            raise NodeError(f"more than {self._most_depth} levels deep: flatten it", node)
        if node.tag not in _KNOWN_TAGS and node.tag != "!":
            # It is not quoted: a password that begins with ! looks like one, and mistakes in manifests are shown.
            raise NodeError("a tag, which begins with !, is not supported: remove it, or quote the text", node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, depth + 1) for child in node.value]
        is_quoted = isinstance(node, yaml.ScalarNode) and bool(node.style)
        is_text = is_quoted or node.start_mark.index in self._as_text
        return node.value if is_text else plain(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        repeated: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise NodeError("a key is not text: write a plain key", key)
            if key.value == "<<" and not key.style:
                merged = self._merged(value, depth) | merged
                continue
            if key.value in made:
                if not self._may_repeat:
                    raise NodeError(f'key "{key.value[:60]}" is given twice: remove one', key)
                repeated.add(key.value)
            made[key.value] = self.build(value, depth + 1)
        return Repeating(merged | made, sorted(repeated)) if repeated else merged | made

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise NodeError("<< needs a mapping, or a list of them: give it an alias of one", one)
            merged = self.build(one, depth + 1) | merged
        return merged


def plain(node: yaml.Node) -> Any:
    """Return the value of a scalar without quotes.

    Raises:
        NodeError: it is a number that JSON has not.
    """
    text = node.value
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MOST_DIGITS:
        if _OCTAL.fullmatch(text):
            return int(text.replace("o", ""), 8)
        if _INTEGER.fullmatch(text):
            return int(text)
        if _HEXADECIMAL.fullmatch(text):
            return int(text, 16)
    if _FLOAT.fullmatch(text) or _NO_NUMBER.fullmatch(text):
        return finite(text, node)
    return text


def finite(text: str, node: yaml.Node | None = None) -> float:
    """Return the number that `text`, which stands at `node`, says.

    Raises:
        NodeError: it is a number that JSON has not.
    """
    number = math.inf if _NO_NUMBER.fullmatch(text) else float(text)
    if math.isinf(number):
        raise NodeError("it is no number that JSON has: write a number, or quote it", node)
    return number


def child(node: yaml.Node, name: str) -> yaml.Node | None:
    """Return what stands under the key `name`, if `node` is a mapping that has it."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)
