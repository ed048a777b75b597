"""Confidential objects in the store: nothing in clear, nothing passed off as another, nothing made up."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from api.errors import ServiceUnavailable
from api.meta import ObjectKey
from state import backup, encryption
from state.connection import StoreFileError
from state.store import Store
from support.hand_clock import HandClock
from support.secret_objects import PASSWORD, a_config_map, a_secret, b64, files_with
from support.stores import a_store, with_metadata

DB = ObjectKey("Secret", "default", "db")


def placed(document):
    return with_metadata(document, namespace="default")


def stored(name="db", text=PASSWORD):
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"a":"{b64(text)}"}}}}'}
    return placed(a_secret(name, metadata={"annotations": annotations}, data={"a": b64(text)}))


def in_rows(directory, statement, *parameters):
    with sqlite3.connect(directory / "store.db") as connection:
        found = connection.execute(statement, parameters).fetchall()
    connection.close()
    return found


@pytest.mark.invariant("S20")
def test_no_file_of_the_store_has_a_secret_in_clear_nor_has_a_backup(tmp_path):
    with a_store(tmp_path) as store:
        made = store.create(stored())
        changed = store.update(with_metadata(made, labels={"a": "b"}))
        assert (tmp_path / "store.db-wal").stat().st_size
        assert files_with(tmp_path) == []
        store.backup(tmp_path / "backup.db")
        store.delete(ObjectKey.of(changed))
    assert files_with(tmp_path) == []
    assert files_with(tmp_path, b64(PASSWORD)) == []


def test_what_is_not_confidential_is_stored_as_it_is(tmp_path):
    with a_store(tmp_path) as store:
        store.create(placed(a_config_map(data={"text": PASSWORD})))
    assert files_with(tmp_path) == ["store.db"]


def test_what_was_stored_is_read_again_by_every_way_and_after_a_restart(tmp_path):
    with a_store(tmp_path) as store:
        made = store.create(stored())
        changed = store.update(made | {"data": {"a": b64("other")}})
    with a_store(tmp_path) as store:
        assert store.get(DB) == changed
        assert store.list("Secret").items == (changed,)
        created, replaced = store.changes(0, kind="Secret")
        assert (created.document, replaced.previous, replaced.document) == (made, made, changed)


def test_a_write_that_changes_nothing_makes_no_revision_though_its_seal_would_be_another(tmp_path):
    with a_store(tmp_path) as store:
        made = store.create(stored())
        assert store.update(made) == made


def test_the_keys_are_roots_alone(tmp_path):
    with a_store(tmp_path):
        assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.invariant("S21")
def test_one_secrets_row_is_not_taken_for_anothers(tmp_path):
    with a_store(tmp_path) as store:
        store.create(stored("db"))
        store.create(stored("mine", "known to me"))
    ((theirs,),) = in_rows(tmp_path, "SELECT value FROM journal WHERE name = 'db'")
    in_rows(tmp_path, "UPDATE journal SET value = ? WHERE name = 'mine'", theirs)
    with a_store(tmp_path) as store:
        with pytest.raises(ServiceUnavailable, match="it was changed, or is another object's"):
            store.get(ObjectKey("Secret", "default", "mine"))
        assert store.get(DB) is not None


@pytest.mark.invariant("S21")
@pytest.mark.parametrize(
    "change",
    [lambda text: text[:-8] + "AAAAAAA=", lambda text: '{"kind":"Secret"}', lambda text: text.replace(":", "")],
)
def test_a_row_that_was_changed_is_refused_without_a_word_of_what_is_in_it(tmp_path, change):
    with a_store(tmp_path) as store:
        store.create(stored())
    ((text,),) = in_rows(tmp_path, "SELECT value FROM journal WHERE name = 'db'")
    in_rows(tmp_path, "UPDATE journal SET value = ?", change(text))
    with a_store(tmp_path) as store, pytest.raises(ServiceUnavailable) as refused:
        store.get(DB)
    assert (
        refused.value.message
        == "cannot decrypt secret/default/db: it was changed, or is another object's: restore a backup"
    )


@pytest.mark.invariant("S22")
def test_a_store_whose_keys_are_lost_is_not_opened_and_no_other_key_is_made(tmp_path):
    with a_store(tmp_path) as store:
        store.create(stored())
    key = (tmp_path / "secrets.key").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreFileError, match=r"it lacks the key .*put the file back"):
        Store.open(tmp_path / "store.db", HandClock())
    assert not (tmp_path / "secrets.key").exists()
    key.rename(tmp_path / "secrets.key")
    with a_store(tmp_path) as store:
        assert store.get(DB) is not None


@pytest.mark.parametrize(
    ("content", "mode", "cause"),
    [("", 0o600, "not a file of keys"), ("a b c\n", 0o600, "not a file of keys"),
     ("abc c2hvcnQ=\n", 0o600, "not a file of keys"), (None, 0o640, "others than its owner")],
)  # fmt: skip
def test_a_file_of_keys_that_cannot_be_one_is_refused(tmp_path, content, mode, cause):
    with a_store(tmp_path):
        path = tmp_path / "secrets.key"
    if content is not None:
        path.write_text(content)
    path.chmod(mode)
    with pytest.raises(StoreFileError, match=cause):
        Store.open(tmp_path / "store.db", HandClock())


def test_a_backup_is_read_with_the_keys_of_its_time(tmp_path):
    with a_store(tmp_path) as store:
        made = store.create(stored())
        store.backup(tmp_path / "backup.db")
    other = tmp_path / "other"
    backup.restore(tmp_path / "backup.db", other / "store.db")
    shutil.copy(tmp_path / "secrets.key", other / "secrets.key")
    with a_store(other) as store:
        assert store.get(DB) == made


@pytest.mark.invariant("S23")
def test_a_rotation_puts_all_under_a_new_key_and_changes_nothing_else(tmp_path):
    with a_store(tmp_path) as store:
        store.create(stored("gone"))
        store.delete(ObjectKey("Secret", "default", "gone"))
        made = store.create(stored())
        changed = store.update(made | {"data": {"a": b64("other")}})
        before = store.changes(0)
    old = encryption.read(tmp_path / "secrets.key")

    assert encryption.rotate(tmp_path / "store.db") == 4

    new = encryption.read(tmp_path / "secrets.key")
    assert len(new) == 1
    assert not set(new) & set(old)
    with a_store(tmp_path) as store:
        assert store.get(DB) == changed
        assert store.changes(0) == before
    encryption.save(tmp_path / "secrets.key", old)
    with pytest.raises(StoreFileError, match="it lacks the key"):
        Store.open(tmp_path / "store.db", HandClock())


@pytest.mark.invariant("S23")
def test_a_rotation_that_was_cut_off_before_its_commit_or_after_it_lost_nothing(tmp_path):
    path = tmp_path / "secrets.key"
    with a_store(tmp_path) as store:
        made = store.create(stored())
    old = encryption.read(path)

    encryption.save(path, old | encryption.new_key())  # As it leaves it before the commit.
    with a_store(tmp_path) as store:
        assert store.get(DB) == made
    assert encryption.rotate(tmp_path / "store.db") == 1
    encryption.save(path, old | encryption.read(path))  # As it leaves it after the commit.
    with a_store(tmp_path) as store:
        assert store.get(DB) == made
    assert encryption.rotate(tmp_path / "store.db") == 1
    assert len(encryption.read(path)) == 1


@pytest.mark.invariant("S23")
def test_a_rotation_of_a_store_in_use_holds_nobody_up_and_changes_nothing_else(tmp_path):
    with a_store(tmp_path) as store:
        for number in range(450):
            store.create(stored(f"s{number}"))
        before, old = store.changes(0, limit=0), encryption.read(tmp_path / "secrets.key")
        stop, seen = threading.Event(), []

        def use():
            while not stop.is_set():
                live = store.get(ObjectKey("Secret", "default", "s7"))
                store.update(live | {"data": {"a": b64(str(len(seen)))}})
                seen.append(len(store.list("Secret").items))

        user = threading.Thread(target=use)
        user.start()
        rotated = [store.rotate_key() for _ in range(3)]
        stop.set()
        user.join()
        new = encryption.read(tmp_path / "secrets.key")
        assert min(rotated) >= 450
        assert set(seen) == {450}
        assert (len(new), set(new) & set(old)) == (1, set())
        assert store.changes(0, limit=0)[:450] == before

    with a_store(tmp_path) as store:
        assert len(store.list("Secret").items) == 450
        assert len(store.changes(0, limit=0)) == 450 + len(seen)


_ROTATING = """
import sys
from pathlib import Path
from state.store import Store
from support.hand_clock import HandClock
store = Store.open(Path(sys.argv[1]), HandClock())
while True:
    print("begins", flush=True)
    store.rotate_key()
