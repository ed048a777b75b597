"""The journal: every change in one order. Append, read the present, a past moment, or what came after.

Here: the statements, each with a name, and the functions that run them on a connection. Never
here: what may be written (`store.py`) or what an object's life is (`lifecycle.py`). Statements are
built from the tables once, at import, and run as prepared SQL: a session per call would cost more
than the commit.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import ClauseElement, bindparam, exists, text, tuple_
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, func, insert, or_, select, update

from api.meta import ObjectKey
from state.schema import NO_REVISION, JournalRow, MetaRow

_FLOOR = "compact_floor"


class Change(Enum):
    """What a row does to its object."""

    CREATED = "created"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row about to be appended; `value` is the object's JSON without its resourceVersion."""

    key: ObjectKey
    change: Change
    value: str
    old_value: str | None
    prev_revision: int
    written_at: int


class Stored(NamedTuple):
    """The newest row of a key."""

    revision: int
    deleted: int
    value: str


class Found(NamedTuple):
    """One object of a page."""

    revision: int
    namespace: str
    name: str
    value: str


class Row(NamedTuple):
    """A row as watchers read it."""

    revision: int
    kind: str
    namespace: str
    name: str
    created: int
    deleted: int
    prev_revision: int
    value: str
    old_value: str | None


_J = JournalRow
_NO_LIMIT = -1
_AFTER_ALL = "\U0010ffff"
_LIMIT = " LIMIT :limit"
_KIND = col(_J.kind) == bindparam("kind")
_NAMESPACE = col(_J.namespace) == bindparam("namespace")
_NAME = col(_J.name) == bindparam("name")


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def _objects(columns: tuple[Any, ...], *, one_namespace: bool = False) -> Any:
    """Select from the objects of a kind as they were at revision `at`: rows that no later one up to `at` supersedes.

    Of one namespace, nothing is said of the namespace of the key to begin after: with two conditions on it, SQLite
    reads all rows to sort them.
    """
    later = aliased(_J)
    superseded = exists().where(
        *(getattr(later, part) == getattr(_J, part) for part in ("kind", "namespace", "name")),
        col(later.prev_revision) == col(_J.revision),
        col(later.revision) <= bindparam("at"),
    )
    after = tuple_(col(_J.namespace), col(_J.name)) > tuple_(bindparam("after_namespace"), bindparam("after_name"))
    which = (_NAMESPACE, col(_J.name) > bindparam("after_name")) if one_namespace else (after,)
    then = (col(_J.revision) <= bindparam("at"), col(_J.deleted) == text("0"), ~superseded)
    return select(*columns).where(_KIND, *which, *then)


def _page(*, one_namespace: bool) -> str:
    statement = _objects(tuple(col(getattr(_J, name)) for name in Found._fields), one_namespace=one_namespace)
    return _sql(statement.order_by(col(_J.namespace), col(_J.name))) + _LIMIT


def _keys(*, one_namespace: bool) -> str:
    statement = _objects((col(_J.namespace), col(_J.name)), one_namespace=one_namespace)
    return _sql(statement.order_by(col(_J.namespace), col(_J.name)))


def _uids() -> str:
    uid = func.json_extract(col(_J.value), text("'$.metadata.uid'")).label("uid")
    return _sql(_objects((col(_J.namespace), col(_J.name), uid)))


def _since(*which: Any) -> str:
    columns: list[Any] = [col(getattr(_J, name)) for name in Row._fields]
    later = select(*columns).where(col(_J.revision) > bindparam("since"), *which)
    return _sql(later.order_by(col(_J.revision))) + _LIMIT


_IN_RANGE = col(_J.revision).between(bindparam("low"), bindparam("high"))

