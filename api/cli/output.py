"""How results look: kubectl's columns, JSON, YAML; colours for a person only.

Invariant: what an object holds cannot steer the terminal: control characters are shown, not sent.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from api.meta import Document, read_time

_GAP = "   "
_GOOD = frozenset(
    {"Succeeded", "Complete", "Completed", "Installed", "Ready", "Active", "Running", "True", "Valid", "Fetched"}
)
_BAD = frozenset({"Failed", "Error", "OOMKilled", "DeadlineExceeded", "Invalid", "Broken", "Warning", "SandboxFailed"})
_BUSY = frozenset({"Pending", "Installing", "Terminating", "Removing", "Suspended", "Unknown", "BackOff"})


def note(text: str) -> None:
    """Say something to the person, beside the result."""
    click.echo(text, err=True)


def note_none(namespace: str = "") -> None:
    """Say that there is nothing, in `namespace` if it is of one, in kubectl's words."""
    note("No resources found" + (f" in {namespace} namespace" if namespace else ""))


def show_json(document: Any) -> None:
    """Print a document as JSON, nothing added or left out."""
    click.echo(json.dumps(document, indent=4, ensure_ascii=False))


def show_json_of(documents: Sequence[Document], *, several: bool) -> None:
    """Print objects as one JSON document: the only one by itself, unless it is one of `several`; else a List."""
    show_json(documents[0] if len(documents) == 1 and not several else list_of(documents))


def list_of(documents: Sequence[Document]) -> Document:
    """Return objects of any kinds as one List, as kubectl has it."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": list(documents)}


def show_yaml(document: Any) -> None:
    """Print a document as YAML, without managedFields, which a person does not want to see."""
    click.echo(yaml_of(without_managed_fields(document)), nl=False)


def yaml_of(document: Any, *, sort_keys: bool = False) -> str:
    """Return a document as YAML, its fields in the order that they have, or sorted."""
    from api.cli import yaml_text

    return yaml_text.dump(document, sort_keys=sort_keys)


def without_managed_fields(document: Any) -> Any:
    """Return an object, or a list of objects, less what says who owns which field."""
    if "items" in document:
        return {**document, "items": [without_managed_fields(item) for item in document["items"]]}
    metadata = {name: value for name, value in document.get("metadata", {}).items() if name != "managedFields"}
    return {**document, "metadata": metadata} if "metadata" in document else document


def printable(text: object) -> str:
    r"""Return `text` on one line, with control characters shown as escapes.

    >>> printable("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    plain = str(text)
    return plain if plain.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in plain)


def columns(rows: Sequence[Sequence[object]]) -> list[str]:
    """Return rows as lines with aligned columns, as kubectl prints them."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells if i < len(row)) for i in range(max(map(len, cells), default=0))]
    return [_line(row, widths) for row in cells]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [coloured(cell) + " " * (width - len(cell)) for cell, width in zip(row, widths, strict=False)]
    return _GAP.join(padded).rstrip()


def coloured(word: str) -> str:
    """Colour a word that says how an object is; click drops colours where there is no terminal."""
    colour = "green" if word in _GOOD else "red" if word in _BAD else "yellow" if word in _BUSY else None
    return click.style(word, fg=colour) if colour else word


def show_columns(rows: Sequence[Sequence[object]]) -> None:
    """Print rows with aligned columns."""
    for line in columns(rows):
        click.echo(line)


def age(since: str | None, now: datetime | None = None) -> str:
    """Return how long ago an RFC 3339 time was, as kubectl writes it.

    >>> age("2026-01-01T00:00:00Z", datetime(2026, 1, 1, 3, 5, tzinfo=UTC))
    '3h5m'
    """
    if not since:
        return "<unknown>"
    seconds = ((now or datetime.now(UTC)) - read_time(since)).total_seconds()
    return duration(max(0.0, seconds))


def duration(seconds: float) -> str:
    """Return a length of time in at most two units, as kubectl writes it.

    >>> [duration(s) for s in (7, 119, 185, 4000, 100_000, 900_000)]
    ['7s', '119s', '3m5s', '66m', '27h', '10d']
    """
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def several(count: int, what: str) -> str:
    """Return so many of something.

    >>> several(1, "file"), several(0, "file")
    ('1 file', '0 files')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def size(count: int | None) -> str:
    """Return a number of bytes for a person.

    >>> size(123), size(1536), size(67108864)
    ('123 B', '1.5 KiB', '64.0 MiB')
    """
    if count is None:
        return ""
    number, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{count} B" if units[0] == "B" else f"{number:.1f} {units[0]}"


def items_of(document: Document) -> list[Document]:
    """Return the objects of a list document, or the one object that it is."""
    return list(document["items"]) if "items" in document else [document]