"""


@pytest.mark.invariant("S23")
def test_a_rotation_that_is_killed_loses_nothing_and_can_be_done_again(tmp_path):
    root = Path(__file__).parents[3]
    with a_store(tmp_path) as store:
        for number in range(300):
            store.create(stored(f"s{number}"))
        before = store.changes(0, limit=0)
    for rounds in (1, 2, 1, 3):
        command = [sys.executable, "-c", _ROTATING, str(tmp_path / "store.db")]
        environment = {"PYTHONPATH": f"{root}:{root / 'tests'}"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            for _ in range(rounds):
                assert child.stdout.readline() == "begins\n"
            child.kill()
        with a_store(tmp_path) as store:
            assert store.changes(0, limit=0) == before
    with a_store(tmp_path) as store:
        assert store.rotate_key() == 300
    assert len(encryption.read(tmp_path / "secrets.key")) == 1


def test_a_rotation_whose_key_cannot_be_saved_changes_nothing(tmp_path, monkeypatch):
    with a_store(tmp_path) as store:
        made = store.create(stored())
        old = encryption.read(tmp_path / "secrets.key")
        (tmp_path / ".secrets.key.new").mkdir()
        with pytest.raises(StoreFileError, match="cannot use the keys of secrets"):
            store.rotate_key()
        assert store.get(DB) == made
        assert encryption.read(tmp_path / "secrets.key") == old


def test_the_newest_of_several_keys_seals_and_all_open():
    old, new = encryption.new_key(), encryption.new_key()
    before = encryption.Keyring(old).seal(DB, "uid", "text")
    both = encryption.Keyring(old | new)

    assert both.open(DB, before) == "text"
    with pytest.raises(ServiceUnavailable, match="its key is not in the file of keys"):
        encryption.Keyring(old).open(DB, both.seal(DB, "uid", "text"))
