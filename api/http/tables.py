"""Objects as clients show them: Tables, metadata only, lists, watch events. Pure.

Source: meta.k8s.io/v1 Table; k8s.io/apimachinery/pkg/util/duration, HumanDuration.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.definition import Column
from api.http.negotiation import View
from api.kinds import EVENT, Kind
from api.meta import Document, read_time
from api.objects.listing import Page

_META = "meta.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Showing:
    """How to show objects of a kind: the representation, and how much of each object a Table row holds."""

    kind: Kind
    view: View
    now: datetime
    include: str = "Metadata"


def one(showing: Showing, document: Document) -> Document:
    """Return one object as it is to be shown."""
    match showing.view:
        case View.PLAIN:
            return document
        case View.METADATA:
            return _metadata_of(document)
        case View.TABLE:
            metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
            return _table(showing, [document], metadata)


def many(showing: Showing, page: Page) -> Document:
    """Return a page of a list as it is to be shown."""
    metadata: Document = {"resourceVersion": str(page.revision)}
    metadata |= {"continue": page.continue_} if page.continue_ else {}
    metadata |= {"remainingItemCount": page.remaining} if page.remaining is not None else {}
    if showing.view is View.TABLE:
        return _table(showing, page.items, metadata)
    if showing.view is View.METADATA:
        items = [_metadata_of(item) for item in page.items]
        return {"kind": "PartialObjectMetadataList", "apiVersion": _META, "metadata": metadata, "items": items}
    kind = showing.kind
    return {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": list(page.items),
    }


def event(showing: Showing, type_: str, document: Document, *, with_columns: bool) -> Document:
    """Return a watch event; the columns of a Table are in the first one only."""
    shown = one(showing, document)
    if showing.view is View.TABLE and not with_columns:
        shown["columnDefinitions"] = None
    return {"type": type_, "object": shown}


def bookmark(showing: Showing, revision: int, *, ends_initial: bool = False) -> Document:
    """Return a BOOKMARK event: everything up to `revision` was sent."""
    metadata: Document = {"resourceVersion": str(revision)}
    if ends_initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    kind = showing.kind
    plain = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
    if showing.view is View.PLAIN:
        return {"type": "BOOKMARK", "object": plain}
    partial = _metadata_of(plain)
    if showing.view is View.METADATA:
        return {"type": "BOOKMARK", "object": partial}
    cells = [""] * len(_columns(kind))
    table = {"kind": "Table", "apiVersion": _META, "metadata": {"resourceVersion": str(revision)}}
    row = {"cells": cells, "object": partial}
    return {"type": "BOOKMARK", "object": table | {"columnDefinitions": None, "rows": [row]}}


def _metadata_of(document: Document) -> Document:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": document["metadata"]}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    cell: Callable[[Document, datetime], str]
    wide: bool
    description: str
    format: str = ""

    def definition(self) -> Document:
        priority = 1 if self.wide else 0
        text = {"name": self.name, "type": "string", "format": self.format, "description": self.description}
        return text | {"priority": priority}


def _table(showing: Showing, items: Iterable[Document], metadata: Document) -> Document:
    columns = _columns(showing.kind)
    rows = [_row(showing, columns, item) for item in items]
    definitions = [column.definition() for column in columns]
    return {
        "kind": "Table",
        "apiVersion": _META,
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _row(showing: Showing, columns: Sequence[_Column], document: Document) -> Document:
    row: Document = {"cells": [column.cell(document, showing.now) for column in columns]}
    if showing.include == "Object":
        row["object"] = document
    elif showing.include != "None":
        row["object"] = _metadata_of(document)
    return row


def _columns(kind: Kind) -> list[_Column]:
    """Return the columns in kubectl's order: Name first, Age last, wide ones after it."""
    own = [_Column(each.name, _cell_of(each), each.wide, each.description) for each in kind.definition.columns]
    narrow, wide = [each for each in own if not each.wide], [each for each in own if each.wide]
    if kind.name == EVENT.name:
        seen = _Column("Last Seen", _last_seen, wide=False, description="How long ago it last happened.")
        return [seen, *narrow, *wide, _Column("Name", _name, wide=True, description="The event's name.", format="name")]
    name = _Column("Name", _name, wide=False, description="Unique in its namespace.", format="name")
    return [name, *narrow, _Column("Age", _age, wide=False, description="How long ago it was created."), *wide]


def _cell_of(column: Column) -> Callable[[Document, datetime], str]:
    cell = column.cell
    if column.ago:
        return lambda document, now: _since(moment, now) if (moment := cell(document)) else "<none>"
    return lambda document, _now: cell(document)


def _name(document: Document, _now: datetime) -> str:
    return str(document["metadata"].get("name", ""))


def _age(document: Document, now: datetime) -> str:
    return _since(document["metadata"].get("creationTimestamp"), now)


def _last_seen(document: Mapping[str, Any], now: datetime) -> str:
    names = ("lastTimestamp", "deprecatedLastTimestamp", "eventTime")
    last = next((document[name] for name in names if document.get(name)), None)
    return _since(last or document["metadata"].get("creationTimestamp"), now)


def _since(moment: str | None, now: datetime) -> str:
    if not moment:
        return "<unknown>"
    try:
        seconds = (now - read_time(moment)).total_seconds()
    except ValueError:
        return "<invalid>"
    return human_duration(seconds)


def human_duration(seconds: float) -> str:
    """Return a duration as kubectl prints ages: short, and exact where it matters.

    >>> [human_duration(s) for s in (59, 150, 600, 11000, 100000, 1e7, 1e8)]
    ['59s', '2m30s', '10m', '3h3m', '27h', '115d', '3y62d']
    """
    if seconds < -1:
        return "<invalid>"
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 2920 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
