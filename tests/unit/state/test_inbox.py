"""The inbox, written to by programs that know nothing of us."""

import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.caps import MOST_TEXT_BYTES
from state import inbox
from state.inbox import Inbox, InboxError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Inbox]:
    made = Inbox.open(path)
    yield made
    made.close()


def execute(path: Path, statement: str, *parameters: object) -> None:
    """Do as any other program would: connect, write, go."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, parameters)


def put(path: Path, name: str, document: object = "kind: Job", source: str = "billing") -> None:
    execute(path, "INSERT INTO manifests (source, name, document) VALUES (?, ?, ?)", source, name, document)


def test_a_new_inbox_is_private_and_empty_and_says_that_it_is_new(opened, path):
    assert opened.was_created
    assert opened.read() == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_inbox_keeps_its_rows_and_the_mode_its_owner_gave_it(opened, path):
    put(path, "nightly")
    path.chmod(0o660)

    again = Inbox.open(path)

    assert not again.was_created
    assert [row.name for row in again.read()] == ["nightly"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    again.close()


def test_an_inbox_that_another_program_made_is_taken_as_it_is(path):
    columns = "source TEXT, name TEXT, document TEXT, updated_at TEXT, PRIMARY KEY (source, name)"
    execute(path, f"CREATE TABLE manifests ({columns})")
    put(path, "nightly")

    made = Inbox.open(path)

    assert [(row.name, row.document) for row in made.read()] == [("nightly", "kind: Job")]
    made.close()


def test_rows_come_in_order_of_source_and_name(opened, path):
    put(path, "b")
    put(path, "a")
    put(path, "z", source="accounts")

    assert [(row.source, row.name) for row in opened.read()] == [("accounts", "z"), ("billing", "a"), ("billing", "b")]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO manifests (source, name, document) VALUES ('billing', 'new', 'x')",
        "UPDATE manifests SET document = 'y'",
        "DELETE FROM manifests",
    ],
)
def test_every_kind_of_change_is_noticed_once(opened, path, statement):
    put(path, "nightly")
    assert opened.changed_since_last()
    opened.read()
    assert not opened.changed_since_last()

    execute(path, statement)

    assert opened.changed_since_last()
    assert opened.changed_since_last()
    opened.read()
    assert not opened.changed_since_last()


def test_the_first_look_finds_a_change_so_that_what_was_there_is_read(opened):
    assert opened.changed_since_last()


def test_an_update_moves_updated_at_unless_the_writer_sets_it(opened, path):
    execute(path, "INSERT INTO manifests VALUES ('billing', 'nightly', 'x', '2020-01-01T00:00:00Z')")
    assert opened.read()[0].updated_at == "2020-01-01T00:00:00Z"

    execute(path, "UPDATE manifests SET document = 'y'")
    assert opened.read()[0].updated_at > "2026"
    execute(path, "UPDATE manifests SET document = 'z', updated_at = 'my own'")
    assert opened.read()[0].updated_at == "my own"


@pytest.mark.parametrize("column", ["source", "name"])
def test_a_row_without_a_source_or_name_is_refused_to_its_writer(opened, path, column):
    row = {"source": "billing", "name": "nightly"} | {column: ""}

    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        put(path, row["name"], source=row["source"])


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"\xff\xfe binary", "the document is not UTF-8: .*can't decode byte 0xff in position 0"),
        ("x" * (MOST_TEXT_BYTES + 1), "the document has 4194305 bytes, the most is 4194304: split it"),
    ],
)
def test_a_document_that_cannot_be_read_is_a_problem_of_its_row_alone(opened, path, document, problem):
    put(path, "broken", document)
    put(path, "good")

    broken, good = opened.read()

    assert broken.document == ""
    assert re.match(problem, broken.problem)
    assert (good.document, good.problem) == ("kind: Job", "")


def test_a_blob_of_text_is_text_and_a_number_is_read_as_its_digits(opened, path):
    put(path, "blob", b"kind: Job")
    put(path, "number", 42)

    assert [(row.document, row.problem) for row in opened.read()] == [("kind: Job", ""), ("42", "")]


def test_a_name_that_is_not_utf8_is_shown_escaped(opened, path):
    execute(path, "INSERT INTO manifests (source, name, document) VALUES ('s', CAST(x'ff61' AS TEXT), 'x')")

    assert opened.read()[0].name == "\\xffa"


@pytest.mark.invariant("S17")
def test_an_inbox_that_is_gone_is_an_error_and_not_an_empty_one(opened, path):
    put(path, "nightly")
    opened.read()
    for file in path.parent.iterdir():
        file.unlink()

    with pytest.raises(InboxError, match=r"cannot read the inbox .*inbox.db: it is gone: put it back, or restart"):
        opened.changed_since_last()
    with pytest.raises(InboxError, match="it is gone"):
        opened.read()
    assert not path.exists()


@pytest.mark.invariant("S17")
def test_an_inbox_that_comes_back_is_read_again(opened, path, tmp_path):
    put(path, "nightly")
    opened.read()
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    path.rename(tmp_path / "aside.db")
    with pytest.raises(InboxError):
        opened.read()
    (tmp_path / "aside.db").rename(path)

    assert opened.changed_since_last()
    assert [row.name for row in opened.read()] == ["nightly"]


def test_an_inbox_replaced_by_another_is_noticed(opened, path, tmp_path):
    opened.read()
    Inbox.open(tmp_path / "other.db").close()
    put(tmp_path / "other.db", "other")
    for leftover in tmp_path.glob("inbox.db*"):
        leftover.unlink()
    (tmp_path / "other.db").rename(path)

    assert opened.changed_since_last()
    assert [row.name for row in opened.read()] == ["other"]


@pytest.mark.invariant("S17")
def test_a_damaged_inbox_is_an_error(opened, path):
    for number in range(100):
        put(path, f"m{number}", "x" * 500)
    opened.read()
    opened.close()
    content = bytearray(path.read_bytes())
    content[12288:28672] = b"\xff" * 16384
    path.write_bytes(content)

    with pytest.raises(InboxError, match="nothing that came from it is touched"):
        opened.read()


@pytest.mark.invariant("S17")
def test_a_file_that_is_no_database_is_an_error_and_left_as_it_is(path):
    path.write_bytes(b"text\n" * 500)

    with pytest.raises(InboxError, match="file is not a database"):
        Inbox.open(path)
    assert path.read_bytes() == b"text\n" * 500


@pytest.mark.invariant("S17")
def test_a_locked_inbox_is_an_error_that_passes(opened, path, monkeypatch):
    monkeypatch.setattr(inbox, "_BUSY_TIMEOUT_MS", 10)
    put(path, "nightly")
    opened.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM manifests")
        with pytest.raises(InboxError, match="database is locked"):
            opened.read()
        other.execute("ROLLBACK")

    assert [row.name for row in opened.read()] == ["nightly"]


@pytest.mark.invariant("S17")
@pytest.mark.parametrize("statement", ["DROP TABLE manifests", "ALTER TABLE manifests RENAME COLUMN document TO body"])
def test_a_table_that_is_not_the_inbox_any_more_is_an_error(opened, path, statement):
    opened.read()
    execute(path, statement)

    with pytest.raises(InboxError, match="cannot read the inbox"):
        opened.read()
    with pytest.raises(InboxError, match="table manifests has no column"):
        opened.read()


def test_a_table_of_that_name_with_other_columns_is_refused(path):
    execute(path, "CREATE TABLE manifests (id INTEGER)")

    with pytest.raises(InboxError, match=r"no such column|has no column"):
        Inbox.open(path)


def test_an_inbox_that_anybody_may_write_to_is_refused(opened, path):
    path.chmod(0o666)

    with pytest.raises(InboxError, match="anybody may write to it: take that away with chmod o-w"):
        opened.read()


def test_an_uncommitted_row_is_not_read(opened, path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO manifests (source, name, document) VALUES ('s', 'half', 'x')")

        assert opened.read() == ()
        other.rollback()
