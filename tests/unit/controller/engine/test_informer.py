import threading

import pytest

from api.errors import ServiceUnavailable
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from controller.engine.informer import Informer, Source, matters, own_keys
from state.store import Store
from support.hand_clock import HandClock
from support.toy_kind import TOY, a_toy, toy_key, with_content

FINALIZER = TOY.finalizer


def an_informer(store: Store, clock: HandClock, **options: object) -> tuple[Informer, list[ObjectKey]]:
    keys: list[ObjectKey] = []
    sources = [Source("Toy", own_keys(FINALIZER)), *options.pop("also", ())]
    informer = Informer(store, clock, "Toy", sources, keys.append, chance=lambda: 0.0, **options)
    return informer, keys


def test_at_the_start_every_object_is_due(store: Store, clock: HandClock):
    store.create(a_toy("ball"))
    store.create(a_toy("kite"))
    informer, keys = an_informer(store, clock)

    informer.step()

    assert keys == [toy_key("ball"), toy_key("kite")]
    assert informer.is_synced()


def test_a_change_after_the_listing_makes_its_object_due_once(store: Store, clock: HandClock):
    informer, keys = an_informer(store, clock)
    informer.step()

    store.create(a_toy())
    informer.step()
    informer.step()

    assert keys == [toy_key()]


def test_a_status_write_makes_nothing_due(store: Store, clock: HandClock):
    created = store.create(a_toy())
    informer, keys = an_informer(store, clock)
    informer.step()
    keys.clear()

    store.update_status(created | {"status": {"content": "red"}})
    informer.step()

    assert keys == []


def test_a_changed_spec_and_a_deletion_make_their_object_due(store: Store, clock: HandClock):
    store.create(a_toy(finalizers=[FINALIZER]))
    informer, keys = an_informer(store, clock)
    informer.step()
    keys.clear()

    store.update(with_content(store.get(toy_key()), "blue"))
    informer.step()
    store.delete(toy_key())
    informer.step()

    assert keys == [toy_key(), toy_key()]


def test_changes_of_other_kinds_are_none_of_its_business(store: Store, clock: HandClock):
    informer, keys = an_informer(store, clock)
    informer.step()

    store.create(a_toy() | {"kind": "Doll"})
    informer.step()

    assert keys == []


def test_a_change_of_another_kind_is_mapped_to_keys_of_ours(store: Store, clock: HandClock):
    also = Source("Doll", lambda change: [toy_key(f"{change.key.name}-{change.type.value}")])
    informer, keys = an_informer(store, clock, also=[also])
    informer.step()

    store.create(a_toy("anna") | {"kind": "Doll"})
    informer.step()
    store.delete(ObjectKey("Doll", "default", "anna"))
    informer.step()

    assert keys == [toy_key("anna-ADDED"), toy_key("anna-DELETED")]


def test_a_change_that_its_source_cannot_tell_of_holds_up_no_other(
    store: Store, clock: HandClock, caplog: pytest.LogCaptureFixture
):
    informer, keys = an_informer(store, clock, also=[Source("Doll", lambda change: [toy_key(change.document["nose"])])])
    informer.step()

    store.create(a_toy("anna") | {"kind": "Doll"})
    store.create(a_toy("ball"))
    informer.step()

    assert keys == [toy_key("ball")]
    assert "cannot say what a change makes due" in caplog.text


def test_when_changes_were_compacted_away_everything_is_listed_again(store: Store, clock: HandClock):
    informer, keys = an_informer(store, clock)
    informer.step()
    store.create(a_toy("ball"))
    for content in "abcdef":
        store.update(with_content(store.get(toy_key("ball")), content))
    store.compact(keep=1)

    informer.step()

    assert keys == [toy_key("ball")]