APPEND = _sql(insert(_J).values({name: bindparam(name) for name in (*Row._fields[1:], "written_at")}))
# A later row of a key has a later predecessor, so the one index that locks also finds the newest row.
_CURRENT = select(col(_J.revision), col(_J.deleted), col(_J.value)).where(_KIND, _NAMESPACE, _NAME)
CURRENT = _sql(_CURRENT.order_by(col(_J.prev_revision).desc())) + " LIMIT 1"
_BOTH = (False, True)
PAGE = {one: _page(one_namespace=one) for one in _BOTH}
KEYS = {one: _keys(one_namespace=one) for one in _BOTH}
UIDS = _uids()
KINDS = _sql(select(col(_J.kind)).distinct())
COUNT = {one: _sql(_objects((func.count(),), one_namespace=one)) for one in _BOTH}
_STALE = _objects((col(_J.namespace), col(_J.name))).where(col(_J.written_at) < bindparam("before"))
STALE = _sql(_STALE.order_by(col(_J.revision))) + _LIMIT
# One statement for any number of kinds: they come as a JSON list.
SINCE = {False: _since(), True: _since(text("journal.kind IN (SELECT value FROM json_each(:kinds))"))}
SEALS = [
    _sql(
        select(func.substr(col(text_), text("1"), bindparam("length"))).where(_KIND, col(text_).is_not(None)).distinct()
    )
    for text_ in (_J.value, _J.old_value)
]
ROWS_OF = _sql(select(*(col(getattr(_J, name)) for name in Row._fields)).where(_KIND))
REWRITE = _sql(
    update(_J)
    .where(col(_J.revision) == bindparam("which"))
    .values(value=bindparam("new_value"), old_value=bindparam("new_old_value"))
)
NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"  # A table of SQLite's own, never lowered.
FORGET_SEQUENCE = "DELETE FROM sqlite_sequence WHERE name = 'journal'"
SET_SEQUENCE = "INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', :revision)"
FLOOR = _sql(select(col(MetaRow.value)).where(col(MetaRow.name) == bindparam("name")))
RAISE_FLOOR = _sql(update(MetaRow).where(col(MetaRow.name) == bindparam("which")).values(value=bindparam("floor")))
REMOVE_SUPERSEDED = _sql(
    delete(_J).where(
        or_(
            col(_J.revision).in_(select(col(_J.prev_revision)).where(_IN_RANGE)),
            _IN_RANGE & (col(_J.deleted) == text("1")),
        )
    )
)


def append(connection: sqlite3.Connection, entry: Entry) -> int:
    """Add a row and return its revision.

    Raises:
        sqlite3.IntegrityError: the key has a row with that predecessor already.
    """
    cursor = connection.execute(
        APPEND,
        {
            "kind": entry.key.kind,
            "namespace": entry.key.namespace,
            "name": entry.key.name,
            "created": entry.change is Change.CREATED,
            "deleted": entry.change is Change.REMOVED,
            "prev_revision": entry.prev_revision,
            "written_at": entry.written_at,
            "value": entry.value,
            "old_value": entry.old_value,
        },
    )
    return int(cursor.lastrowid or NO_REVISION)


def row_of(entry: Entry, revision: int) -> Row:
    """Return the row that `append` has made of an entry, as `since` returns it."""
    created, deleted = entry.change is Change.CREATED, entry.change is Change.REMOVED
    key = entry.key.kind, entry.key.namespace, entry.key.name
    return Row(revision, *key, int(created), int(deleted), entry.prev_revision, entry.value, entry.old_value)


def current(connection: sqlite3.Connection, key: ObjectKey) -> Stored | None:
    """Return the newest row of `key`, a tombstone included, or None if it has no row."""
    row = connection.execute(CURRENT, {"kind": key.kind, "namespace": key.namespace, "name": key.name}).fetchone()
    return None if row is None else Stored(*row)


def newest(connection: sqlite3.Connection) -> int:
    """Return the newest revision ever given."""
    row = connection.execute(NEWEST).fetchone()
    return NO_REVISION if row is None else int(row[0])


def page(
    connection: sqlite3.Connection, kind: str, namespace: str | None, at: int, after: ObjectKey | None, limit: int
) -> Sequence[Found]:
    """Return the objects as they were at revision `at`, in key order; 0 is no limit."""
    parameters = _selection(kind, namespace, at, after) | {"limit": limit or _NO_LIMIT}
    return [Found(*row) for row in connection.execute(PAGE[namespace is not None], parameters)]


def each(connection: sqlite3.Connection, kind: str, namespace: str | None, at: int) -> Iterator[Found]:
    """Yield the objects as they were at revision `at`, in key order, as they are read."""
    parameters = _selection(kind, namespace, at, None) | {"limit": _NO_LIMIT}
    return (Found(*row) for row in connection.execute(PAGE[namespace is not None], parameters))


