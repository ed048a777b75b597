"""Patches: JSON merge patch (RFC 7396) and JSON patch (RFC 6902), on plain documents. Pure.

Server-side apply is in `apply.py`, strategic merge patch, which only core kinds take, in `strategic.py`.
"""

import copy
import json
from enum import StrEnum
from typing import Any

import jsonpatch
import jsonpointer

from api.errors import About, BadRequest, Cause, Invalid, TooLarge, UnsupportedMediaType
from api.meta import Document

_MISFITS = (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError)

MOST_OPERATIONS = 10_000
"""Kubernetes' own limit on the operations of one JSON patch."""
MOST_COPIED_BYTES = 3 << 20
"""And on what they copy, all together: each copy could else double what is there."""


class PatchType(StrEnum):
    """How a patch is written, by its Content-Type."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"
    STRATEGIC = "application/strategic-merge-patch+json"

    @property
    def is_for_all(self) -> bool:
        """Whether our own kinds take it too, and not the core kinds alone."""
        return self is not PatchType.STRATEGIC


def merge_of(before: Document, after: Document) -> Document:
    """Return the merge patch that makes `after` of `before`; empty if they are equal. Neither has a null.

    >>> merge_of({"a": 1, "b": {"c": [1], "d": 2}}, {"b": {"c": [1, 2], "d": 2}})
    {'a': None, 'b': {'c': [1, 2]}}
    """
    change: Document = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            if below := merge_of(old, value):
                change[name] = below
        elif name not in before or not _is_same(old, value):
            change[name] = value
    return change


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: for Python, 1, 1.0 and true are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def patch(document: Document, change: Any, content_type: str, about: About) -> Document:
    """Return `document` changed by `change`; the document itself is left as it is.

    Raises:
        BadRequest: `change` is no such patch.
        Invalid: it cannot be done to this document, or one of its tests failed.
        UnsupportedMediaType: `content_type` is neither of the two.
    """
    if content_type == PatchType.MERGE:
        if not isinstance(change, dict):
            raise BadRequest("cannot read the merge patch: it must be a JSON object")
        return _object(merge(document, change))
    if content_type == PatchType.JSON:
        return _object(_json_patch(document, change, about))
    accepted = ", ".join(sorted(each for each in PatchType if each.is_for_all))
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


def refuse_nameless(changed: Document, about: About) -> None:
    """Refuse what a patch made if its metadata went, and with them all labels, annotations and owners at one stroke.

    Raises:
        Invalid: the metadata are no object any more, or have no name.
    """
    metadata = changed.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name"):
        return
    field = "metadata.name" if isinstance(metadata, dict) else "metadata"
    what = "a patch cannot remove it: name the labels, annotations or finalizers that are to go"
    raise Invalid.of(about, [Cause(field, "FieldValueRequired", f"Required value: {what}")])


def merge(target: Any, change: Any) -> Any:
    """Return `target` merged with `change`; null removes.

    >>> merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def _json_patch(document: Document, change: Any, about: About) -> Any:
    if not isinstance(change, list) or not all(isinstance(operation, dict) for operation in change):
        raise BadRequest("cannot read the JSON patch: it must be a list of operations")
    if len(change) > MOST_OPERATIONS:
        raise TooLarge(f"cannot apply the JSON patch: it has {len(change)} operations, the most is {MOST_OPERATIONS}")
    try:
        operations = [jsonpatch.JsonPatch([operation]) for operation in change]
    except (jsonpatch.InvalidJsonPatch, jsonpointer.JsonPointerException, TypeError) as error:
        raise BadRequest(f"cannot read the JSON patch: {error}") from error
    changed: Any = copy.deepcopy(document)
    copied = 0
    for operation, what in zip(operations, change, strict=True):
        try:
            copied += _copied_bytes(changed, what)
            if copied > MOST_COPIED_BYTES:
                raise TooLarge(f"cannot apply the JSON patch: it copies more than {MOST_COPIED_BYTES} bytes")
            changed = operation.apply(changed, in_place=True)
        except _MISFITS as error:
            raise _misfit(what, error, about) from error
    return changed


def _copied_bytes(document: Any, operation: Document) -> int:
    if operation.get("op") != "copy":
        return 0
    return len(json.dumps(jsonpointer.resolve_pointer(document, operation["from"])))


def _misfit(operation: Document, error: Exception, about: About) -> Invalid:
    """Say which operation cannot be done, by its path: what the library says may hold the whole object."""
    path = str(operation.get("path", ""))[:200]
    field = path.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    if isinstance(error, jsonpatch.JsonPatchTestFailed):
        cause = f'testing path failed: "{path}" is not what was tested for'
        causes = [Cause(field, "FieldValueInvalid", cause)]
        return Invalid(f"the server rejected our request due to an error in our request: {cause}", about, causes)
    why, is_missing, _ = str(error).partition(" not found in ")
    if "<class '" in why:  # The library names classes of Python.
        why = "nothing can be below a value that is neither an object nor a list"
    cause = f'{operation["op"]} "{path}": {why[:200]}{" not found" if is_missing else ""}'
    causes = [Cause(field, "FieldValueInvalid", cause)]
    return Invalid(f"cannot apply the JSON patch to {about}: {cause}", about, causes)


def _object(value: Any) -> Document:
    if not isinstance(value, dict):
        raise BadRequest("cannot apply the patch: what it makes is not an object")
    return value
