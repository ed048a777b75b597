"""Which jobs a quota is about, and that what is used of it is right whatever becomes of them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.errors import ApiError, Forbidden, Invalid
from api.kinds import JOB, PRIORITY_CLASS, RESOURCE_QUOTA
from api.types.job import Job
from api.types.resource_quota import ResourceQuota
from controller.capacity.charges import Nature
from controller.engine.plan import Plan
from controller.resource_quota import judging
from controller.resource_quota.kind import ResourceQuotaKind
from controller.resource_quota.scopes import Scopes
from support.objects import a_job
from support.quotas import ME, MERGE, QuotaPlace, a_book


class Place(QuotaPlace):
    """Verbs under quotas with scopes, on a real store."""

    def limit(self, *scopes, name="q", selector=(), **hard):
        spec = {"hard": {key.replace("_", "."): value for key, value in hard.items()}, "scopes": list(scopes)}
        spec |= {"scopeSelector": {"matchExpressions": list(selector)}} if selector else {}
        document = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}
        return self.verbs.create(RESOURCE_QUOTA, "default", document, ME)

    def add(self, name, **spec):
        return self.verbs.create(JOB, "default", a_job(name, **spec), ME)

    def patch(self, name, **spec):
        return self.verbs.patch(JOB, "default", name, {"spec": spec}, MERGE, ME)

    def classes(self, **default):
        for name, is_default in default.items():
            fields = {"metadata": {"name": name}, "value": 7, "globalDefault": is_default}
            self.verbs.create(
                PRIORITY_CLASS, "", {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **fields}, ME
            )

    def over(self, name):
        job = self.verbs.get(JOB, "default", name)
        hash_ = Job.model_validate(job).spec.template_hash()
        status = {"phase": "Succeeded", "observedGeneration": job["metadata"]["generation"], "templateHash": hash_}
        self.store.update_status(job | {"status": status})

    def used(self, name="q"):
        quota = ResourceQuota.model_validate(self.verbs.get(RESOURCE_QUOTA, "default", name))
        kind = ResourceQuotaKind(self.book)
        return kind.report(quota, kind.observe(quota), Plan.nothing()).used


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


def refused(write):
    with pytest.raises(Forbidden) as error:
        write()
    return str(error.value)


NATURES = {
    "plain": Nature(best_effort=True),
    "ends": Nature(terminating=True, best_effort=True),
    "asks": Nature(),
    "high": Nature(best_effort=True, class_name="high"),
    "both": Nature(terminating=True, class_name="low"),
}


@pytest.mark.parametrize(
    ("scopes", "selector", "taken"),
    [
        ([], [], {"plain", "ends", "asks", "high", "both"}),
        (["Terminating"], [], {"ends", "both"}),
        (["NotTerminating"], [], {"plain", "asks", "high"}),
        (["BestEffort"], [], {"plain", "ends", "high"}),
        (["NotBestEffort"], [], {"asks", "both"}),
        (["PriorityClass"], [], {"high", "both"}),
        (["Terminating", "NotBestEffort"], [], {"both"}),
        ([], [("PriorityClass", "Exists", [])], {"high", "both"}),
        ([], [("PriorityClass", "DoesNotExist", [])], {"plain", "ends", "asks"}),
        ([], [("PriorityClass", "In", ["high", "other"])], {"high"}),
        ([], [("PriorityClass", "NotIn", ["high"])], {"plain", "ends", "asks", "both"}),
        (["Terminating"], [("PriorityClass", "In", ["low", "high"])], {"both"}),
        ([], [("Terminating", "Exists", []), ("BestEffort", "Exists", [])], {"ends"}),
    ],
)
def test_a_quota_is_about_the_jobs_that_all_of_its_scopes_take(scopes, selector, taken):
    expressions = [{"scopeName": name, "operator": how, "values": values} for name, how, values in selector]
    found = Scopes.of({"scopes": scopes, "scopeSelector": {"matchExpressions": expressions}})

    assert {name for name, nature in NATURES.items() if found.take(nature, str)} == taken


def test_who_names_no_class_is_of_the_default_one():
    named = Scopes.of(
        {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["usual"]}]}}
    )

    assert named.take(NATURES["plain"], lambda: "usual")
    assert not named.take(NATURES["high"], lambda: "usual")


def test_a_job_counts_in_the_quotas_that_are_about_it_only(place):
    place.limit("Terminating", name="short", pods="1")
    place.limit("NotTerminating", name="long", pods="1")
    place.add("a", activeDeadlineSeconds=60)
    place.add("b")

    assert (place.used("short"), place.used("long")) == ({"pods": "1"}, {"pods": "1"})
    assert "exceeded quota: short, requested: pods=1" in refused(lambda: place.add("c", activeDeadlineSeconds=60))
    assert "exceeded quota: long, requested: pods=1" in refused(lambda: place.add("c"))


def test_a_job_that_gets_a_deadline_moves_to_the_other_quota_if_there_is_room(place):
    place.limit("Terminating", name="short", pods="1", requests_cpu="1")
    place.limit("NotTerminating", name="long", pods="2")
    place.add("a", resources={"requests": {"cpu": 1}})
    place.add("b")

    place.patch("a", activeDeadlineSeconds=60)

    assert (place.used("short"), place.used("long")) == ({"pods": "1", "requests.cpu": "1"}, {"pods": "1"})
    assert "exceeded quota: short, requested: pods=1,requests.cpu=5m" in refused(
        lambda: place.patch("b", activeDeadlineSeconds=60)
    )
    place.patch("a", activeDeadlineSeconds=90)  # It is in there already.
    place.patch("a", activeDeadlineSeconds=None)
    assert (place.used("short"), place.used("long")) == ({"pods": "0", "requests.cpu": "0"}, {"pods": "2"})


def test_a_job_that_asks_for_something_is_no_more_best_effort(place):
    place.limit("BestEffort", name="idle", pods="1")
    place.limit("NotBestEffort", name="paid", limits_cpu="1", pods="1")
    place.add("a")
    assert "exceeded quota: idle" in refused(
        lambda: place.add("b", resources={"limits": {"ephemeral-storage": "64Mi"}})
    )

    assert "failed quota: paid: must specify limits.cpu for: a" in refused(
        lambda: place.patch("a", resources={"requests": {"memory": "32Mi"}})
    )
    place.patch("a", resources={"limits": {"cpu": 1}})

    assert (place.used("idle"), place.used("paid")) == ({"pods": "0"}, {"limits.cpu": "1", "pods": "1"})


def test_limits_have_to_be_said_by_those_jobs_only_that_the_quota_is_about(place):
    place.limit("Terminating", limits_cpu="1")

    place.add("a")
    assert "must specify limits.cpu for: b" in refused(lambda: place.add("b", activeDeadlineSeconds=60))


def test_a_change_that_concerns_no_quota_anew_is_let_in_whatever_they_came_to_say(place):
    place.add("a", activeDeadlineSeconds=60)
    place.limit("Terminating", limits_cpu="1", pods="0")
    place.limit(name="all", limits_cpu="1", pods="0")
    place.limit("NotTerminating", name="long", pods="0")

    place.patch("a", activeDeadlineSeconds=90)
    place.patch("a", priorityClassName="high")

    assert "exceeded quota: long" in refused(lambda: place.patch("a", activeDeadlineSeconds=None))


def test_the_room_of_a_class_is_for_its_jobs(place):
    place.classes(high=False, low=False)
    of_high = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    place.limit(selector=[of_high], pods="1")
    place.add("a", priorityClassName="low")
    place.add("b", priorityClassName="high")

    assert "exceeded quota: q" in refused(lambda: place.patch("a", priorityClassName="high"))
    place.patch("b", priorityClassName="low")
    place.patch("a", priorityClassName="high")
    assert place.used() == {"pods": "1"}


def test_who_names_no_class_counts_as_of_the_one_that_is_the_default_now(place):
    place.limit(selector=[{"scopeName": "PriorityClass", "operator": "In", "values": ["usual"]}], pods="1")
    place.add("a")
    assert place.used() == {"pods": "0"}

    place.classes(usual=True)

    (change,) = [each for each in place.store.changes(0) if each.key.kind == "PriorityClass"]
    assert [key.name for key in place.book.quotas_of(change)] == ["q"]
    assert place.used() == {"pods": "1"}
    assert "exceeded quota: q" in refused(lambda: place.add("b"))


def test_a_class_that_is_no_default_changes_nothing_that_is_used(place):
    place.limit("PriorityClass", pods="1")
    place.classes(high=False)

    (change,) = [each for each in place.store.changes(0) if each.key.kind == "PriorityClass"]
    assert place.book.quotas_of(change) == ()


def test_one_that_is_over_and_begins_again_counts_where_it_belongs_now(place):
    place.limit("Terminating", pods="1")
    place.add("a")
    place.over("a")
    place.add("b", activeDeadlineSeconds=60)

    place.patch("a", activeDeadlineSeconds=60)  # It stays over.
    assert "exceeded quota: q" in refused(lambda: place.patch("a", command=["false"]))
    place.patch("a", activeDeadlineSeconds=None)
    place.patch("a", command=["false"])


def test_a_book_that_is_made_anew_counts_the_same(place):
    place.limit("Terminating", "NotBestEffort", pods="5", requests_cpu="5")
    place.add("a", activeDeadlineSeconds=60, resources={"limits": {"cpu": 1}})
    place.add("b", activeDeadlineSeconds=60)
    scopes, hard = Scopes.of({"scopes": ["Terminating", "NotBestEffort"]}), {"pods": "5", "requests.cpu": "5"}

    assert a_book(place.store).used("default", hard, scopes) == place.book.used("default", hard, scopes)
    assert place.used() == {"pods": "1", "requests.cpu": "1"}


def test_scopes_cannot_be_changed_but_the_selector_can(place):
    place.limit("Terminating", pods="1")

    def change(**spec):
        return place.verbs.patch(RESOURCE_QUOTA, "default", "q", {"spec": spec}, MERGE, ME)

    with pytest.raises(Invalid) as error:
        change(scopes=["BestEffort"])
    assert "spec.scopes: Invalid value: field is immutable" in str(error.value)
    change(scopeSelector={"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]})
    place.add("a", activeDeadlineSeconds=60)
    assert place.used() == {"pods": "0"}


NAMES = st.sampled_from("abc")
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "activeDeadlineSeconds": st.sampled_from([None, 60]),
        "priorityClassName": st.sampled_from([None, "high", "low"]),
        "resources": st.sampled_from(
            [None, {"requests": {"cpu": "300m"}}, {"limits": {"cpu": "600m", "memory": "64Mi"}}]
        ),
        "command": st.sampled_from([["true"], ["false"]]),
        "parallelism": st.sampled_from([1, 2]),
        "completions": st.just(4),
    },
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, SPECS), st.tuples(st.just("patch"), NAMES, SPECS),
        st.tuples(st.just("over"), NAMES, st.none()), st.tuples(st.just("delete"), NAMES, st.none()),
    ),
    max_size=12,
)  # fmt: skip
QUOTAS = {
    "all": ((), {"pods": "4", "requests_cpu": "1"}),
    "short": (("Terminating",), {"pods": "2", "requests_cpu": "600m"}),
    "idle": (("BestEffort", "NotTerminating"), {"pods": "2"}),
    "classed": (("PriorityClass", "NotBestEffort"), {"limits_cpu": "1"}),
}


@pytest.mark.invariant("Q5")
@settings(max_examples=40, deadline=None)
@given(STEPS)
@example([("add", "a", {"activeDeadlineSeconds": 60}), ("over", "a", None), ("patch", "a", {"command": ["false"]})])
def test_whatever_is_done_to_jobs_what_is_used_is_what_there_is_and_never_more_than_may_be(steps):
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        for name, (scopes, hard) in QUOTAS.items():
            place.limit(*scopes, name=name, **hard)
        for what, name, spec in steps:
            do(place, what, name, spec)
            for quota in QUOTAS:
                document = place.verbs.get(RESOURCE_QUOTA, "default", quota)["spec"]
                counted = place.book.used("default", document["hard"], Scopes.of(document))
                assert counted == a_book(place.store).used("default", document["hard"], Scopes.of(document))
                assert all(counted[key] <= judging.amount(key, most) for key, most in document["hard"].items())
        place.store.close()


def do(place, what, name, spec):
    """Try a step; what is not there, or has no room, is as well."""
    try:
        match what:
            case "add":
                place.add(name, **{key: value for key, value in spec.items() if value is not None})
            case "patch":
                place.patch(name, **spec)
            case "over":
                place.over(name)
            case "delete":
                place.verbs.delete(JOB, "default", name)
                ending = place.verbs.get(JOB, "default", name)
                place.store.update(ending | {"metadata": ending["metadata"] | {"finalizers": []}})
    except ApiError:
        pass
