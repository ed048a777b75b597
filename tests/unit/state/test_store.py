"""The store's operations, on a real file."""

import contextlib

import pytest

from api.errors import AlreadyExists, BadRequest, Conflict, Expired, Invalid, NotFound, ServiceUnavailable
from api.meta import ObjectKey
from api.ports import ChangeType
from state import journal
from state.store import Store
from support.hand_clock import HandClock
from support.secret_objects import a_secret
from support.stores import (
    FINALIZER,
    a_document,
    a_store,
    an_event,
    job_key,
    names,
    version,
    with_metadata,
    with_spec,
    with_status,
)


def types(store: Store, since: int = 0) -> list[tuple[ChangeType, int]]:
    return [(change.type, change.revision) for change in store.changes(since)]


def test_what_is_created_is_read_back_with_its_revision(store):
    created = store.create(a_document())

    assert store.get(job_key()) == created
    assert version(created) == store.revision() == 1
    assert len(created["metadata"]["uid"]) == 36


def test_what_was_never_created_reads_as_none(store):
    assert store.get(job_key()) is None


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(store):
    store.create(a_document())

    with pytest.raises(AlreadyExists, match=r'jobs\.runwright\.dev "etl" already exists'):
        store.create(a_document())
    assert store.revision() == 1


def test_the_same_name_in_another_namespace_or_kind_is_another_object(store):
    store.create(a_document())
    store.create(with_metadata(a_document(), namespace="other"))
    store.create(a_document() | {"kind": "Runtime", "metadata": {"name": "etl"}})

    assert names(store.list("Job").items) == ["etl", "etl"]
    assert names(store.list("Job", "other").items) == ["etl"]
    assert store.get(ObjectKey("Runtime", "", "etl")) is not None


@pytest.mark.invariant("S9")
def test_an_object_made_again_under_its_old_name_is_another_one(store):
    first = store.create(a_document())
    store.delete(job_key())
    second = store.create(a_document())

    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert types(store)[-1] == (ChangeType.ADDED, 3)


@pytest.mark.invariant("S3")
def test_a_stale_update_changes_nothing(store):
    first = store.create(a_document())
    second = store.update(with_spec(first, command=["a"]))

    with pytest.raises(Conflict):
        store.update(with_spec(first, command=["b"]))
    assert store.get(job_key()) == second
    assert store.revision() == version(second)


@pytest.mark.invariant("S3")
def test_a_stale_status_changes_nothing(store):
    first = store.create(a_document())
    second = store.update_status(with_status(first, phase="Running"))

    with pytest.raises(Conflict):
        store.update_status(with_status(first, phase="Pending"))
    assert store.get(job_key()) == second


@pytest.mark.parametrize("operation", ["update", "update_status"])
def test_an_object_that_is_not_there_cannot_be_changed(store, operation):
    with pytest.raises(NotFound, match=r'jobs\.runwright\.dev "etl" not found'):
        getattr(store, operation)(a_document(resourceVersion="1"))


def test_an_update_of_our_kinds_without_a_version_is_invalid(store):
    store.create(a_document())

    with pytest.raises(Invalid, match="must be specified for an update"):
        store.update(a_document(spec={"command": ["x"]}))


def test_an_event_is_updated_without_a_version(store):
    store.create(an_event())

    assert store.update(an_event() | {"count": 2})["count"] == 2


@pytest.mark.invariant("S8")
@pytest.mark.parametrize("operation", ["update", "update_status"])
def test_a_write_that_changes_nothing_makes_no_revision_and_wakes_nobody(store, operation):
    created = store.create(a_document())
    woken: list[int] = []
    store.subscribe(lambda: woken.append(1))

    assert getattr(store, operation)(created) == created
    assert store.revision() == 1
    assert woken == []


@pytest.mark.invariant("S8")
def test_a_tuple_and_a_list_are_the_same_to_the_store(store):
    created = store.create(a_document(spec={"command": ("a", "b")}))

    assert created["spec"] == {"command": ["a", "b"]}
    assert store.update(with_spec(created, command=("a", "b"))) == created
    assert store.revision() == 1


def test_an_object_without_finalizers_is_gone_at_once(store):
    created = store.create(a_document())

    gone = store.delete(job_key())

    assert gone == with_metadata(created, resourceVersion="2")
    assert store.get(job_key()) is None
    assert store.list("Job").items == ()


@pytest.mark.invariant("S11")
def test_an_object_with_finalizers_goes_with_the_last_of_them(store):
    store.create(a_document(finalizers=[FINALIZER]))

    marked = store.delete(job_key())
    assert store.get(job_key()) == marked
    assert store.delete(job_key()) == marked
    gone = store.update(with_metadata(marked, finalizers=[]))

    assert store.get(job_key()) is None
    assert "deletionTimestamp" in gone["metadata"]
    assert types(store) == [(ChangeType.ADDED, 1), (ChangeType.MODIFIED, 2), (ChangeType.DELETED, 3)]


