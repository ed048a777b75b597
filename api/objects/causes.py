"""What pydantic says is wrong, in Kubernetes' words: one cause a field, all of them at once.

A PydanticCustomError whose type starts with FieldValue is used as the reason as it is. Pure.
Source: k8s.io/apimachinery/pkg/util/validation/field, "ErrorType" and "Error.ErrorBody".
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api import urls
from api.errors import Cause
from api.urls import HIDDEN

_LONGEST_VALUE = 120
_MOST_CAUSES = 50

_TYPE_NAMES = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
}


def of(error: ValidationError, *, confidential: bool = False) -> list[Cause]:
    """Return every cause of a failed validation, with its dotted field; of what is `confidential`, without values."""
    given = error.errors(include_url=False)
    told = [each for each in given if not _is_of_its_items(each)]
    found = [_cause({**each, "input": HIDDEN} if confidential else each) for each in told]
    if len(found) > _MOST_CAUSES:
        more = f"and {len(found) - _MOST_CAUSES} more"
        return [*found[:_MOST_CAUSES], Cause("", "FieldValueInvalid", more)]
    return found


def field_path(location: Sequence[str | int]) -> str:
    """Return a location as Kubernetes writes it.

    >>> field_path(("spec", "env", 0, "name"))
    'spec.env[0].name'
    """
    text = ""
    for part in location:
        if isinstance(part, int) or "." in part or "/" in part:
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def invalid(path: str, value: Any, why: str) -> Cause:
    """Return the cause for a value that breaks a rule of its own."""
    return Cause(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {why}")


def shown(value: Any) -> str:
    """Return a value as messages show it: JSON, cut when long, without passwords in addresses."""
    text = urls.redacted(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _cause(error: Mapping[str, Any]) -> Cause:
    type_, value = error["type"], error.get("input")
    context: Mapping[str, Any] = error.get("ctx", {})
    path = field_path(error["loc"])
    if "member" in context:  # Of an object that has members of any name: the rule is about this one.
        path = field_path((*error["loc"], context["member"]))
        value = value.get(context["member"]) if isinstance(value, Mapping) else value
    if type_ == "missing" or (type_ in ("too_short", "string_too_short") and not value):
        return Cause(path, "FieldValueRequired", "Required value")
    if type_.startswith("FieldValue"):
        return Cause(path, type_, _custom(type_, value, error["msg"]))
    if type_ in ("enum", "literal_error"):
        supported = ", ".join(f'"{word}"' for word in re.findall(r"'([^']*)'", str(context.get("expected", ""))))
        message = f"Unsupported value: {shown(value)}: supported values: {supported}"
        return Cause(path, "FieldValueNotSupported", message)
    name, _, ending = type_.rpartition("_")
    if ending in ("type", "parsing") and name in _TYPE_NAMES:
        message = f"Invalid value: {shown(value)}: must be {_TYPE_NAMES[name]}{_instead(name, path, value)}"
        return Cause(path, "FieldValueTypeInvalid", message)
    return invalid(path, value, _rule(error["msg"]))


def _is_of_its_items(error: Mapping[str, Any]) -> bool:
    """Whether a list is too short only without those of its items that are told to be wrong."""
    items = error.get("input")
    return error["type"] == "too_short" and isinstance(items, list) and len(items) >= error["ctx"]["min_length"]


def _instead(name: str, path: str, value: Any) -> str:
    """Return what to write, where that is known: YAML makes numbers, true and false of words that are not quoted."""
    if name == "string" and isinstance(value, bool | int | float):
        return f': write "{shown(value)}"'
    if name == "dict" and isinstance(value, list):
        return f": write {path.rpartition('.')[2]}: {{NAME: …}}"
    return ""


def _custom(type_: str, value: Any, message: str) -> str:
    match type_:
        case "FieldValueRequired":
            return f"Required value: {message}"
        case "FieldValueForbidden":
            return f"Forbidden: {message}"
        case "FieldValueDuplicate":
            return f"Duplicate value: {message}"
        case "FieldValueNotSupported":
            return f"Unsupported value: {shown(value)}: {message}"
        case _:
            return f"Invalid value: {shown(value)}: {message}"


def _rule(message: str) -> str:
    return re.sub(r"^(Input|Value|Tuple|List|String) should", "must", message)
