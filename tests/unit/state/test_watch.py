"""Waking those who watch, and what they then read."""

import logging

import pytest

from api.errors import Conflict, Expired, ServiceUnavailable
from state import watch
from state.store import Store
from support.secret_objects import a_secret
from support.stores import a_document, an_event, job_key, version, with_spec


@pytest.mark.invariant("S13")
def test_a_subscriber_woken_by_a_write_can_read_it(store):
    seen: list[int] = []
    store.subscribe(lambda: seen.append(len(store.changes(0))))

    store.create(a_document())

    assert seen == [1]


@pytest.mark.invariant("S5")
def test_a_refused_write_wakes_nobody(store):
    first = store.create(a_document())
    store.update(with_spec(first, command=["x"]))
    woken: list[int] = []
    store.subscribe(lambda: woken.append(1))

    with pytest.raises(Conflict):
        store.update(with_spec(first, command=["y"]))

    assert woken == []


def test_who_has_unsubscribed_is_woken_no_more(store):
    woken: list[int] = []
    unsubscribe = store.subscribe(lambda: woken.append(1))
    unsubscribe()
    unsubscribe()

    store.create(a_document())

    assert woken == []


def test_the_same_wake_may_be_subscribed_twice_and_ended_once(store):
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)

    store.subscribe(wake)
    store.subscribe(wake)()
    store.create(a_document())

    assert woken == [1]


def test_a_subscriber_that_fails_fails_neither_the_write_nor_the_others(store, caplog):
    woken: list[int] = []

    def broken() -> None:
        raise RuntimeError("a bug of the subscriber's")

    store.subscribe(broken)
    store.subscribe(lambda: woken.append(1))
    with caplog.at_level(logging.ERROR):
        store.create(a_document())

    assert store.get(job_key()) is not None
    assert woken == [1]
    assert "a subscriber of the store failed when woken" in caplog.text


def test_a_subscriber_may_write_to_the_store_itself(store):
    def answer() -> None:
        if store.get(job_key("answer")) is None:
            store.create(a_document("answer"))

    store.subscribe(answer)
    store.create(a_document("question"))

    assert store.get(job_key("answer")) is not None


@pytest.mark.invariant("S12")
def test_a_watch_below_the_floor_is_expired_and_one_at_the_floor_is_complete(store):
    obj = store.create(a_document())
    for number in range(5):
        obj = store.update(with_spec(obj, command=[str(number)]))
    store.compact(keep=2)

    with pytest.raises(Expired, match=r"too old resource version: 3 \(4\)"):
        store.changes(3)
    assert [change.revision for change in store.changes(4)] == [5, 6]
    assert version(store.get(job_key())) == 6


def written_over_and_over(store):
    """Write more than is kept at hand."""
    job = store.create(a_document())
    for number in range(watch._RECENT):
        job = store.update(with_spec(job, command=[str(number)]))
        if number % 5 == 0:
            store.create(an_event(f"etl.{number}"))
    store.delete(job_key())


@pytest.mark.invariant("S2")
def test_what_is_at_hand_is_what_the_journal_says(store):
    written_over_and_over(store)
    newest = store.revision()
    asked = [
        (since, kind, limit)
        for since in (0, 1, newest - watch._RECENT - 1, newest - watch._RECENT, newest - 7, newest - 1, newest)
        for kind in (None, "Job", "Event", "Runtime", frozenset({"Job", "Event"}), frozenset({"Runtime", "Event"}))
        for limit in (0, 1, 5)
    ]

    at_hand = [store.changes(since, kind=kind, limit=limit) for since, kind, limit in asked]
    store._recent.forget()

    assert at_hand == [store.changes(since, kind=kind, limit=limit) for since, kind, limit in asked]


def test_a_change_is_decoded_once_for_all_who_read_it(store):
    store.create(a_document())

    assert store.changes(0)[0] is store.changes(0)[0]


def test_a_secret_is_not_kept_in_clear_for_those_who_may_read_it_next(store):
    secret = a_secret()
    store.create(secret | {"metadata": secret["metadata"] | {"namespace": "default"}})

    assert store.changes(0)[0] is not store.changes(0)[0]


@pytest.mark.invariant("S2")
def test_what_another_has_written_is_not_missed(store, tmp_path, clock):
    store.create(a_document("mine"))
    other = Store.open(tmp_path / "store.db", clock)
    other.create(a_document("theirs"))
    other.close()

    between = [change.key.name for change in store.changes(0)]
    store.create(a_document("mine-again"))

    assert between == ["mine", "theirs"]
    assert [change.key.name for change in store.changes(1)] == ["theirs", "mine-again"]


def test_after_a_compaction_what_was_forgotten_is_not_at_hand(store):
    written_over_and_over(store)
    store.compact(keep=0)

    with pytest.raises(Expired):
        store.changes(store.revision() - 1)


@pytest.mark.parametrize("is_at_hand", [True, False])
def test_a_secret_that_cannot_be_read_is_in_nobodys_way_who_did_not_ask_for_it(store, is_at_hand):
    secret = a_secret()
    store.create(secret | {"metadata": secret["metadata"] | {"namespace": "default"}})
    store.create(a_document())
    store.create(an_event())
    store._keyring._ciphers.clear()
    if not is_at_hand:
        store._recent.forget()

    found = store.changes(0, kind=frozenset({"Job", "Event"}))

    assert [change.key.kind for change in found] == ["Job", "Event"]
    with pytest.raises(ServiceUnavailable):
        store.changes(0, kind="Secret")