def test_deleting_what_is_not_there_is_not_found(store):
    with pytest.raises(NotFound):
        store.delete(job_key())


@pytest.mark.invariant("S3")
def test_a_deletion_whose_precondition_fails_deletes_nothing(store):
    created = store.create(a_document())

    with pytest.raises(Conflict):
        store.delete(job_key(), uid="another")
    with pytest.raises(Conflict):
        store.delete(job_key(), revision=9)
    assert store.get(job_key()) == created
    assert version(store.delete(job_key(), uid=created["metadata"]["uid"], revision=1)) == 2


def test_a_deleted_object_is_seen_in_its_last_state_with_the_revision_of_its_deletion(store):
    created = store.create(a_document())
    store.delete(job_key())

    (change,) = store.changes(1)

    assert change.type is ChangeType.DELETED
    assert change.document == with_metadata(created, resourceVersion="2")
    assert change.previous == created


def test_a_change_shows_the_object_before_and_after(store):
    first = store.create(a_document())
    second = store.update(with_spec(first, command=["x"]))

    (change,) = store.changes(1)

    assert (change.type, change.revision, change.key) == (ChangeType.MODIFIED, 2, job_key())
    assert (change.previous, change.document) == (first, second)


def test_changes_are_read_by_kind_and_in_portions(store):
    for number in range(5):
        store.create(a_document(f"j{number}"))
        store.create(an_event(f"e{number}"))

    assert [change.revision for change in store.changes(0, kind="Event", limit=2)] == [2, 4]
    assert [change.revision for change in store.changes(4, kind="Event")] == [6, 8, 10]
    assert len(store.changes(0, limit=0)) == 10


def test_a_revision_that_was_never_reached_is_expired_for_the_client_to_list_again(store):
    store.create(a_document())

    with pytest.raises(Expired, match="too large resource version: 5, current: 1"):
        store.changes(5)
    with pytest.raises(Expired, match="too large resource version"):
        store.list("Job", at_revision=5)


def test_a_list_is_in_key_order_and_carries_the_newest_revision(store):
    for name in ("b", "c", "a"):
        store.create(a_document(name))
    store.create(an_event())

    listing = store.list("Job")

    assert names(listing.items) == ["a", "b", "c"]
    assert (listing.revision, listing.remaining) == (4, 0)


