"""Forgetting what nobody needs any more."""

import sqlite3
from contextlib import closing

import pytest

from api.errors import Expired
from api.ports import ChangeType
from state import compaction
from support.stores import a_document, an_event, job_key, names, version, with_spec


def rows(tmp_path) -> list[int]:
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        return [revision for (revision,) in connection.execute("SELECT revision FROM journal ORDER BY revision")]


@pytest.mark.invariant("S12")
def test_superseded_rows_and_tombstones_go_and_every_object_stays(store, tmp_path):
    old = store.create(a_document("old"))  # 1: never changed again, so it stays.
    changed = store.create(a_document("changed"))  # 2
    store.create(a_document("deleted"))  # 3
    store.delete(job_key("deleted"))  # 4
    changed = store.update(with_spec(changed, command=["x"]))  # 5

    assert store.compact(keep=0) == 5
    assert rows(tmp_path) == [1, 5]
    assert store.list("Job").items == (changed, old)


@pytest.mark.invariant("S12")
def test_the_newest_revisions_stay(store, tmp_path):
    obj = store.create(a_document())
    for number in range(6):
        obj = store.update(with_spec(obj, command=[str(number)]))

    store.compact(keep=3)

    # Row 4 is the object at the floor, which the changes after it start from.
    assert rows(tmp_path) == [4, 5, 6, 7]
    assert store.list("Job", at_revision=4).items[0]["spec"]["command"] == ["2"]


def test_compacting_again_does_nothing(store, tmp_path):
    obj = store.create(a_document())
    store.update(with_spec(obj, command=["x"]))
    store.compact(keep=0)

    assert store.compact(keep=0) == 0
    assert store.compact(keep=100) == 0
    assert rows(tmp_path) == [2]


@pytest.mark.invariant("S12")
def test_a_list_of_a_moment_below_the_floor_is_expired(store):
    obj = store.create(a_document())
    store.update(with_spec(obj, command=["x"]))
    store.compact(keep=0)

    with pytest.raises(Expired, match=r"too old resource version: 1 \(2\)"):
        store.list("Job", at_revision=1)
    assert len(store.list("Job", at_revision=2).items) == 1


@pytest.mark.invariant("S1")
def test_a_name_lives_on_after_its_tombstone_was_compacted(store):
    for _ in range(3):
        store.create(a_document())
        store.delete(job_key())
        store.compact(keep=0)
    created = store.create(a_document())

    assert version(created) == 7
    assert version(store.update(with_spec(created, command=["x"]))) == 8


def test_long_histories_are_gone_through_in_batches(store, tmp_path, monkeypatch):
    obj = store.create(a_document())
    for number in range(20):
        obj = store.update(with_spec(obj, command=[str(number)]))
    monkeypatch.setattr(compaction, "BATCH_REVISIONS", 4)

    assert store.compact(keep=1) == 20
    assert rows(tmp_path) == [20, 21]


def test_events_expire_by_their_last_write_and_watchers_see_them_go(store, clock):
    store.create(an_event("old"))
    seen_again = store.create(an_event("seen-again"))
    store.create(a_document("not-an-event"))
    clock.advance(3000)
    store.update(seen_again | {"count": 2})
    before = store.revision()
    clock.advance(1000)
    hour_ago = clock.now().timestamp() - 3600

    expired = store.expire_events(type(clock.now()).fromtimestamp(hour_ago, tz=clock.now().tzinfo))

    assert expired == 1
    assert names(store.list("Event").items) == ["seen-again"]
    assert [(change.type, change.key.name) for change in store.changes(before)] == [(ChangeType.DELETED, "old")]
    assert store.get(job_key("not-an-event")) is not None


def test_more_events_than_a_batch_all_expire(store, clock, monkeypatch):
    monkeypatch.setattr(compaction, "EXPIRE_BATCH", 3)
    for number in range(7):
        store.create(an_event(f"e{number}"))
    clock.advance(10)

    assert store.expire_events(clock.now()) == 7
    assert store.list("Event").items == ()
