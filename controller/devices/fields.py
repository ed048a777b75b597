"""Reading the fields of a document that somebody else wrote: each of its type, or refused by name. Pure.

Invariant: no field goes unread: one that nobody asked for is refused, as it may be one that limits.
"""

from collections.abc import Mapping
from typing import Any, NoReturn


class InvalidCdi(ValueError):
    """A file is no CDI spec; the message names it, and the field."""


class Fields:
    """The members of one object in a document."""

    def __init__(self, given: Mapping[str, Any], file: str, place: str) -> None:
        """Read `given`, which is at `place` of `file`."""
        self.given = given
        self.file = file
        self._place = place
        self._asked: set[str] = set()

    @classmethod
    def of(cls, value: object, file: str, place: str) -> "Fields":
        """Return the fields of `value`, which is at `place`; none where there is nothing."""
        if value is None and place:
            return cls({}, file, place)
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise InvalidCdi(f"cannot use {file}: {place or 'the document'}: is no object")
        return cls(value, file, place)

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise InvalidCdi about the field `name`."""
        raise InvalidCdi(f"cannot use {self.file}: {self._at(name)}: {why}")

    def text(self, name: str, *, required: bool = True) -> str:
        """Return a text; an empty one where it may be missing."""
        value = self._take(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or "\0" in value or (required and not value):
            self.refuse(name, "is required" if value in (None, "") else f"{value!r:.80} is no text")
        return value

    def path(self, name: str, *, required: bool = True) -> str:
        """Return an absolute path without `..`; an empty text where it may be missing."""
        value = self.text(name, required=required)
        if value and (not value.startswith("/") or ".." in value.split("/")):
            self.refuse(name, f"{value!r} is not an absolute path without '..'")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, which may be missing."""
        values = self._list(name)
        if not all(isinstance(value, str) and "\0" not in value for value in values):
            self.refuse(name, "is no list of texts")
        return tuple(values)

    def integer(self, name: str, largest: int) -> int | None:
        """Return a number from 0 to `largest`, or None where it is missing."""
        value = self._take(name)
        return None if value is None else self._number(name, value, largest)

    def integers(self, name: str, largest: int) -> tuple[int, ...]:
        """Return a list of numbers, which may be missing."""
        return tuple(self._number(name, value, largest) for value in self._list(name))

    def members(self, name: str) -> "Fields":
        """Return the fields of an object, which may be missing."""
        return Fields.of(self._take(name), self.file, self._at(name))

    def all_members(self, name: str) -> tuple["Fields", ...]:
        """Return the fields of each object of a list, which may be missing."""
        return tuple(
            Fields.of(value if value is not None else "", self.file, f"{self._at(name)}[{index}]")
            for index, value in enumerate(self._list(name))
        )

    def anything(self, name: str) -> bool:
        """Say whether there is something of that name, whatever it is."""
        return bool(self._take(name))

    def end(self) -> None:
        """Refuse what nobody asked for."""
        for name in self.given:
            if name not in self._asked:
                self.refuse(name, "there is no such field")

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _take(self, name: str) -> Any:
        self._asked.add(name)
        return self.given.get(name)

    def _list(self, name: str) -> list[Any]:
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, "is no list")
        return value

    def _number(self, name: str, value: object, largest: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            self.refuse(name, f"{value!r:.80} is no number from 0 to {largest}")
        return value
