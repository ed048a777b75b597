"""The inbox: a table in a SQLite file of its own, into which any program may put manifests.

Here: making the file, reading all of it, noticing that it changed. Never here: what a manifest
means, or what is done when one goes. Invariant: what cannot be read whole is an error, never an
empty inbox, so that a reader who prunes what is missing prunes nothing by mistake.

    INSERT INTO manifests (source, name, document) VALUES ('billing', 'nightly', '{"kind": "Job", …}')
"""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from api.caps import MOST_TEXT_BYTES

_BUSY_TIMEOUT_MS = 1_000
_COLUMNS = frozenset(("source", "name", "document", "updated_at"))
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_SCHEMA = (
    f"""
    CREATE TABLE IF NOT EXISTS manifests (
        source TEXT NOT NULL DEFAULT 'default' CHECK (source <> ''),
        name TEXT NOT NULL CHECK (name <> ''),
        document TEXT NOT NULL,
        updated_at TEXT NOT NULL DEFAULT ({_NOW}),
        PRIMARY KEY (source, name)
    )
    """,
    f"""
    CREATE TRIGGER IF NOT EXISTS manifests_updated AFTER UPDATE OF source, name, document ON manifests
    WHEN new.updated_at IS old.updated_at
    BEGIN UPDATE manifests SET updated_at = {_NOW} WHERE source = new.source AND name = new.name; END
    """,
)
_READ = """
    SELECT source, name, length(CAST(document AS BLOB)),
        CASE WHEN length(CAST(document AS BLOB)) <= ? THEN document END, updated_at
    FROM manifests ORDER BY source, name
"""
_Cell: TypeAlias = bytes | int | float | None


class InboxError(OSError):
    """The inbox cannot be read; what it held must be taken as unchanged."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One manifest; `problem` says why `document` is empty when it could not be read."""

    source: str
    name: str
    document: str
    updated_at: str
    problem: str = ""


class Inbox:
    """Reads the inbox's file. A failed read is tried afresh by the next one; a lost file is never replaced."""

    def __init__(self, path: Path, *, was_created: bool) -> None:
        """Use `Inbox.open`, which prepares the file."""
        self.was_created = was_created
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._seen_version: int | None = None

    @classmethod
    def open(cls, path: Path) -> "Inbox":
        """Open the inbox, made with mode 0600 if there is none; an existing file keeps its mode and owner.

        Raises:
            InboxError: it is no SQLite file, has another table in the way, or anybody may write to it.
        """
        was_created = not path.exists()
        with _explained(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(_connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                for statement in _SCHEMA:
                    connection.execute(statement)
        inbox = cls(path, was_created=was_created)
        try:
            inbox.read()
        except InboxError:
            inbox.close()
            raise
        inbox._seen_version = None  # Opening is not yet reading: the first reader finds a change.
        return inbox

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def changed_since_last(self) -> bool:
        """Whether another program has committed anything since the last `read`. Cheap: no row is read.

        Raises:
            InboxError: the inbox cannot be read now.
        """
        with self._lock, self._using() as connection:
            return self._version(connection) != self._seen_version

    def read(self) -> tuple[InboxRow, ...]:
        """Return every row, in order of source and name, as they were at one moment.

        Raises:
            InboxError: the inbox cannot be read whole.
        """
        with self._lock, self._using() as connection:
            # The version first: what is committed between the two is read now and looked at again.
            version = self._version(connection)
            (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if finding != b"ok":
                raise sqlite3.DatabaseError(finding.decode(errors="backslashreplace"))
            rows = tuple(_row(*cells) for cells in connection.execute(_READ, (MOST_TEXT_BYTES,)))
            self._seen_version = version
            return rows

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        try:
            with _explained(self._path):
                yield self._current_connection()
        except InboxError:
            self._drop()
            raise

    def _current_connection(self) -> sqlite3.Connection:
        """Return a connection to the file that has the inbox's name now, which may be another than before."""
        found = self._path.stat()
        if found.st_mode & stat.S_IWOTH:
            raise PermissionError("anybody may write to it: take that away with chmod o-w")
        identity = (found.st_dev, found.st_ino)
        if self._connection is None or identity != self._identity:
            self._drop()
            self._connection = _connect(self._path)
            self._identity = identity
            _check_columns(self._connection)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._identity = self._seen_version = None

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"  # Never made here: an inbox that is gone is an error.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.text_factory = bytes
    return connection


def _check_columns(connection: sqlite3.Connection) -> None:
    found = {row[1].decode(errors="backslashreplace") for row in connection.execute("PRAGMA table_info(manifests)")}
    if missing := _COLUMNS - found:
        raise sqlite3.DatabaseError(f"table manifests has no column {', '.join(sorted(missing))}")


def _row(source: _Cell, name: _Cell, size: int | None, document: _Cell, updated_at: _Cell) -> InboxRow:
    named = (_text(source), _text(name))
    if size is not None and size > MOST_TEXT_BYTES:
        problem = f"the document has {size} bytes, the most is {MOST_TEXT_BYTES}: split it"
        return InboxRow(*named, "", _text(updated_at), problem)
    if not isinstance(document, bytes):
        problem = "the document is not text: store it as TEXT or BLOB in UTF-8"
        return InboxRow(*named, "", _text(updated_at), problem)
    try:
        return InboxRow(*named, document.decode(), _text(updated_at))
    except UnicodeDecodeError as error:
        return InboxRow(*named, "", _text(updated_at), f"the document is not UTF-8: {error}")


def _text(cell: _Cell) -> str:
    return cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else str(cell)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        fix = "put it back, or restart runwrightd to have an empty one made"
        raise InboxError(f"cannot read the inbox {path}: it is gone: {fix}") from error
    except (OSError, sqlite3.Error) as error:
        raise InboxError(f"cannot read the inbox {path}: {error}: nothing that came from it is touched") from error
