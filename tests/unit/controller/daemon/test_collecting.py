import contextlib
import threading

import pytest

from api.errors import Conflict, ServiceUnavailable
from api.kinds import JOB, NAMESPACE, REGISTRY
from api.meta import API_VERSION
from controller.daemon import collecting
from controller.daemon.collecting import Collector
from support.hand_clock import HandClock
from support.objects import a_job, by, open_verbs

ME = by("me")


@pytest.fixture
def verbs(tmp_path):
    verbs, store = open_verbs(tmp_path, HandClock())
    with contextlib.closing(store):
        yield verbs


@pytest.fixture
def collector(verbs):
    collector = Collector(verbs.storage, verbs)
    collector.catch_up()
    return collector


@pytest.fixture
def make(verbs):
    def make(name, *owners, **more):
        document = (
            a_job(name) if name.startswith("job") else {"metadata": {"name": name}, "spec": {"url": "https://x.test"}}
        )
        document["metadata"] |= {"ownerReferences": [reference(owner, **more) for owner in owners]}
        kind = JOB if name.startswith("job") else REGISTRY
        made = verbs.create(kind, "default" if kind is JOB else "", document, ME).document
        return verbs.storage.update(made | {"metadata": made["metadata"] | {"finalizers": []}})

    return make


def reference(owner, **more):
    metadata = owner["metadata"]
    return {"apiVersion": API_VERSION, "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]} | more


def names(verbs):
    return [item["metadata"]["name"] for kind in (JOB, REGISTRY) for item in verbs.list(kind).items]


def delete(verbs, name, **how):
    return verbs.delete(JOB, "default", name, **how)


def test_dependents_go_after_their_owner_down_to_the_last(verbs, collector, make):
    a = make("job-a")
    b = make("job-b", a)
    make("job-c", b)
    make("job-other")
    delete(verbs, "job-a")
    collector.catch_up()

    assert names(verbs) == ["job-other"]


@pytest.mark.invariant("G1")
def test_an_object_stays_while_one_of_its_owners_is_there_and_forgets_the_other(verbs, collector, make):
    a, b = make("job-a"), make("job-b")
    make("job-c", a, b)
    delete(verbs, "job-a")
    collector.catch_up()

    assert [each["name"] for each in verbs.get(JOB, "default", "job-c")["metadata"]["ownerReferences"]] == ["job-b"]


@pytest.mark.parametrize("change", [{"uid": "another"}, {"apiVersion": API_VERSION, "kind": "Runtime"}])
def test_what_refers_to_an_owner_that_is_not_there_is_collected(verbs, collector, make, change):
    make("job-c", make("job-a"), **change)
    collector.catch_up()

    assert names(verbs) == ["job-a"]


def test_what_refers_to_a_kind_that_is_not_kept_here_stays(verbs, collector, make):
    make("job-c", make("job-a"), kind="Deployment", apiVersion="apps/v1")
    collector.catch_up()

    assert "job-c" in names(verbs)


def test_a_cluster_scoped_owner_owns_across_namespaces(verbs, collector, make):
    make("job-c", make("registry"))
    collector.catch_up()
    assert "job-c" in names(verbs)

    verbs.delete(REGISTRY, "", "registry")
    collector.catch_up()
    assert names(verbs) == []


def test_orphans_are_set_free_before_the_owner_goes(verbs, collector, make):
    make("job-c", make("job-a"))
    assert delete(verbs, "job-a", propagation="Orphan").gone
    collector.catch_up()

    assert not verbs.get(JOB, "default", "job-c")["metadata"].get("ownerReferences")


def test_in_the_foreground_the_owner_goes_last(verbs, collector, make):
    a = make("job-a")
    c = make("job-c", a, blockOwnerDeletion=True)
    verbs.storage.update(c | {"metadata": c["metadata"] | {"finalizers": ["x.test/hold"]}})
    assert not delete(verbs, "job-a", propagation="Foreground").gone
    collector.catch_up()
    assert "deletionTimestamp" in verbs.get(JOB, "default", "job-c")["metadata"]
    assert "foregroundDeletion" in verbs.get(JOB, "default", "job-a")["metadata"]["finalizers"]

    verbs.patch(JOB, "default", "job-c", {"metadata": {"finalizers": None}}, "application/merge-patch+json", ME)
    collector.catch_up()
    assert names(verbs) == []


@pytest.mark.invariant("A2")
@pytest.mark.parametrize("space", ["default", "other"])
def test_what_has_the_uid_of_an_owner_and_not_its_name_and_place_does_not_hold_up_its_deletion(
    verbs, collector, make, space
):
    """Who writes it is asked about the owner that it names, and could have any uid beside that name."""
    victim = make("job-victim")
    verbs.create(NAMESPACE, "", {"metadata": {"name": "other"}}, ME)
    named = "job-own" if space == "default" else "job-victim"
    held = a_job("job-x", metadata={"finalizers": ["x.test/hold"]})
    held["metadata"]["ownerReferences"] = [reference(victim, name=named, blockOwnerDeletion=True)]
    verbs.create(JOB, space, held, ME)
    if space == "default":
        make("job-own")
    make("job-c", victim, blockOwnerDeletion=True)
    delete(verbs, "job-victim", propagation="Foreground")
    collector.catch_up()

    assert "job-victim" not in names(verbs)
    assert "job-c" not in names(verbs)


@pytest.mark.invariant("A2")
def test_what_has_the_uid_of_an_owner_and_not_its_name_is_not_waited_for_at_all(verbs, collector, make):
    victim, own = make("job-victim"), make("job-own")
    make("job-x", own | {"metadata": own["metadata"] | {"uid": victim["metadata"]["uid"]}}, own)
    assert delete(verbs, "job-victim", propagation="Foreground").gone
    collector.catch_up()

    assert names(verbs) == ["job-own", "job-x"]


@pytest.mark.parametrize("change", [{"blockOwnerDeletion": False}, {"name": "job-other"}, None])
def test_what_refers_to_an_owner_no_longer_or_otherwise_is_no_longer_waited_for(verbs, collector, make, change):
    a = make("job-a")
    c = make("job-c", a, blockOwnerDeletion=True)
    c = verbs.storage.update(c | {"metadata": c["metadata"] | {"finalizers": ["x.test/hold"]}})
    delete(verbs, "job-a", propagation="Foreground")
    collector.catch_up()
    assert names(verbs) == ["job-a", "job-c"]

    c = verbs.get(JOB, "default", "job-c")
    left = [] if change is None else [reference(a, blockOwnerDeletion=True) | change]
    verbs.storage.update(c | {"metadata": c["metadata"] | {"ownerReferences": left}})
    collector.catch_up()
    assert names(verbs) == ["job-c"]


def test_in_the_foreground_without_dependents_it_goes_at_once(verbs, make):
    make("job-a")

    assert delete(verbs, "job-a", propagation="Foreground").gone


def test_owners_of_each_other_do_not_wait_for_ever(verbs, collector, make):
    a = make("job-a")
    b = make("job-b", a, blockOwnerDeletion=True)
    a = verbs.get(JOB, "default", "job-a")
    verbs.storage.update(a | {"metadata": a["metadata"] | {"ownerReferences": [reference(b, blockOwnerDeletion=True)]}})
    delete(verbs, "job-a", propagation="Foreground")
    collector.catch_up()

    assert names(verbs) == []


def test_a_precondition_that_does_not_hold_prepares_nothing(verbs, make):
    a = make("job-a")
    make("job-c", a)
    with pytest.raises(Conflict):
        delete(verbs, "job-a", uid="another", propagation="Orphan")

    assert verbs.get(JOB, "default", "job-c")["metadata"]["ownerReferences"]
    assert delete(verbs, "job-a", resource_version=a["metadata"]["resourceVersion"], propagation="Orphan").gone


def test_a_new_collector_finds_what_was_left_to_do(verbs, collector, make):
    make("job-c", make("job-a"))
    delete(verbs, "job-a")
    Collector(verbs.storage, verbs).catch_up()

    assert names(verbs) == []


def test_the_thread_collects_by_itself_and_ends(verbs, make):
    collector, written = Collector(verbs.storage, verbs), threading.Event()
    unsubscribe = verbs.storage.subscribe(written.set)
    collector.start()
    try:
        make("job-c", make("job-a"))
        delete(verbs, "job-a")
        while names(verbs):
            assert written.wait(10)
            written.clear()
    finally:
        collector.stop()
        unsubscribe()

    assert names(verbs) == []


@pytest.mark.parametrize("failure", [RuntimeError("our bug"), ServiceUnavailable("not now")])
def test_whatever_fails_once_is_done_later_and_the_others_before(verbs, make, monkeypatch, caplog, failure):
    monkeypatch.setattr(collecting, "_AFTER_FAILURE_SECONDS", 0.01)
    a = make("job-a")
    make("job-b", a), make("job-c", a)
    collector, written = Collector(verbs.storage, verbs), threading.Event()
    unsubscribe = verbs.storage.subscribe(written.set)
    failures, by_itself = [failure], verbs.delete

    def delete_or_fail(*arguments, **named):
        if failures:
            raise failures.pop()
        return by_itself(*arguments, **named)

    by_itself(JOB, "default", "job-a")
    monkeypatch.setattr(verbs, "delete", delete_or_fail)
    collector.start()
    try:
        while names(verbs):
            assert written.wait(10)
            written.clear()
    finally:
        collector.stop()
        unsubscribe()

    assert [record.message for record in caplog.records if record.levelname != "INFO"] == [
        "cannot collect what has lost its owners"
    ]
