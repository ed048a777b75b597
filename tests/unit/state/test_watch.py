"""Waking those who watch, and what they then read."""

import logging
from dataclasses import replace

import pytest

from api.errors import Conflict, Expired, ServiceUnavailable
from api.meta import ObjectKey
from state import journal, watch
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


@pytest.mark.invariant("S2")
def test_an_object_read_from_what_is_at_hand_is_as_the_journal_has_it(store):
    written_over_and_over(store)
    store.create(a_document())
    names = ("Job", "etl"), ("Event", "etl.0"), ("Event", "etl.255"), ("Job", "nobody")
    keys = [ObjectKey(kind, "default", name) for kind, name in names]

    at_hand = [store.get(key) for key in keys]
    store._recent.forget()

    assert at_hand == [store.get(key) for key in keys]
    assert [document is None for document in at_hand] == [False, False, False, True]


@pytest.mark.invariant("S2")
def test_nobody_hears_of_a_write_before_it_is_acknowledged(store):
    job = store.create(a_document())
    store._recent.forget()  # For the journal to be read, which has it by then.
    heard = []

    def keep(rows):
        changes, newer = store.changes(0), store.changes(1)
        heard.append((store.revision(), [each.revision for each in changes], list(newer)))
        heard.append((store.list("Job").revision, store.list("Job").items, tuple(store.each("Job"))))
        heard.append((store.keys("Event"), tuple(store.each("Event"))))
        store._recent.add(rows)

    store._writer._hooks = replace(store._writer._hooks, keep=keep)
    store.update(with_spec(job, command=["other"]))

    assert heard == [(1, [1], []), (1, (job,), (job,)), ((), ())]
    assert [change.revision for change in store.changes(1)] == [2]
    heard.clear()
    store.create(an_event("new"))
    assert heard[-1] == ((), ())
    assert [key.name for key in store.keys("Event")] == ["new"]


@pytest.mark.invariant("S2")
def test_how_far_the_journal_goes_is_said_when_its_rows_are_there(store):
    """It is read without the lock: who knows of a revision and asks for its object is not to get an older one."""
    job = store.create(a_document())
    said = []

    class Noticing(list):
        def __iter__(self):
            said.append(store.revision())
            return super().__iter__()

    add = store._recent.add
    store._writer._hooks = replace(store._writer._hooks, keep=lambda rows: add(Noticing(rows)))
    store.update(with_spec(job, command=["other"]))

    assert set(said) == {1}
    assert store.revision() == 2


@pytest.mark.invariant("S12")
@pytest.mark.parametrize("read", [lambda store: store.list("Job").items, lambda store: tuple(store.each("Job"))])
def test_a_list_that_a_compaction_overtakes_has_all_objects(store, monkeypatch, read):
    jobs = [store.create(a_document(f"job-{number}")) for number in range(4)]
    floor = journal.floor

    def overtaken(reader):
        monkeypatch.setattr(journal, "floor", floor)
        for job in jobs:
            store.update(with_spec(job, command=["other"]))
        store.compact(keep=0)
        return floor(reader)

    monkeypatch.setattr(journal, "floor", overtaken)

    assert [item["spec"]["command"] for item in read(store)] == [["other"]] * 4


def test_what_is_read_from_what_is_at_hand_is_the_callers_own(store):
    store.create(a_document())
    store.get(job_key())["spec"]["command"] = ["changed"]

    assert store.get(job_key()) == store.list("Job").items[0]
    assert store.changes(0)[0].document == store.get(job_key())


def test_of_large_objects_fewer_changes_are_kept_at_hand(store, monkeypatch):
    monkeypatch.setattr(store._recent, "_most_characters", 100_000)
    job = store.create(a_document())
    for number in range(20):
        job = store.update(with_spec(job, command=[str(number) * 10_000]))

    assert 0 < sum(map(watch._characters, (kept.row for kept in store._recent._rows))) == store._recent._characters
    assert store._recent._characters <= 100_000
    assert [change.revision for change in store.changes(0)] == list(range(1, 22))


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

    store.create(a_document("mine-again"))

    assert store.revision() == 3
    assert [change.key.name for change in store.changes(0)] == ["mine", "theirs", "mine-again"]
    assert [change.key.name for change in store.changes(1)] == ["theirs", "mine-again"]


@pytest.mark.invariant("S2")
def test_a_store_that_was_opened_again_knows_what_is_in_it(store, tmp_path, clock):
    store.create(a_document("mine"))
    store.close()
    again = Store.open(tmp_path / "store.db", clock)

    assert [item["metadata"]["name"] for item in again.each("Job")] == ["mine"]
    assert (list(again.each("Event")), list(again.keys("Event"))) == ([], [])
    assert again.changes(1) == ()
    assert [change.key.name for change in again.changes(0)] == ["mine"]
    again.create(an_event("new"))
    assert [item["metadata"]["name"] for item in again.each("Event")] == ["new"]
    again.close()


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


def test_who_wants_some_kinds_is_woken_by_commits_that_change_one_of_them(store):
    woken: list[str] = []
    store.subscribe(lambda: woken.append("jobs"), ("Job", "Runtime"))
    store.subscribe(lambda: woken.append("events"), frozenset({"Event"}))
    store.subscribe(lambda: woken.append("all"))

    store.create(a_document())
    store.create_all([an_event("one"), a_document("other")])

    assert sorted(woken) == ["all", "all", "events", "jobs", "jobs"]


def test_who_wants_one_kind_is_not_woken_by_another(store):
    woken: list[str] = []
    store.subscribe(lambda: woken.append("runtimes"), ("Runtime",))

    store.create(a_document())

    assert woken == []
