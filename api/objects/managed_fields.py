"""`metadata.managedFields`: which manager owns which fields, and what ordinary writes do to it.

Source: Kubernetes, "Server-Side Apply", and structured-merge-diff's Updater. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from api.errors import Cause
from api.meta import Document
from api.objects import field_sets
from api.objects.field_sets import FieldSet
from api.objects.shapes import Shape

APPLY, UPDATE = "Apply", "Update"
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"

EntryKey: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns, by one way of writing."""

    manager: str
    operation: str
    api_version: str
    time: str
    fields: FieldSet
    subresource: str = ""

    @property
    def key(self) -> EntryKey:
        """What tells entries apart."""
        return (self.manager, self.operation, self.api_version, self.subresource)

    def __str__(self) -> str:
        """Print as conflicts name a manager."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == UPDATE:
            text += f" using {self.api_version}" + (f" at {self.time}" if self.time else "")
        return text

    def to_document(self) -> Document:
        """Return the JSON form."""
        document = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": field_sets.encode(self.fields),
        }
        return document | ({"subresource": self.subresource} if self.subresource else {})


def decode(documents: Sequence[Any]) -> tuple[Entry, ...]:
    """Return the entries of a managedFields list; `[{}]` is none, as clients use it to clear the list.

    Raises:
        ValueError: it is no such list.
    """
    return tuple(_decode(document) for document in documents if document != {})


def _decode(document: Any) -> Entry:
    if not isinstance(document, dict):
        raise ValueError("an entry must be an object")
    if document.get("operation") not in (APPLY, UPDATE):
        raise ValueError("operation must be Apply or Update")
    names = ("manager", "operation", "apiVersion", "time", "subresource")
    texts = {name: document.get(name, "") for name in names}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("manager, apiVersion, time and subresource must be strings")
    fields = field_sets.decode(document.get("fieldsV1", {}))
    return Entry(texts["manager"], texts["operation"], texts["apiVersion"], texts["time"], fields, texts["subresource"])


def check(documents: Any) -> list[Cause]:
    """Return what is wrong with a managedFields list that a client sent."""
    try:
        decode(documents)
    except (ValueError, TypeError, RecursionError) as error:
        return [Cause("metadata.managedFields", "FieldValueInvalid", f"Invalid value: {error}")]
    return []


def encode(entries: Iterable[Entry]) -> list[Document]:
    """Return the JSON form of all entries that own something."""
    return [entry.to_document() for entry in entries if entry.fields]


def after_update(
    entries: Sequence[Entry], writer: Entry, before: Document, after: Document, shape: Shape
) -> list[Entry]:
    """Return who owns what after an ordinary write by `writer` changed `before` to `after`.

    Both documents are owned parts. The writer gains what changed or came; everyone else loses what
    changed or went. `writer.fields` is ignored.
    """
    old, old_containers = field_sets.leaves_and_containers(before, shape)
    new, new_containers = field_sets.leaves_and_containers(after, shape)
    gained = {path for path, value in new.items() if path not in old or old[path] != value}
    gained |= new_containers - old_containers
    gone = (old.keys() | old_containers) - (new.keys() | new_containers)
    if not gained and not gone:
        return list(entries)
    lost = gained | gone
    owned = {entry.key: replace(entry, fields=entry.fields - lost) for entry in entries if entry.key != writer.key}
    mine = next((entry.fields for entry in entries if entry.key == writer.key), frozenset())
    owned[writer.key] = replace(writer, fields=(mine - gone) | gained)
    return _bounded([entry for entry in owned.values() if entry.fields])


def _bounded(entries: list[Entry]) -> list[Entry]:
    """Merge the oldest updaters into one when there are too many, as Kubernetes does."""
    updaters = sorted((entry for entry in entries if entry.operation == UPDATE), key=lambda entry: entry.time)
    if len(updaters) <= MOST_UPDATERS:
        return entries
    surplus = updaters[: len(updaters) - MOST_UPDATERS + 1]
    merged: dict[EntryKey, Entry] = {}
    for entry in surplus:
        ancient = replace(entry, manager=ANCIENT)
        before = merged.get(ancient.key)
        merged[ancient.key] = replace(ancient, fields=ancient.fields | (before.fields if before else frozenset()))
    return [entry for entry in entries if entry not in surplus] + list(merged.values())


def same_but_times(one: object, other: object) -> bool:
    """Return whether two managedFields lists say the same, whenever it was written."""
    if not isinstance(one, list) or not isinstance(other, list):
        return one == other
    return [_timeless(entry) for entry in one] == [_timeless(entry) for entry in other]


def _timeless(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return {name: value for name, value in entry.items() if name != "time"}