@pytest.mark.invariant("S7")
def test_all_pages_of_a_list_show_the_moment_of_the_first(store):
    for name in "abcde":
        store.create(a_document(name))

    first = store.list("Job", limit=2)
    store.delete(job_key("c"))
    store.create(a_document("bb"))
    store.update(with_spec(store.get(job_key("e")), command=["changed"]))
    second = store.list("Job", at_revision=first.revision, after=job_key("b"), limit=2)
    third = store.list("Job", at_revision=first.revision, after=job_key("d"), limit=2)

    assert [names(page.items) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert [page.remaining for page in (first, second, third)] == [3, 1, 0]
    assert {page.revision for page in (first, second, third)} == {5}
    assert third.items[0]["spec"] == {"command": ["true"]}


@pytest.mark.parametrize(("after", "found"), [("a", ["x", "y"]), ("n", ["y"]), ("z", [])])
def test_a_page_of_a_namespace_after_a_key_of_another_is_what_comes_after_that_key(store, after, found):
    for name in "xy":
        store.create(a_document(name) | {"metadata": {"name": name, "namespace": "n"}})

    page = store.list("Job", "n", after=ObjectKey("Job", after, "x"), limit=5)

    assert (names(page.items), page.remaining) == (found, 0)


@pytest.mark.parametrize("statement", [*journal.PAGE.values(), *journal.KEYS.values(), *journal.COUNT.values()])
def test_no_list_is_sorted_by_reading_all_of_it_first(store, statement):
    asked = dict.fromkeys(("kind", "namespace", "after_namespace", "after_name"), "x") | {"at": 1, "limit": 1}
    with store._readers.lend() as reader:
        plan = [step[3] for step in reader.execute(f"EXPLAIN QUERY PLAN {statement}", asked)]

    assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN")], plan


def test_each_object_and_each_key_come_in_order(store):
    for name in "bca":
        store.create(a_document(name))
    store.create(a_document("aa") | {"metadata": {"name": "aa", "namespace": "other"}})
    store.delete(job_key("c"))
    store.create(an_event())

    assert names(store.each("Job")) == ["a", "b", "aa"]
    assert names(store.each("Job", "default")) == ["a", "b"]
    assert [str(key) for key in store.keys("Job")] == ["job/default/a", "job/default/b", "job/other/aa"]
    assert [key.name for key in store.keys("Job", "other")] == ["aa"]


def test_objects_without_a_word_are_not_looked_at_but_for_those_that_cannot_be_read_so(store):
    store.create(a_document("a", labels={"tier": "gold"}))
    store.create(a_document("b", labels={"tier": "lead"}))
    secret = a_secret()
    store.create(secret | {"metadata": secret["metadata"] | {"namespace": "default"}})

    assert names(store.each("Job", words=['"gold"', '"none"'])) == ["a"]
    assert names(store.each("Secret", words=['"none"'])) == ["db"]


def test_each_object_is_shown_as_it_was_when_the_reading_began(store):
    for name in "ab":
        store.create(a_document(name))
    objects = store.each("Job")
    first = next(objects)
    store.delete(job_key("b"))
    store.create(a_document("c"))

    assert names([first, *objects]) == ["a", "b"]


def test_who_reads_no_further_holds_nothing_up(store):
    for name in "ab":
        store.create(a_document(name))
    next(store.each("Job"))

    assert store.compact(keep=0) == 2


def test_a_page_that_ends_with_the_list_has_nothing_remaining(store):
    for name in "ab":
        store.create(a_document(name))

    assert store.list("Job", limit=2).remaining == 0


def test_a_list_of_all_namespaces_goes_on_in_the_next_namespace(store):
    for namespace in ("x", "y"):
        for name in "ab":
            store.create(with_metadata(a_document(name), namespace=namespace))

    rest = store.list("Job", after=ObjectKey("Job", "x", "b"))

    assert [ObjectKey.of(item) for item in rest.items] == [ObjectKey("Job", "y", "a"), ObjectKey("Job", "y", "b")]


@pytest.mark.invariant("S14")
def test_nothing_returned_or_given_is_shared_with_the_store(store):
    sent = a_document(labels={"a": "b"})
    created = store.create(sent)
    sent["metadata"]["labels"]["a"] = created["metadata"]["labels"]["a"] = "changed outside"
    store.list("Job").items[0]["spec"]["command"].append("changed outside")
    store.changes(0)[0].document["spec"].clear()

    kept = store.get(job_key())

    assert kept["metadata"]["labels"] == {"a": "b"}
    assert kept["spec"] == {"command": ["true"]}


@pytest.mark.parametrize("junk", [float("nan"), {1, 2}, "\ud800", b"bytes"])
def test_what_json_cannot_carry_is_refused_and_nothing_is_written(store, junk):
    with pytest.raises(BadRequest, match="cannot store Job etl: it is not JSON"):
        store.create(a_document(spec={"command": junk}))
    assert store.revision() == 0


def test_text_of_any_script_is_kept(store):
    created = store.create(a_document(spec={"command": ["é", "漢", "🦊", "\u2028", "nul\u0000"]}))

    assert store.get(job_key())["spec"] == created["spec"] == {"command": ["é", "漢", "🦊", "\u2028", "nul\u0000"]}


@pytest.mark.invariant("S1")
def test_revisions_go_on_after_reopening_even_when_all_is_deleted_and_compacted(tmp_path):
    with a_store(tmp_path) as store:
        store.create(a_document())
        store.delete(job_key())
        store.compact(keep=0)
        assert store.revision() == 2
    with a_store(tmp_path) as store:
        assert store.revision() == 2
        assert version(store.create(a_document())) == 3


def test_commits_are_reported_with_their_rows(tmp_path):
    commits: list[tuple[float, int]] = []
    clock = HandClock()
    store = Store.open(tmp_path / "s.db", clock, on_commit=lambda seconds, rows: commits.append((seconds, rows)))
    store.update(store.create(a_document()))
    store.close()

    assert commits == [(0.0, 1)]


def test_a_closed_store_refuses_and_says_so(tmp_path):
    with a_store(tmp_path) as store:
        store.create(a_document())

    with pytest.raises(ServiceUnavailable, match=r"cannot read the store .*store.db: the store is closed"):
        store.get(job_key())
    with pytest.raises(ServiceUnavailable, match=r"cannot write the store .*store.db: Cannot operate on a closed"):
        store.create(a_document("other"))


@pytest.mark.invariant("S5")
def test_of_many_created_at_once_each_has_its_own_outcome(store):
    there = store.create(a_document("there"))

    made, refused, unfit, last = store.create_all(
        [a_document("a"), a_document("there"), a_document("b", resourceVersion="7"), a_document("c")]
    )

    assert (made, last) == (store.get(job_key("a")), store.get(job_key("c")))
    assert (type(refused), type(unfit)) == (AlreadyExists, BadRequest)
    assert (store.get(job_key("there")), store.get(job_key("b"))) == (there, None)


def test_many_created_at_once_share_commits_and_wake_ups(tmp_path, clock):
    commits: list[int] = []
    with contextlib.closing(
        Store.open(tmp_path / "s.db", clock, on_commit=lambda _, rows: commits.append(rows))
    ) as store:
        woken: list[int] = []
        store.subscribe(lambda: woken.append(1))
        store.create_all([a_document(f"a-{number}") for number in range(100)])

    assert (sum(commits), len(commits), len(woken)) == (100, 2, 1)


def test_nothing_created_at_once_is_nothing(store):
    assert store.create_all([]) == []