def keys(connection: sqlite3.Connection, kind: str, namespace: str | None, at: int) -> tuple[ObjectKey, ...]:
    """Return the keys of all objects of a kind that were there at revision `at`, in order."""
    parameters = _selection(kind, namespace, at, None)
    return tuple(ObjectKey(kind, *row) for row in connection.execute(KEYS[namespace is not None], parameters))


def kinds(connection: sqlite3.Connection) -> set[str]:
    """Return the kinds that there are rows of."""
    return {kind for (kind,) in connection.execute(KINDS)}


def uids(connection: sqlite3.Connection, kind: str, at: int) -> dict[str, ObjectKey]:
    """Return the keys of all objects of a kind there at `at`, by their uids; it is not a confidential kind."""
    parameters = _selection(kind, None, at, None)
    return {uid: ObjectKey(kind, namespace, name) for namespace, name, uid in connection.execute(UIDS, parameters)}


def count(connection: sqlite3.Connection, kind: str, namespace: str | None, at: int, after: ObjectKey | None) -> int:
    """Return how many objects `page` would return without a limit."""
    (found,) = connection.execute(COUNT[namespace is not None], _selection(kind, namespace, at, after)).fetchone()
    return int(found)


def stale(connection: sqlite3.Connection, kind: str, before: int, limit: int) -> tuple[ObjectKey, ...]:
    """Return keys of objects of `kind` that were last written before `before`, oldest first."""
    parameters = _selection(kind, None, newest(connection), None) | {"before": before, "limit": limit}
    return tuple(ObjectKey(kind, *row) for row in connection.execute(STALE, parameters))


def since(connection: sqlite3.Connection, revision: int, kinds: Collection[str] | None, limit: int) -> Sequence[Row]:
    """Return the rows of `kinds` after `revision`, oldest first; None is all kinds."""
    parameters: dict[str, Any] = {"since": revision, "limit": limit or _NO_LIMIT}
    if kinds is not None:
        parameters["kinds"] = json.dumps(list(kinds))
    return [Row(*row) for row in connection.execute(SINCE[kinds is not None], parameters)]


def skip_to(connection: sqlite3.Connection, revision: int) -> None:
    """Make the next revision given the one after `revision`."""
    connection.execute(FORGET_SEQUENCE)
    connection.execute(SET_SEQUENCE, {"revision": revision})


def floor(connection: sqlite3.Connection) -> int:
    """Return the revision below which history has been compacted away."""
    (value,) = connection.execute(FLOOR, {"name": _FLOOR}).fetchone()
    return int(value)


def remove_superseded(connection: sqlite3.Connection, low: int, high: int) -> int:
    """Remove what the rows from `low` to `high` superseded, and the tombstones among them; say how many."""
    return connection.execute(REMOVE_SUPERSEDED, {"low": low, "high": high}).rowcount


def raise_floor(connection: sqlite3.Connection, revision: int) -> None:
    """Record that history before `revision` is gone; in the transaction that removes it."""
    connection.execute(RAISE_FLOOR, {"which": _FLOOR, "floor": revision})


def beginnings(connection: sqlite3.Connection, kind: str, length: int) -> set[str]:
    """Return what the texts of objects of `kind`, present and past, begin with: `length` characters of each."""
    parameters = {"kind": kind, "length": length}
    return {start for statement in SEALS for (start,) in connection.execute(statement, parameters)}


def rows_of(connection: sqlite3.Connection, kind: str) -> Sequence[Row]:
    """Return all rows of a kind."""
    return [Row(*row) for row in connection.execute(ROWS_OF, {"kind": kind})]


def rewrite(connection: sqlite3.Connection, revision: int, value: str, old_value: str | None) -> None:
    """Put another text of the same meaning into a row: it is the one change that a row may see."""
    parameters = {"which": revision, "new_value": value, "new_old_value": old_value}
    connection.execute(REWRITE, parameters)


def _selection(kind: str, namespace: str | None, at: int, after: ObjectKey | None) -> dict[str, Any]:
    # The empty key is before every key: each object has a name.
    start = ("", "") if after is None else (after.namespace, after.name)
    parameters: dict[str, Any] = {"kind": kind, "at": at}
    if namespace is None:
        return parameters | {"after_namespace": start[0], "after_name": start[1]}
    name = start[1] if start[0] == namespace else "" if start[0] < namespace else _AFTER_ALL
    return parameters | {"namespace": namespace, "after_name": name}
