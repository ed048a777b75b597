"""How a file gets its tables."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from state import connection, journal
from state.connection import StoreFileError
from state.migrations import MIGRATIONS, Migration, migrate
from state.schema import JournalRow, MetaRow
from support.stores import a_document, a_store, job_key

ADD_COLUMN = Migration("0002-column", ("ALTER TABLE meta ADD COLUMN note TEXT",))
BREAKS = Migration("0003-breaks", ("CREATE TABLE half (a INTEGER)", "CREATE TABLE half (a INTEGER)"))


def shape(opened: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    columns = opened.execute(f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')").fetchall()
    indexes = opened.execute(f"SELECT name, \"unique\" FROM pragma_index_list('{table}') ORDER BY name").fetchall()
    keys = [opened.execute(f"SELECT name FROM pragma_index_info('{name}')").fetchall() for name, _ in indexes]
    return [*columns, *indexes, *keys]


@pytest.mark.parametrize("table", [JournalRow, MetaRow])
def test_the_migrations_make_the_tables_that_the_statements_are_built_from(tmp_path, table):
    declared = str(CreateTable(table.__table__).compile(dialect=sqlite.dialect()))
    with (
        a_store(tmp_path),
        closing(sqlite3.connect(tmp_path / "store.db")) as made,
        closing(sqlite3.connect(":memory:")) as fresh,
    ):
        fresh.execute(declared)

        assert shape(made, table.__tablename__) == shape(fresh, table.__tablename__)
        assert ("AUTOINCREMENT" in declared) == (table is JournalRow)


def test_a_new_file_gets_every_migration_and_an_up_to_date_one_gets_none(tmp_path):
    with closing(connection.open_file(tmp_path / "s.db")) as opened:
        assert migrate(opened, "s.db") == tuple(migration.name for migration in MIGRATIONS)
        assert migrate(opened, "s.db") == ()


def test_an_older_file_gets_what_it_lacks_and_keeps_its_objects(tmp_path):
    with a_store(tmp_path) as store:
        kept = store.create(a_document())
    with closing(connection.open_file(tmp_path / "store.db")) as opened:
        assert migrate(opened, "store.db", (*MIGRATIONS, ADD_COLUMN)) == ("0002-column",)
        assert opened.execute("SELECT note FROM meta").fetchall() == [(None,)]
        assert journal.current(opened, job_key()).revision == int(kept["metadata"]["resourceVersion"])


@pytest.mark.invariant("S16")
def test_a_migration_that_fails_leaves_no_trace_and_the_ones_before_it_done(tmp_path):
    with closing(connection.open_file(tmp_path / "s.db")) as opened:
        with pytest.raises(sqlite3.OperationalError, match="table half already exists"):
            migrate(opened, "s.db", (*MIGRATIONS, ADD_COLUMN, BREAKS))

        assert opened.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
        assert migrate(opened, "s.db", (*MIGRATIONS, ADD_COLUMN)) == ()


@pytest.mark.invariant("S16")
def test_a_file_that_a_newer_runwright_wrote_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "store.db"
    with closing(connection.open_file(path)) as opened:
        migrate(opened, str(path), (*MIGRATIONS, ADD_COLUMN))

    with pytest.raises(StoreFileError) as refused, a_store(tmp_path):
        pass

    assert str(refused.value) == (
        f"cannot open the store {path}: a newer runwright wrote it (schema 0002-column, this one knows up to "
        "0001-journal): upgrade runwright, or restore a backup"
    )


def test_migration_names_are_in_order_and_never_repeat():
    names = [migration.name for migration in MIGRATIONS]

    assert names == sorted(set(names))


def test_the_journal_itself_refuses_two_changes_with_the_same_predecessor(tmp_path):
    entry = journal.Entry(job_key(), journal.Change.CREATED, "{}", None, 0, 0)
    with closing(connection.open_file(Path(tmp_path / "s.db"))) as opened:
        migrate(opened, "s.db")
        journal.append(opened, entry)

        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
            journal.append(opened, entry)
