"""What a kind is to everybody: its names, group and scope, and the way to its definition. The table is `kinds.py`."""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from api.definition import Definition
from api.meta import GROUP, VERSION

if TYPE_CHECKING:
    from api.model import Resource


@cache
def _load(where: str) -> Definition:
    module, _, attribute = where.partition(":")
    definition = getattr(importlib.import_module(module), attribute)
    if not isinstance(definition, Definition):
        raise TypeError(f"{where} is not the definition of a kind")
    return definition


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind, as clients and the server know it.

    `defined` is its definition, or `module:attribute` where that is imported from when it is first asked for. Of a
    `confidential` one no message has a value, and it is stored encrypted.
    """

    name: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    defined: Definition | str
    group: str = GROUP
    version: str = VERSION
    finalizer: str | None = None
    has_status: bool = True
    categories: tuple[str, ...] = ("runwright",)
    confidential: bool = False

    @property
    def api_version(self) -> str:
        """Group and version as objects carry them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_explained(self) -> bool:
        """Whether there is something to be said of why its objects are where they are."""
        return self.has_status and self.group == GROUP

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """The plural with its group, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def definition(self) -> Definition:
        """What is defined of it besides."""
        return self.defined if isinstance(self.defined, Definition) else _load(self.defined)

    @property
    def type(self) -> "type[Resource]":
        """The type of its objects."""
        return self.definition.type
