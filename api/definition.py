"""What is defined of a kind besides its names: its type, conditions, columns and rules. It stands by the type."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.errors import Cause
from api.meta import Document

if TYPE_CHECKING:
    from api.model import Resource


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `get`; `wide` ones are shown with `-o wide` only, of `ago` ones how long ago the cell's time is."""

    name: str
    cell: Callable[[Document], str]
    wide: bool = False
    description: str = ""
    ago: bool = False


def _as_it_is(document: Document) -> Document:
    return document


def _any_change(_live: Document, _changed: Document) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True)
class Definition:
    """All that the API needs to know of a kind besides its names.

    `conditions` are those that its objects can have. What is sent goes through `fold` before anything else; `given` is
    filled in at the top of what is stored, as nobody's own; `problems_with_change` says why an object may not become
    another.
    """

    type: "type[Resource]"
    columns: tuple[Column, ...] = ()
    conditions: Collection[str] = ()
    fold: Callable[[Document], Document] = _as_it_is
    given: tuple[tuple[str, str], ...] = ()
    problems_with_change: Callable[[Document, Document], list[Cause]] = _any_change


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that shows what is at a JSONPath, so that a CRD can show the same column."""

    read: Callable[[Document], str]
    json_path: str

    def __call__(self, document: Document) -> str:
        """Return the cell's text for an object."""
        return self.read(document)


def field(path: str) -> Cell:
    """Return a cell that shows the value at a dotted path, empty where there is none."""
    names = path.split(".")

    def read(document: Document) -> str:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return Cell(read, f".{path}")


def condition(name: str, part: str) -> Cell:
    """Return a cell that shows a part of a condition: its status, reason or message."""

    def read(document: Document) -> str:
        conditions = document.get("status", {}).get("conditions", ())
        nothing = "Unknown" if part == "status" else ""
        return next((str(c.get(part, "")) for c in conditions if c.get("type") == name), nothing)

    return Cell(read, f'.status.conditions[?(@.type=="{name}")].{part}')
