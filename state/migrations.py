"""How a store's file gets its tables: named migrations, each in a transaction of its own.

A migration that has been released never changes; a change of the schema is a new one at the end.
A file that a newer runwright has migrated is refused, never guessed at.
"""

import sqlite3
from dataclasses import dataclass

from state.connection import StoreFileError, transaction


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, applied once, remembered by its name."""

    name: str
    statements: tuple[str, ...]


_JOURNAL = Migration(
    "0001-journal",
    (
        """
        CREATE TABLE journal (
            revision INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
            kind VARCHAR NOT NULL,
            namespace VARCHAR NOT NULL,
            name VARCHAR NOT NULL,
            created BOOLEAN NOT NULL,
            deleted BOOLEAN NOT NULL,
            prev_revision INTEGER NOT NULL,
            written_at INTEGER NOT NULL,
            value VARCHAR NOT NULL,
            old_value VARCHAR,
            UNIQUE (kind, namespace, name, prev_revision)
        )
        """,
        "CREATE TABLE meta (name VARCHAR NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
        "INSERT INTO meta (name, value) VALUES ('compact_floor', 0)",
    ),
)

MIGRATIONS: tuple[Migration, ...] = (_JOURNAL,)


def migrate(
    connection: sqlite3.Connection, path: str, migrations: tuple[Migration, ...] = MIGRATIONS
) -> tuple[str, ...]:
    """Bring the file at `path` to the newest schema; return the names of what was applied now.

    Raises:
        StoreFileError: a newer runwright has written this file.
    """
    with transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT NOT NULL PRIMARY KEY)")
    applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
    unknown = sorted(applied - {migration.name for migration in migrations})
    if unknown:
        cause = f"a newer runwright wrote it (schema {unknown[-1]}, this one knows up to {migrations[-1].name})"
        raise StoreFileError(f"cannot open the store {path}: {cause}: upgrade runwright, or restore a backup")
    pending = [migration for migration in migrations if migration.name not in applied]
    for migration in pending:
        _apply(connection, migration)
    return tuple(migration.name for migration in pending)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    with transaction(connection):
        for statement in migration.statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations (name) VALUES (?)", (migration.name,))
