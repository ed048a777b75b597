"""Copies that are whole, and what is made of them again."""

import stat
import threading

import pytest

from api.errors import Expired
from state import backup
from state.connection import StoreFileError
from state.store import Store
from support.stores import a_document, a_store, job_key, names, version, with_spec


@pytest.mark.invariant("S15")
def test_a_backup_is_one_private_file_that_opens_as_a_store(store, clock, tmp_path):
    store.create(a_document("kept"))

    assert store.backup(tmp_path / "copy.db") == 1
    store.create(a_document("later"))

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]
    copy = Store.open(tmp_path / "copy.db", clock)
    assert names(copy.list("Job").items) == ["kept"]
    copy.close()


@pytest.mark.invariant("S15")
def test_a_backup_taken_while_others_write_is_the_store_at_its_revision(store, clock, tmp_path):
    obj = store.create(a_document(spec={"command": ["x" * 20_000]}))
    stopped = threading.Event()

    def write() -> None:
        latest, number = obj, 0
        while not stopped.is_set():
            number += 1
            latest = store.update(with_spec(latest, number=number))

    writer = threading.Thread(target=write)
    writer.start()
    revisions = [store.backup(tmp_path / f"copy{number}.db") for number in range(5)]
    stopped.set()
    writer.join()

    assert revisions == sorted(revisions)
    for number, revision in enumerate(revisions):
        copy = Store.open(tmp_path / f"copy{number}.db", clock)
        assert copy.list("Job") == store.list("Job", at_revision=revision)
        copy.close()


@pytest.mark.invariant("S15")
def test_a_backup_never_replaces_a_file(store, tmp_path):
    (tmp_path / "copy.db").write_text("precious")

    with pytest.raises(StoreFileError, match="there is a file of that name: choose another"):
        store.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_backup_that_cannot_be_written_says_where_and_why(store, tmp_path):
    with pytest.raises(StoreFileError, match=r"cannot back up the store to .*nowhere/copy.db: .*No such file"):
        store.backup(tmp_path / "nowhere" / "copy.db")


def test_what_a_killed_backup_left_is_no_hindrance(store, tmp_path):
    (tmp_path / ".copy.db.partial").write_bytes(b"half a copy")

    assert store.backup(tmp_path / "copy.db") == 0
    assert not (tmp_path / ".copy.db.partial").exists()


@pytest.mark.invariant("S15")
def test_a_restored_store_has_the_objects_and_gives_no_revision_twice(store, clock, tmp_path):
    obj = store.create(a_document("kept"))
    obj = store.update(with_spec(obj, command=["x"]))
    store.create(a_document("gone"))
    store.delete(job_key("gone"))
    store.backup(tmp_path / "copy.db")
    lost = store.create(a_document("lost"))

    revision = backup.restore(tmp_path / "copy.db", tmp_path / "new" / "store.db")

    with a_store(tmp_path / "new") as restored:
        assert restored.list("Job").items == (obj,)
        assert restored.revision() == revision > version(lost)
        with pytest.raises(Expired, match="too old resource version"):
            restored.changes(version(lost))
        assert version(restored.create(a_document("new"))) == revision + 1
        assert len(restored.changes(revision)) == 1


@pytest.mark.invariant("S15")
def test_a_restore_never_replaces_a_store(store, tmp_path):
    store.backup(tmp_path / "copy.db")

    with pytest.raises(StoreFileError, match=r"cannot restore to .*store.db: store.db-wal is there: move the old"):
        backup.restore(tmp_path / "copy.db", tmp_path / "store.db")


def test_an_empty_store_is_restored_too(store, tmp_path):
    store.backup(tmp_path / "copy.db")
    revision = backup.restore(tmp_path / "copy.db", tmp_path / "new" / "store.db")

    with a_store(tmp_path / "new") as restored:
        assert (restored.revision(), restored.changes(revision)) == (revision, ())


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "it is not a store of runwright's"), (b"text\n" * 500, "file is not a database")],
)
def test_what_is_no_backup_is_not_restored(tmp_path, content, why):
    (tmp_path / "copy.db").write_bytes(content)

    with pytest.raises(StoreFileError, match=rf"cannot use the backup .*copy.db: {why}: choose another"):
        backup.restore(tmp_path / "copy.db", tmp_path / "store.db")
    assert not (tmp_path / "store.db").exists()


def test_a_damaged_backup_is_not_restored(store, tmp_path):
    for number in range(50):
        store.create(a_document(f"j{number}", spec={"command": ["x" * 200]}))
    store.backup(tmp_path / "copy.db")
    content = bytearray((tmp_path / "copy.db").read_bytes())
    content[8192:20480] = b"\xff" * 12288
    (tmp_path / "copy.db").write_bytes(content)

    with pytest.raises(StoreFileError, match=r"cannot use the backup .*copy.db: (it is damaged|database disk image)"):
        backup.restore(tmp_path / "copy.db", tmp_path / "other.db")


def test_a_backup_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreFileError, match=r"cannot use the backup .*copy.db: unable to open database file"):
        backup.restore(tmp_path / "copy.db", tmp_path / "store.db")
