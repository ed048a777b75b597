"""What Secret and ConfigMap have in common: keys that can be file names, a size that fits, and `immutable`. Pure.

Invariant: nothing here puts a value into a message. Errors name the field and the key.
Source: k8s.io/kubernetes/pkg/apis/core/validation, ValidateSecret, ValidateConfigMap and their updates.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from api.errors import Cause
from api.meta import Document

MOST_DATA_BYTES = 1 << 20
_IS_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_MOST_KEY = 253
_KEY_RULE = "a valid key must consist of alphanumeric characters, '-', '_' or '.', at most 253, and not begin with '..'"


def check_keys(keys: Iterable[str]) -> None:
    """Check that each key could be the name of a file.

    Raises:
        PydanticCustomError: one could not.
    """
    for key in keys:
        if not _IS_KEY.fullmatch(key) or len(key) > _MOST_KEY or key in (".", "..") or key.startswith(".."):
            raise PydanticCustomError(
                "FieldValueForbidden", 'key "{key}": {rule}', {"key": key[:80], "rule": _KEY_RULE}
            )


def decoded_size(values: Mapping[str, str]) -> int:
    """Return how many bytes the base64 of all `values` stands for.

    Raises:
        PydanticCustomError: one cannot be decoded.
    """
    size = 0
    for key, value in values.items():
        try:
            size += len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise PydanticCustomError(
                "FieldValueForbidden", 'the value of key "{key}" is not base64', {"key": key}
            ) from None
    return size


def check_size(size: int) -> None:
    """Check that `size` bytes fit into one object.

    Raises:
        PydanticCustomError: they do not.
    """
    if size > MOST_DATA_BYTES:
        why = "Too long: must have at most {most} bytes, these are {size}"
        raise PydanticCustomError("FieldValueForbidden", why, {"most": MOST_DATA_BYTES, "size": size})


def problems_with_change(live: Document, changed: Document, fields: Iterable[str]) -> list[Cause]:
    """Return why an object that says it is immutable may not become `changed`."""
    if not live.get("immutable"):
        return []
    rule = "Forbidden: field is immutable when `immutable` is set"
    wrong = [name for name in fields if _content(live, name) != _content(changed, name)]
    if not changed.get("immutable"):
        wrong.append("immutable")
    return [Cause(name, "FieldValueForbidden", rule) for name in wrong]


def _content(document: Document, field: str) -> Any:
    return document.get(field) or {}


def count_of(*fields: str) -> Callable[[Document], str]:
    """Return a cell that shows how many keys these fields have together."""
    return lambda document: str(sum(len(document.get(name) or ()) for name in fields))
