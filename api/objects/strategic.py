"""Strategic merge patches: merge patches that know which lists are sets and which have keys. Pure.

Core kinds take them alone. What a list is comes from its kind's shape: atomic ones are replaced, sets are
united, keyed ones are merged item by item.
Source: Kubernetes, "Strategic merge patch"; k8s.io/apimachinery/pkg/util/strategicpatch.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from api.errors import BadRequest
from api.meta import Document
from api.objects.shapes import Form, Shape

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_REMOVE = "$deleteFromPrimitiveList/"
_DIRECTIVES = ("replace", "delete", "merge")
_DELETED = object()


def patch(document: Document, change: Any, shape: Shape) -> Document:
    """Return `document` changed by `change`; the document itself is left as it is.

    Raises:
        BadRequest: `change` is no such patch.
    """
    if not isinstance(change, dict):
        raise BadRequest("cannot read the strategic merge patch: it must be a JSON object")
    merged = _merge(document, change, shape)
    if not isinstance(merged, dict):
        raise BadRequest("cannot apply the patch: what it makes is not an object")
    return merged


def _merge(target: Any, change: Mapping[str, Any], shape: Shape) -> Any:
    directive = change.get(_PATCH)
    if directive is not None:
        _check(directive)
    own = {name: value for name, value in change.items() if not name.startswith("$")}
    if directive == "delete":
        return {}
    merged = {} if directive == "replace" or not isinstance(target, dict) else dict(target)
    if _RETAIN in change:
        kept = set(_words(change[_RETAIN], _RETAIN))
        merged = {name: value for name, value in merged.items() if name in kept}
    _remove_from_sets(merged, change)
    for name, value in own.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _member(merged.get(name), value, shape.child(name))
    _put_in_order(merged, change, shape)
    return merged


def _member(target: Any, value: Any, shape: Shape) -> Any:
    if isinstance(value, dict):
        return _merge(target, value, shape)
    if not isinstance(value, list):
        return value
    before = target if isinstance(target, list) else []
    match shape.form:
        case Form.SET:
            both = [*before, *value]
            _plain(both)
            return [each for _, each in dict.fromkeys((type(each), each) for each in both)]
        case Form.KEYED:
            return _keyed(before, value, shape)
        case _:
            return value


def _keyed(before: Sequence[Any], changes: Sequence[Any], shape: Shape) -> list[Any]:
    if any(not isinstance(change, dict) for change in changes):
        raise BadRequest("cannot read the strategic merge patch: an item of a keyed list must be an object")
    replaces = any(change.get(_PATCH) == "replace" and not _has_key(change, shape) for change in changes)
    items = [] if replaces else list(before)
    places = _places(_key(item, shape) for item in items)
    for change in changes:
        if not _has_key(change, shape):
            if _PATCH in change:
                continue
            raise BadRequest(f"cannot read the strategic merge patch: an item lacks its key {', '.join(shape.keys)}")
        key = _checked(_key(change, shape))
        if change.get(_PATCH) == "delete":
            if key in places:
                items[places.pop(key)] = _DELETED
        elif key in places:
            items[places[key]] = _merge(items[places[key]], change, shape.item())
        else:
            places[key] = len(items)
            items.append(_merge({}, change, shape.item()))
    return [item for item in items if item is not _DELETED]


def _places(keys: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """Return where each key is first."""
    places: dict[tuple[Any, ...], int] = {}
    for index, key in enumerate(keys):
        places.setdefault(_checked(key), index)
    return places


def _checked(key: tuple[Any, ...]) -> tuple[Any, ...]:
    _plain(key)
    return key


def _plain(values: Iterable[Any]) -> frozenset[Any]:
    """Return plain values as a set. Raises BadRequest: one of them is an object or a list."""
    try:
        return frozenset(values)
    except TypeError:
        why = "what is in a set, or is the key of an item, must be text, a number or a boolean"
        raise BadRequest(f"cannot read the strategic merge patch: {why}") from None


def _has_key(item: Mapping[str, Any], shape: Shape) -> bool:
    return all(name in item for name in shape.keys)


def _key(item: Any, shape: Shape) -> tuple[Any, ...]:
    return tuple(item.get(name) if isinstance(item, dict) else None for name in shape.keys)


def _remove_from_sets(merged: Document, change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if name.startswith(_REMOVE):
            field, gone = name.removeprefix(_REMOVE), _list(value, name)
            if isinstance(merged.get(field), list):
                unwanted = _plain(gone)
                merged[field] = [
                    each for each in merged[field] if isinstance(each, dict | list) or each not in unwanted
                ]


def _put_in_order(merged: Document, change: Mapping[str, Any], shape: Shape) -> None:
    """Order what a list's order names; what it does not name comes after it, as it was."""
    for name, value in change.items():
        field = name.removeprefix(_ORDER)
        if not name.startswith(_ORDER) or not isinstance(merged.get(field), list):
            continue
        inner, wanted = shape.child(field), _list(value, name)
        rank = _places(_key(each, inner) if inner.form is Form.KEYED else (each,) for each in wanted)
        merged[field] = sorted(merged[field], key=partial(_rank, inner, rank))


def _rank(shape: Shape, rank: Mapping[tuple[Any, ...], int], item: Any) -> int:
    if shape.form is Form.KEYED:
        return rank.get(_checked(_key(item, shape)), len(rank))
    return len(rank) if isinstance(item, dict | list) else rank.get((item,), len(rank))


def _check(directive: Any) -> None:
    if directive not in _DIRECTIVES:
        what = f'$patch "{str(directive)[:40]}" is none of {", ".join(_DIRECTIVES)}'
        raise BadRequest(f"cannot read the strategic merge patch: {what}")


def _words(value: Any, name: str) -> list[str]:
    words = _list(value, name)
    if any(not isinstance(word, str) for word in words):
        raise BadRequest(f"cannot read the strategic merge patch: {name} must be a list of names")
    return words


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"cannot read the strategic merge patch: {name[:80]} must be a list")
    return value
