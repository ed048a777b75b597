"""The shape of a kind's JSON, derived once from its pydantic type.

It says which fields there are and how lists merge: `x-kubernetes-list-type` (`atomic` by default,
`set`, `map` with `x-kubernetes-list-map-keys`) in a field's json_schema_extra. Pruning, server-side
apply and field ownership all walk a document along its shape. Never here: whether values are valid.
"""

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api.caps import MOST_DEPTH, MOST_VALUES
from api.errors import BadRequest
from api.meta import Document
from api.model import OPEN, Resource


class Form(Enum):
    """What a value is made of, as far as merging goes."""

    LEAF = auto()
    STRUCT = auto()
    MAP = auto()
    LIST = auto()
    SET = auto()
    KEYED = auto()
    FREE = auto()


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one value: a struct's fields, or what the elements of a map or list look like.

    A struct with an element is open: it has members of that shape besides its fields, whose names have a `/`.
    """

    form: Form
    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    element: "Shape | None" = None
    keys: tuple[str, ...] = ()

    def child(self, name: str) -> "Shape":
        """Return the shape of the member `name` of a struct or map; anything goes where none is known."""
        if self.form is Form.STRUCT and name in self.fields:
            return self.fields[name]
        return self.element or FREE

    def has(self, name: str) -> bool:
        """Say whether a struct may have a member of that name."""
        return name in self.fields or (self.element is not None and "/" in name)

    def item(self) -> "Shape":
        """Return the shape of this list's items."""
        return self.element or FREE


_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
LEAF = Shape(Form.LEAF)
FREE = Shape(Form.FREE)


@cache
def of(resource: type[Resource]) -> Shape:
    """Return the shape of the documents of a kind."""
    return _of_model(resource)


def _of_model(model: type[BaseModel]) -> Shape:
    members = {info.alias or name: _of_field(info) for name, info in model.model_fields.items()}
    extra = model.model_config.get("json_schema_extra")
    is_open = isinstance(extra, dict) and extra.get(OPEN)
    return Shape(Form.STRUCT, members, element=LEAF if is_open else None)


def _of_field(info: FieldInfo) -> Shape:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return _of_annotation(info.annotation, extra)


def _of_annotation(annotation: Any, extra: Mapping[str, Any]) -> Shape:
    annotation = _without_none(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return Shape(Form.MAP, element=_of_annotation(arguments[1], {}))
    if origin in (tuple, list):
        return _of_list(_of_annotation(arguments[0], {}), extra)
    return FREE if annotation is Any else LEAF


def _of_list(element: Shape, extra: Mapping[str, Any]) -> Shape:
    match extra.get("x-kubernetes-list-type", "atomic"):
        case "set":
            return Shape(Form.SET, element=element)
        case "map":
            return Shape(Form.KEYED, element=element, keys=tuple(extra["x-kubernetes-list-map-keys"]))
        case _:
            return Shape(Form.LIST, element=element)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        wanted = [argument for argument in typing.get_args(annotation) if argument is not types.NoneType]
        return wanted[0] if len(wanted) == 1 else Any
    return annotation


def prune(document: Document, shape: Shape) -> tuple[Document, list[str]]:
    """Return `document` without unknown fields and nulls, and the paths of the unknown ones.

    A null means the same as no field, as in Kubernetes. What is pruned is copied, not changed.
    """
    unknown: list[str] = []
    return _prune(document, shape, "", unknown), unknown


def _prune(value: Any, shape: Shape, path: str, unknown: list[str]) -> Any:
    if isinstance(value, list) and shape.form in (Form.LIST, Form.SET, Form.KEYED):
        item = shape.item()
        return [_prune(each, item, f"{path}[{index}]", unknown) for index, each in enumerate(value)]
    if not isinstance(value, dict) or shape.form in (Form.LEAF, Form.FREE):
        return value
    kept = {}
    for name, member in value.items():
        inside = f"{path}.{name}" if path else name
        if shape.form is Form.STRUCT and not shape.has(name):
            unknown.append(inside)
        elif member is not None:
            kept[name] = _prune(member, shape.child(name), inside, unknown)
    return kept


def fields_beside(shape: Shape, path: str) -> tuple[str, ...]:
    """Return the fields that there are where `path`, as `prune` tells it, names one that is not there."""
    above = _PATH_PART.findall(path)[:-1]
    for index, name in above:
        shape = shape.item() if index else shape.child(name)
    return tuple(shape.fields)


def check_caps(value: Any) -> None:
    """Refuse a value that nests so deep that walking it could fail, or that holds more than any object does.

    Raises:
        BadRequest: it does.
    """
    level, total = [value], 1
    for _ in range(MOST_DEPTH):
        total += sum(_count(each) for each in level)
        if total > MOST_VALUES:
            raise BadRequest(f"cannot read the object: it has more than {MOST_VALUES} values")
        nested = [child for each in level for child in _children(each) if isinstance(child, dict | list)]
        if not nested:
            return
        level = nested
    raise BadRequest(f"cannot read the object: it nests deeper than {MOST_DEPTH} levels")


def _count(value: Any) -> int:
    """Return how many values `value` directly holds, keys among them."""
    return 2 * len(value) if isinstance(value, dict) else len(value) if isinstance(value, list) else 0


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
