"""Objects that are made together are made or refused as each would be alone."""

import re
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.errors import Forbidden, Invalid
from api.kinds import JOB, NAMESPACE, RESOURCE_QUOTA, SECRET
from api.meta import ObjectKey
from api.objects.creation import Creation, Written
from api.objects.verbs import Verbs
from controller.daemon.job_admission import JobAdmission
from controller.daemon.order_admission import OrderAdmission
from controller.job import charges
from controller.job.policy import Policy
from controller.job.requests import RequestDefaults
from controller.resource_quota.book import QuotaBook
from state.store import Store
from support.hand_clock import HandClock
from support.objects import a_job, by

SPACES = st.sampled_from(["default", "default", "tight", "ending", "nowhere"])
NAMES = st.sampled_from(["a", "b", "c", "Not A Name"])
JOBS = st.builds(
    lambda space, name, fields: Creation(JOB, space, a_job(name, **fields), by("me")),
    SPACES,
    NAMES,
    st.sampled_from([{}, {}, {"backoffLimit": -1}, {"network": "host"}, {"priorityClassName": "absent"}]),
)
GENERATED = st.builds(
    lambda space: Creation(JOB, space, a_job("x") | {"metadata": {"generateName": "made-"}}, by("me")), SPACES
)
PRETENDED = st.builds(lambda space: Creation(JOB, space, a_job("pretended"), by("me", dry_run=True)), SPACES)
SECRETS = st.just(Creation(SECRET, "tight", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, by("me")))
SPACES_MADE = st.just(Creation(NAMESPACE, "", {"metadata": {"name": "new"}}, by("me")))
NONSENSE = st.just(Creation(JOB, "default", ["no", "object"], by("me")))
ASKED = st.lists(st.one_of(JOBS, JOBS, GENERATED, PRETENDED, SECRETS, SPACES_MADE, NONSENSE), max_size=12)


@contextmanager
def a_place():
    """Verbs under the policy and the quotas of a daemon, with a namespace that has room for two jobs."""
    clock = HandClock()
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "store.db", clock)
        defaults = RequestDefaults(5, 16 << 20, 16 << 20)
        book = QuotaBook(store, lambda job: charges.of(job, defaults), charges.is_over, charges.begins_again)
        verbs = Verbs(store, clock, JobAdmission(Policy(), 7, store.get, book.charged).judged)
        verbs.bootstrap()
        for name in ("tight", "ending"):
            verbs.create(NAMESPACE, "", {"metadata": {"name": name}}, by("me"))
        hard = {"count/jobs.runwright.dev": "2", "count/secrets": "1"}
        quota = {"metadata": {"name": "compute"}, "spec": {"hard": hard}}
        verbs.create(RESOURCE_QUOTA, "tight", quota, by("me"))
        verbs.create(JOB, "ending", a_job("last"), by("me"))
        verbs.delete(NAMESPACE, "", "ending")
        try:
            yield verbs
        finally:
            store.close()


def outcome_of(make):
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error


def one_by_one(verbs, asked):
    return [outcome_of(lambda creation=creation: verbs.create(*creation)) for creation in asked]


def all_of(verbs, asked):
    """Make them together, and then those that have to be made alone."""
    known = (Written, Exception)
    return [made if isinstance(made, known) else outcome_of(made) for made in verbs.create_all(asked)]


def told(outcome):
    """What a client is told, but for what is random or counted."""
    if isinstance(outcome, Exception):
        return type(outcome).__name__, re.sub("made-[a-z0-9]{5}", "made-", str(outcome))
    metadata = outcome.document["metadata"]
    fixed = {key: value for key, value in metadata.items() if key not in ("uid", "resourceVersion")}
    if "generateName" in metadata:
        assert metadata["name"].startswith("made-")
        fixed["name"] = "made-"
    return outcome.created, outcome.warnings, outcome.document | {"metadata": fixed}


def stored(verbs):
    storage = verbs.storage
    found = [key for kind in (JOB, SECRET, NAMESPACE) for key in storage.keys(kind.name)]
    return sorted((key.kind, key.namespace, "made-" if key.name.startswith("made-") else key.name) for key in found)