def test_more_changes_than_fit_a_page_are_all_seen(store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("controller.engine.informer._PAGE", 3)
    informer, keys = an_informer(store, clock)
    informer.step()
    for number in range(10):
        store.create(a_toy(f"toy-{number}"))

    informer.step()

    assert keys == [toy_key(f"toy-{number}") for number in range(10)]


def test_once_in_a_while_everything_is_due_again(store: Store, clock: HandClock):
    store.create(a_toy())
    again: list[ObjectKey] = []
    informer, keys = an_informer(store, clock, resync=again.append, resync_seconds=600.0)
    informer.step()

    clock.advance(599.0)
    informer.step()
    early = list(again)
    clock.advance(1.0)
    informer.step()

    assert (early, again, keys) == ([], [toy_key()], [toy_key()])


def test_it_looks_again_in_time_for_the_resync(store: Store, clock: HandClock):
    informer, _ = an_informer(store, clock, resync_seconds=600.0)
    informer.step()
    clock.advance(598.0)

    assert informer.step() == pytest.approx(2.0)


def test_a_running_informer_hears_of_a_change_at_once_and_stops_when_told(store: Store, clock: HandClock):
    heard = threading.Event()
    informer = Informer(store, clock, "Toy", [Source("Toy", own_keys(None))], lambda key: heard.set())
    informer.start()

    store.create(a_toy())

    assert heard.wait(10)
    informer.stop()
    assert not informer.is_alive()


def test_one_that_rests_after_a_look_hears_of_all_that_was_written_meanwhile(store: Store, clock: HandClock):
    heard, all_heard = [], threading.Event()

    def hear(key: ObjectKey) -> None:
        heard.append(key)
        if key == toy_key("last"):
            all_heard.set()

    informer = Informer(store, clock, "Toy", [Source("Toy", own_keys(None))], hear, rest_seconds=0.02)
    informer.start()

    names = ["first", *(f"toy-{number}" for number in range(20)), "last"]
    for name in names:
        store.create(a_toy(name))

    assert all_heard.wait(10)
    assert list(dict.fromkeys(heard)) == [toy_key(name) for name in names]
    informer.stop()
    assert not informer.is_alive()


def test_one_that_rests_for_long_stops_at_once(store: Store, clock: HandClock):
    heard = threading.Event()
    sources = [Source("Toy", own_keys(None))]
    informer = Informer(store, clock, "Toy", sources, lambda key: heard.set(), rest_seconds=3600.0)
    store.create(a_toy())
    informer.start()
    assert heard.wait(10)

    informer.stop()

    assert not informer.is_alive()


def test_a_store_that_fails_ends_no_informer(store: Store, clock: HandClock, caplog: pytest.LogCaptureFixture):
    heard = threading.Event()
    failures = [ServiceUnavailable("cannot read the store")]

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def keys(self, kind: str) -> object:
            if failures:
                raise failures.pop()
            return store.keys(kind)

    store.create(a_toy())
    informer = Informer(Failing(), clock, "Toy", [Source("Toy", own_keys(None))], lambda key: heard.set())
    informer.start()

    assert heard.wait(10)
    informer.stop()
    assert "cannot read changes from the store" in caplog.text


def a_change(before: Document, after: Document) -> Change:
    return Change(ChangeType.MODIFIED, 2, ObjectKey.of(after), after, before)


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"a": "b"}},
        {"annotations": {"a": "b"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"generation": 2},
        {"uid": "x"},
    ],
)
def test_a_change_of_what_a_reconciler_reads_matters(metadata: Document):
    assert matters(a_change(a_toy(), a_toy(**metadata)), FINALIZER)


@pytest.mark.parametrize("metadata", [{"resourceVersion": "9"}, {"managedFields": [{}]}, {"finalizers": [FINALIZER]}])
def test_a_change_of_what_only_bookkeeping_reads_does_not_matter(metadata: Document):
    assert not matters(a_change(a_toy(), a_toy(**metadata)), FINALIZER)


def test_it_matters_that_our_finalizer_was_taken_away_and_not_that_anothers_was():
    assert matters(a_change(a_toy(finalizers=[FINALIZER]), a_toy()), FINALIZER)
    assert not matters(a_change(a_toy(finalizers=["other"]), a_toy()), FINALIZER)


def test_that_an_object_came_or_went_matters():
    for type_ in (ChangeType.ADDED, ChangeType.DELETED):
        assert matters(Change(type_, 2, toy_key(), a_toy(), None), FINALIZER)


def test_a_change_that_comes_while_changes_are_read_is_dealt_with_once(store: Store, clock: HandClock):
    """Sources that count what they are told depend on it."""
    told: list[int] = []

    def keys_of(change: Change) -> tuple[ObjectKey, ...]:
        told.append(change.revision)
        return ()

    def write_meanwhile(change: Change) -> tuple[ObjectKey, ...]:
        if change.key == toy_key("first"):
            store.create(a_toy("second"))
        return ()

    sources = (Source("Toy", write_meanwhile), Source("Toy", keys_of))
    informer, _ = an_informer(store, clock, also=sources)
    informer.step()

    store.create(a_toy("first"))
    for _ in range(3):
        informer.step()

    assert len(told) == 2
    assert told == sorted(set(told))
