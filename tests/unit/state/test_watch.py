"""Waking those who watch, and what they then read."""

import logging

import pytest

from api.errors import Conflict, Expired
from support.stores import a_document, job_key, version, with_spec


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
