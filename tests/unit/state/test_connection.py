"""Opening the store's file: what is accepted, what is refused, and with which words."""

import sqlite3
import stat
from contextlib import closing

import pytest

from state import connection
from state.connection import Readers, StoreFileError, snapshot, transaction
from support.stores import a_document, a_store, job_key


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_the_store(tmp_path):
    with a_store(tmp_path) as store:
        store.create(a_document())
        files = sorted(tmp_path.iterdir())

        assert [path.name for path in files] == ["secrets.key", "store.db", "store.db-shm", "store.db-wal"]
        assert {mode(path) for path in files} == {0o600}


def test_a_store_that_others_could_read_is_closed_to_them(tmp_path):
    with a_store(tmp_path):
        pass
    (tmp_path / "store.db").chmod(0o644)
    with a_store(tmp_path):
        assert mode(tmp_path / "store.db") == 0o600


def test_missing_directories_are_made_for_us_alone(tmp_path):
    with a_store(tmp_path / "a" / "b"):
        assert mode(tmp_path / "a" / "b") == 0o700


@pytest.mark.invariant("S4")
def test_commits_are_flushed_and_the_wal_is_on(tmp_path):
    with closing(connection.open_file(tmp_path / "s.db")) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert opened.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.invariant("S16")
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()

    with pytest.raises(StoreFileError, match=r"store.db: it is another program's database: name another file"):
        connection.open_file(path)
    assert path.read_bytes() == before


@pytest.mark.invariant("S16")
@pytest.mark.parametrize("content", [b"this is not a database, it is a text\n" * 40, b"\x00" * 4096, b"S"])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "store.db"
    path.write_bytes(content)

    with pytest.raises(StoreFileError, match=r"store.db: it is damaged or not a SQLite database .*restore a backup"):
        connection.open_file(path)
    assert path.read_bytes() == content


@pytest.mark.invariant("S16")
def test_a_damaged_store_is_refused(tmp_path):
    path = tmp_path / "store.db"
    with a_store(tmp_path) as store:
        for number in range(50):
            store.create(a_document(f"j{number}", spec={"command": ["x" * 200]}))
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xff" * 12288
    path.write_bytes(content)

    with pytest.raises(StoreFileError, match="it is damaged or not a SQLite database"):
        connection.open_file(path)


def test_a_path_that_cannot_be_opened_is_named_with_the_cause(tmp_path):
    with pytest.raises(StoreFileError, match=r"cannot open the store .*: .*Is a directory.*: check the path"):
        connection.open_file(tmp_path)


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "store.db").touch(mode=0o644)

    with a_store(tmp_path) as store:
        assert store.create(a_document())["metadata"]["resourceVersion"] == "1"


@pytest.mark.invariant("S5")
def test_a_transaction_that_raises_is_taken_back(tmp_path):
    with closing(connection.open_file(tmp_path / "s.db")) as opened:
        opened.execute("CREATE TABLE t (a INTEGER)")

        def halfway() -> None:
            with transaction(opened):
                opened.execute("INSERT INTO t VALUES (1)")
                raise KeyError("halfway")

        with pytest.raises(KeyError, match="halfway"):
            halfway()
        assert opened.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert not opened.in_transaction


def test_a_snapshot_does_not_see_what_is_written_meanwhile(tmp_path):
    with closing(connection.open_file(tmp_path / "s.db")) as writer:
        writer.execute("CREATE TABLE t (a INTEGER)")
        readers = Readers(tmp_path / "s.db")
        with readers.lend() as reader, snapshot(reader):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
            writer.execute("INSERT INTO t VALUES (1)")
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with readers.lend() as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        readers.close()


def test_a_lent_reader_cannot_write(tmp_path):
    with a_store(tmp_path):
        readers = Readers(tmp_path / "store.db")
        with readers.lend() as reader, pytest.raises(sqlite3.OperationalError, match="readonly database"):
            reader.execute("DELETE FROM journal")
        readers.close()


def test_a_reader_that_comes_back_late_is_closed_with_the_others(tmp_path):
    with a_store(tmp_path):
        readers = Readers(tmp_path / "store.db")
        with readers.lend() as late:
            readers.close()
            assert late.execute("SELECT 1").fetchone() == (1,)

        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            late.execute("SELECT 1")
        with pytest.raises(sqlite3.ProgrammingError, match="the store is closed"), readers.lend():
            pass


def test_a_closed_store_leaves_one_file_and_its_keys(tmp_path):
    with a_store(tmp_path) as store:
        store.create(a_document())
        store.get(job_key())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets.key", "store.db"]