@settings(max_examples=60, deadline=None)
@given(ASKED)
@example([Creation(JOB, "tight", a_job("x") | {"metadata": {"generateName": "made-"}}, by("me"))] * 3)
def test_each_of_many_is_made_or_refused_as_it_would_be_alone(asked):
    with a_place() as alone, a_place() as together:
        first, second = one_by_one(alone, asked), all_of(together, asked)

        assert [told(outcome) for outcome in second] == [told(outcome) for outcome in first]
        assert stored(together) == stored(alone)
        for outcome in second:
            if isinstance(outcome, Written) and outcome.document["metadata"].get("name") != "pretended":
                assert together.storage.get(ObjectKey.of(outcome.document))["metadata"]["uid"]


def test_what_one_may_not_do_is_no_fault_of_the_others():
    def admit(_kind, _before, after):
        if after["metadata"]["name"] == "b":
            raise Forbidden("not this one")

    with a_place() as verbs:
        asked = [Creation(JOB, "default", a_job(name), by("me", admit=admit)) for name in "abc"]
        made, refused, last = all_of(verbs, asked)

        assert (made.document["metadata"]["name"], last.document["metadata"]["name"]) == ("a", "c")
        assert isinstance(refused, Forbidden)


def test_a_name_that_was_made_up_and_is_taken_is_made_up_again(monkeypatch):
    suffixes = iter(["aaaaa", "aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("api.objects.namespaces.random_suffix", lambda: next(suffixes))
    with a_place() as verbs:
        asked = [Creation(JOB, "default", a_job("x") | {"metadata": {"generateName": "made-"}}, by("me"))] * 2

        names = [outcome.document["metadata"]["name"] for outcome in all_of(verbs, asked)]

        assert names == ["made-aaaaa", "made-bbbbb"]


def test_a_namespace_that_is_closed_while_others_are_looked_at_gets_nothing_more(monkeypatch):
    with a_place() as verbs:
        verbs.create(NAMESPACE, "", {"metadata": {"name": "closing"}}, by("me"))
        verbs.create(JOB, "closing", a_job("last"), by("me"))

        def admit(_kind, _before, after):
            if after["metadata"]["name"] == "b":
                verbs.delete(NAMESPACE, "", "closing")

        asked = [Creation(JOB, space, a_job(name), by("me", admit=admit)) for space, name in
                 (("closing", "a"), ("closing", "c"), ("default", "b"))]  # fmt: skip
        first, second, made = verbs.create_all(asked)

        assert [type(first), type(second), type(made)] == [Forbidden, Forbidden, Written]
        assert list(verbs.storage.keys(JOB.name, "closing")) == [ObjectKey("Job", "closing", "last")]


def test_a_quota_holds_whoever_makes_objects_together_and_alone():
    with a_place() as verbs:
        made: list[object] = []

        def together():
            made.extend(all_of(verbs, [Creation(JOB, "tight", a_job(f"t-{n}"), by("me")) for n in range(8)]))

        def alone():
            made.extend(one_by_one(verbs, [Creation(JOB, "tight", a_job(f"a-{n}"), by("me")) for n in range(8)]))

        threads = [threading.Thread(target=work) for work in (together, alone)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [type(each) for each in made].count(Written) == 2
        assert [type(each) for each in made].count(Forbidden) == 14
        assert len(list(verbs.storage.keys(JOB.name, "tight"))) == 2


def test_jobs_that_would_wait_for_each_other_are_not_made_together():
    with a_place() as verbs:
        order = OrderAdmission(verbs.storage.get, lambda *_job: None, lambda *_job: None)
        verbs = Verbs(verbs.storage, HandClock(), order.judged)
        asked = [Creation(JOB, "default", a_job(a, after=[{"job": b}]), by("me")) for a, b in ("ab", "ba")]

        made, refused = all_of(verbs, asked)

        assert (type(made), type(refused)) == (Written, Invalid)


def test_what_comes_together_is_on_the_disk_by_one_commit(tmp_path):
    rows: list[int] = []
    store = Store.open(tmp_path / "store.db", HandClock(), on_commit=lambda _seconds, count: rows.append(count))
    verbs = Verbs(store, HandClock())
    verbs.bootstrap()
    rows.clear()

    verbs.create_all([Creation(JOB, "default", a_job(f"j-{number}"), by("me")) for number in range(12)])

    assert rows == [12]
    store.close()
