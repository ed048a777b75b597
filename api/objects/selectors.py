"""Label and field selectors: which objects a list or a watch is about. Pure.

Source: Kubernetes, "Labels and Selectors" and "Field Selectors"; k8s.io/apimachinery/pkg/labels.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from api.definition import field
from api.errors import BadRequest
from api.kinds import Kind
from api.meta import Document
from api.nearest import did_you_mean
from api.objects import names

_SET_BASED = re.compile(r"^(?P<key>[^\s!=<>(),]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\Z")
_EQUALITY = re.compile(r"^(?P<key>[^\s!=<>(),]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s!=<>(),]*)\Z")
_INEQUALITY = re.compile(r"^(?P<key>[^\s!=<>(),]+)\s*(?P<operator>[<>])\s*(?P<value>[^\s!=<>(),]*)\Z")
_FIELD = re.compile(r"^(?P<path>[^=!\s]+)\s*(?P<operator>==|=|!=)(?P<value>.*)\Z", re.DOTALL)
_EXISTS = re.compile(r"^(?P<absent>!?)\s*(?P<key>[^\s!=<>(),]+)\Z")
_LARGEST = (1 << 63) - 1

MOST_TERMS = 100
"""Each is asked of each object that there is."""

_FOR_ALL = ("metadata.name", "metadata.namespace")
_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "Job": ("status.phase", "spec.runtime"),
    "Pod": ("status.phase", "spec.nodeName"),
    "Namespace": ("status.phase",),
    "Event": (
        *(f"involvedObject.{name}" for name in ("kind", "name", "namespace", "uid", "apiVersion")),
        "reason",
        "type",
    ),
    "events.events.k8s.io": (
        *(f"regarding.{name}" for name in ("kind", "name", "namespace", "uid", "apiVersion")),
        "reason",
        "type",
        "reportingController",
    ),
}

Test: TypeAlias = Callable[[Document], bool]


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of tests on an object; an empty one takes everything."""

    tests: tuple[Test, ...] = ()
    name: str | None = None

    def __bool__(self) -> bool:
        """Return whether it leaves anything out."""
        return bool(self.tests)

    def matches(self, document: Document) -> bool:
        """Return whether the object is selected."""
        return all(test(document) for test in self.tests)


EVERYTHING = Selector()


def parse(kind: Kind, labels: str | None, fields: str | None) -> Selector:
    """Return the selector for a labelSelector and a fieldSelector; None or "" selects everything.

    Raises:
        BadRequest: one of them cannot be read, or the kind has no such field to select by.
    """
    of_labels, of_fields = _split(labels or ""), [part for part in (fields or "").split(",") if part.strip()]
    if len(of_labels) + len(of_fields) > MOST_TERMS:
        raise BadRequest(f"unable to parse requirement: there are more than {MOST_TERMS} of them: use fewer")
    tests = [_label_test(part) for part in of_labels]
    name = None
    for path, is_wanted, value in (_field_term(kind, part) for part in of_fields):
        tests.append(_field_test(path, value, is_wanted=is_wanted))
        name = value if path == "metadata.name" and is_wanted else name
    return Selector(tuple(tests), name)


def _split(text: str) -> list[str]:
    """Split at the commas that are not inside parentheses."""
    if not text.strip():
        return []
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in (*parts, text[start:])]


def _label_test(text: str) -> Test:
    if match := _SET_BASED.match(text):
        values = frozenset(value.strip() for value in match["values"].split(","))
        return _in(_key(match["key"]), _values(values), is_wanted=match["operator"] == "in")
    if match := _EQUALITY.match(text):
        values = frozenset({match["value"]})
        return _in(_key(match["key"]), _values(values), is_wanted=match["operator"] != "!=")
    if match := _INEQUALITY.match(text):
        return _beyond(_key(match["key"]), _bound(match["value"]), is_above=match["operator"] == ">")
    if match := _EXISTS.match(text):
        return _exists(_key(match["key"]), is_wanted=not match["absent"])
    raise BadRequest(
        f'unable to parse requirement: "{text[:80]}": use a=b, a!=b, a in (b,c), a notin (b), a, !a, a>1 or a<1'
    )


def _key(key: str) -> str:
    if problem := names.problem_with_label_key(key):
        raise BadRequest(f'unable to parse requirement: key "{key[:80]}": {problem}')
    return key


def _values(values: frozenset[str]) -> frozenset[str]:
    for value in values:
        if problem := names.problem_with_label_value(value):
            raise BadRequest(f'unable to parse requirement: value "{value[:80]}": {problem}')
    return values


def _bound(text: str) -> int:
    _values(frozenset({text}))
    number = _whole(text)
    if number is None:
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise BadRequest(f'unable to parse requirement: value "{text[:80]}": {why}')
    return number


def _whole(text: str) -> int | None:
    """Return the number that a label's value is; None if it is none, or none of 64 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST))):
        return None
    number = int(text)
    return number if number <= _LARGEST else None


def _labels(document: Document) -> Mapping[str, str]:
    labels: Mapping[str, str] = document["metadata"].get("labels") or {}
    return labels


def _in(key: str, values: frozenset[str], *, is_wanted: bool) -> Test:
    if is_wanted:
        return lambda document: _labels(document).get(key) in values
    return lambda document: _labels(document).get(key) not in values


def _beyond(key: str, bound: int, *, is_above: bool) -> Test:
    """Of values that are no numbers, and where there is none, neither holds."""

    def test(document: Document) -> bool:
        number = _whole(_labels(document).get(key, ""))
        return number is not None and (number > bound if is_above else number < bound)

    return test


def _exists(key: str, *, is_wanted: bool) -> Test:
    return lambda document: (key in _labels(document)) == is_wanted


def _field_term(kind: Kind, text: str) -> tuple[str, bool, str]:
    match = _FIELD.match(text.strip())
    if match is None:
        raise BadRequest(f'invalid field selector: "{text[:80]}": use FIELD=VALUE or FIELD!=VALUE')
    path, operator, value = match["path"], match["operator"], match["value"].strip()
    known = _BY_KIND.get(kind.resource) or _BY_KIND.get(kind.name, ())
    if path not in _FOR_ALL and path not in known:
        hint = did_you_mean(path[:80], (*_FOR_ALL, *known)) or f": use {', '.join((*_FOR_ALL, *known))}"
        raise BadRequest(f"field label not supported: {path[:80]}{hint}")
    return path, operator != "!=", value


def _field_test(path: str, value: str, *, is_wanted: bool) -> Test:
    read = field(path)
    return lambda document: (read(document) == value) == is_wanted
