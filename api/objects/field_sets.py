"""Sets of fields: which leaves a document has, and who owns them, as `fieldsV1` writes it.

A path is a tuple of elements in fieldsV1's own spelling: `f:spec`, `k:{"name":"A"}`, `v:"1.3.2"`.
The item of a keyed list is itself a member, and so are empty containers. Pure.
Source: Kubernetes, structured-merge-diff v4, package fieldpath.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from api.meta import Document
from api.objects.shapes import Form, Shape

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

ITEM = object()
"""The value of a keyed item's own path: present, nothing more."""

_SERVER_OWNED = frozenset(
    {
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "managedFields", "selfLink",
    }
)  # fmt: skip


def owned_part(document: Document, subresource: str, *, has_status: bool = True) -> Document:
    """Return the part of a document that managers may own: no TypeMeta, no server-set metadata.

    On the main resource that leaves the status out; on `status` it leaves nothing else.
    """
    if subresource == "status":
        return {"status": document["status"]} if "status" in document else {}
    hidden = {"apiVersion", "kind", "metadata"} | ({"status"} if has_status else set())
    part = {name: value for name, value in document.items() if name not in hidden}
    metadata = {k: v for k, v in document.get("metadata", {}).items() if k not in _SERVER_OWNED}
    return part | ({"metadata": metadata} if metadata else {})


def leaves(value: Any, shape: Shape) -> dict[Path, Any]:
    """Return every member path below `value` with the value there."""
    return leaves_and_containers(value, shape)[0]


def containers(value: Any, shape: Shape) -> set[Path]:
    """Return the paths of maps, sets and keyed lists that are not empty: what is owned as `.`."""
    return leaves_and_containers(value, shape)[1]


def leaves_and_containers(value: Any, shape: Shape) -> tuple[dict[Path, Any], set[Path]]:
    """Return both, from one walk: most of what a write costs is walking."""
    found: dict[Path, Any] = {}
    seen: set[Path] = set()
    _collect(value, shape, (), found, seen)
    seen.discard(())
    return found, seen


def _collect(value: Any, shape: Shape, path: Path, found: dict[Path, Any], seen: set[Path]) -> None:
    children = members(value, shape)
    if children is None:
        found[path] = value
        return
    if shape.form is not Form.STRUCT:
        seen.add(path)
    is_keyed = shape.form is Form.KEYED
    for element, child, child_shape in children:
        below = (*path, element)
        if child_shape.form is Form.LEAF or not isinstance(child, dict | list):
            found[below] = child  # As it would be found in there.
            continue
        if is_keyed:
            found[below] = ITEM
        _collect(child, child_shape, below, found, seen)


def members(value: Any, shape: Shape) -> list[tuple[str, Any, Shape]] | None:
    """Return the (element, value, shape) of what is inside `value`, or None if it is a leaf.

    A list whose items cannot be told apart (a key missing, a key twice) is a leaf: it is refused
    by validation later, and until then is nobody's to merge.
    """
    if isinstance(value, dict) and shape.form not in (Form.LEAF, Form.LIST, Form.SET, Form.KEYED):
        return [("f:" + name, child, shape.child(name)) for name, child in value.items()] or None
    if isinstance(value, list) and shape.form in (Form.SET, Form.KEYED):
        return _items(value, shape) or None
    return None


def _items(value: list[Any], shape: Shape) -> list[tuple[str, Any, Shape]] | None:
    item = shape.item()
    found: dict[str, tuple[str, Any, Shape]] = {}
    for each in value:
        element = item_element(each, shape)
        if element is None or element in found:
            return None
        found[element] = (element, each, item)
    return list(found.values())


def item_element(item: Any, shape: Shape) -> str | None:
    """Return the path element of a list item: its keys, or in a set its value; None if it has none."""
    if shape.form is Form.SET:
        return "v:" + _compact(item) if isinstance(item, str | int | float | bool) else None
    if not isinstance(item, dict):
        return None
    keys = {key: item.get(key) for key in shape.keys}
    if all(type(value) is str for value in keys.values()):
        return "k:{" + ",".join(f"{_quoted(key)}:{_quoted(str(keys[key]))}" for key in sorted(keys)) + "}"
    usable = all(isinstance(value, str | int | bool) for value in keys.values())
    return "k:" + _compact(keys) if usable else None


_compact = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring


def encode(fields: Iterable[Path]) -> Document:
    """Return a set of paths as fieldsV1."""
    root: Document = {}
    wanted = set(fields)
    for path in sorted(wanted):
        node = root
        for element in path:
            node = node.setdefault(element, {})
    for path in wanted:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return root


def decode(fields: Any) -> FieldSet:
    """Return the paths of a fieldsV1 object.

    Raises:
        ValueError: it is none.
    """
    return frozenset(_decode(fields, ()))


def _decode(node: Any, path: Path) -> Iterator[Path]:
    if not isinstance(node, dict):
        raise ValueError("fieldsV1 must be made of objects")
    if path and (not node or "." in node):
        yield path
    for element, below in node.items():
        if element == ".":
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f'"{element[:40]}" is no path element: it must start with f:, k:, v: or i:')
        yield from _decode(below, (*path, element))


def is_below(path: Path, fields: Iterable[Path]) -> bool:
    """Return whether any of `fields` is `path` or lies below it."""
    depth = len(path)
    return any(other[:depth] == path for other in fields)


def display(path: Path) -> str:
    """Return a path as conflicts name it.

    >>> display(("f:spec", "f:env", 'k:{"name":"A"}', "f:value"))
    '.spec.env[name="A"].value'
    """
    return "".join(_display(element) for element in path)


def _display(element: str) -> str:
    mark, text = element[:2], element[2:]
    if mark == "f:":
        return "." + text
    if mark == "v:":
        return f"[={text}]"
    if mark == "k:":
        keys = json.loads(text)
        return "[" + ",".join(f"{name}={_compact(value)}" for name, value in sorted(keys.items())) + "]"
    return f"[{text}]"
