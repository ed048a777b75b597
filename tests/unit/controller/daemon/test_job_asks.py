"""What jobs ask for is known by what is told of them, and by a look at all of them now and then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kinds import JOB
from api.meta import API_VERSION, Document, ObjectKey
from api.ports import Change, ChangeType
from controller.daemon.job_asks import LOOK_SECONDS, JobAsks
from state.store import Store
from support.hand_clock import HandClock

RUNTIMES = ("a", "a@1.0.0", "a@^1", "b@2.0.0", "python:3.11", None)
ENTRIES = ("latest", "1.0.0", "^1", "2.0.0")


def a_job(name: str, runtime: str | None, **status: str) -> Document:
    spec = {"command": ["true"]} | ({"runtime": runtime} if runtime else {})
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata, "spec": spec, "status": status}


def changed(kind: ChangeType, job: Document, previous: Document | None = None) -> Change:
    return Change(kind, 1, ObjectKey.of(job), job, previous)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path, clock):
    store = Store.open(tmp_path / "store.db", clock)
    yield store
    store.close()


def test_what_it_is_told_of_counts_at_once(store, clock):
    asks = JobAsks(store, clock)
    assert asks.unwanted("a", ("1.0.0",)) == ("1.0.0",)
    job = a_job("one", "a@1.0.0")

    asks.changed(changed(ChangeType.ADDED, job))
    assert asks.unwanted("a", ("1.0.0", "2.0.0")) == ("2.0.0",)
    assert asks.unwanted("b", ("1.0.0",)) == ("1.0.0",)

    ended = a_job("one", "a@1.0.0", phase="Failed")
    assert [str(key) for key in asks.changed(changed(ChangeType.MODIFIED, ended, job))] == ["runtime/a"]
    assert asks.unwanted("a", ("1.0.0",)) == ("1.0.0",)


def test_what_was_there_before_is_seen_and_what_was_missed_now_and_then(store, clock):
    store.create(a_job("one", "a@1.0.0"))
    asks = JobAsks(store, clock)
    assert asks.unwanted("a", ("1.0.0",)) == ()

    store.create(a_job("two", "a@^1"))
    store.delete(ObjectKey(JOB.name, "default", "one"))
    assert asks.unwanted("a", ("1.0.0", "^1")) == ("^1",)  # It is not told of either.
    clock.advance(LOOK_SECONDS)
    assert asks.unwanted("a", ("1.0.0", "^1")) == ("1.0.0",)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(RUNTIMES), st.booleans(), st.booleans())))
def test_however_jobs_come_and_go_what_is_wanted_is_what_those_that_go_on_ask_for(told):
    class Nothing:
        def each(self, *_what, **_how):
            return ()

    asks, alive = JobAsks(Nothing(), HandClock()), {}
    asks.unwanted("a", ())
    for name, runtime, is_over, is_deleted in told:
        job = a_job(name, runtime, **({"phase": "Succeeded"} if is_over else {}))
        asks.changed(changed(ChangeType.DELETED if is_deleted else ChangeType.MODIFIED, job, job))
        alive[name] = None if is_over or is_deleted else runtime

    said = [runtime for runtime in alive.values() if runtime]
    for entry in ENTRIES:
        exact = {"latest": "a"}.get(entry, f"a@{entry}")
        is_wanted = exact in said or (entry == "latest" and "python:3.11" in said)
        assert (asks.unwanted("a", (entry,)) == ()) == is_wanted
