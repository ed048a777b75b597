"""What namespaces use, what they may, and how it is said that they may not."""

import threading

import pytest

from api.errors import Forbidden, Invalid
from api.kinds import CONFIG_MAP, JOB, RESOURCE_QUOTA
from api.objects.verbs import Verbs
from api.types.job import Job
from api.types.resource_quota import ResourceQuota
from controller.engine.plan import Plan
from controller.resource_quota.kind import ResourceQuotaKind
from support.hand_clock import HandClock
from support.objects import a_job, by
from support.quotas import ME, MERGE, QuotaPlace, a_book


class Place(QuotaPlace):
    """Verbs under quotas, on a real store."""

    def limit(self, name="compute", **hard):
        document = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
        spec = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
        return self.verbs.create(RESOURCE_QUOTA, "default", document | {"spec": spec}, ME)

    def add(self, name, *, dry_run=False, **resources):
        job = a_job(name, resources=resources or None)
        return self.verbs.create(JOB, "default", job, by("me", dry_run=dry_run)).document

    def over(self, name, phase="Succeeded"):
        job = self.verbs.get(JOB, "default", name)
        status = {
            "phase": phase,
            "observedGeneration": job["metadata"]["generation"],
            "templateHash": Job.model_validate(job).spec.template_hash(),
        }
        self.store.update_status(job | {"status": status})

    def patch(self, name, **spec):
        return self.verbs.patch(JOB, "default", name, {"spec": spec}, MERGE, ME)

    def status(self, name="compute"):
        quota = ResourceQuota.model_validate(self.verbs.get(RESOURCE_QUOTA, "default", name))
        kind = ResourceQuotaKind(self.book)
        observed = kind.observe(quota)
        assert kind.plan(quota, observed) == Plan.nothing()
        return kind.report(quota, observed, Plan.nothing())


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


def refused(write):
    with pytest.raises(Forbidden) as error:
        write()
    assert error.value.status()["code"] == 403
    return str(error.value)


def test_a_quota_whose_spec_was_taken_away_limits_nothing(place):
    place.limit(pods="0")
    place.verbs.patch(RESOURCE_QUOTA, "default", "compute", {"spec": None}, MERGE, ME)

    assert place.add("one")["metadata"]["name"] == "one"


def test_what_exceeds_a_quota_is_refused_in_kubernetes_words(place):
    place.limit(requests_cpu="2")
    place.add("a", requests={"cpu": "1500m"})

    assert refused(lambda: place.add("b", requests={"cpu": 1})) == (
        'jobs.runwright.dev "b" is forbidden: exceeded quota: compute, '
        "requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2"
    )


def test_jobs_that_are_over_count_no_more_but_as_objects(place):
    place.limit(pods="1")
    place.limit("objects", **{"count/jobs_runwright_dev": "2"})
    place.add("a")
    assert "exceeded quota: compute, requested: pods=1, used: pods=1, limited: pods=1" in refused(
        lambda: place.add("b")
    )

    place.over("a")
    place.add("b")
    place.over("b")

    assert "requested: count/jobs.runwright.dev=1, used: count/jobs.runwright.dev=2" in refused(lambda: place.add("c"))


def test_a_limit_that_a_quota_is_about_has_to_be_said(place):
    place.limit(limits_cpu="2", limits_memory="1Gi")

    assert refused(lambda: place.add("a", limits={"memory": "64Mi"})).endswith(
        "failed quota: compute: must specify limits.cpu for: a"
    )
    place.add("b", limits={"memory": "64Mi", "cpu": 1})
    assert place.status().used == {"limits.cpu": "1", "limits.memory": "64Mi"}


def test_a_change_counts_by_how_much_more_it_wants(place):
    place.limit(cpu="2")
    place.add("a", requests={"cpu": 1})
    place.add("b", requests={"cpu": 1})

    wanted = {"spec": {"resources": {"requests": {"cpu": 2}}}}
    assert "requested: cpu=1, used: cpu=2, limited: cpu=2" in refused(
        lambda: place.verbs.patch(JOB, "default", "a", wanted, MERGE, ME)
    )
    less = {"spec": {"resources": {"requests": {"cpu": "500m"}}}}
    place.verbs.patch(JOB, "default", "a", less, MERGE, ME)
    assert place.status().used == {"cpu": "1500m"}


def test_who_is_over_and_is_changed_to_run_again_counts_again(place):
    place.limit(pods="1")
    place.add("a")
    place.over("a")
    place.add("b")

    change = {"spec": {"command": ["false"]}}

    assert "exceeded quota" in refused(lambda: place.verbs.patch(JOB, "default", "a", change, MERGE, ME))


@pytest.mark.invariant("Q5")
def test_of_those_that_are_over_and_changed_to_run_again_each_counts_at_once(place):
    """Before any pass has seen the change: its status still says that it is over."""
    for name in ("a", "b"):
        place.add(name)
        place.over(name)
    place.limit(pods="1")

    place.patch("a", command=["false"])

    assert "exceeded quota" in refused(lambda: place.patch("b", command=["false"]))


def test_a_change_that_wants_no_more_is_let_in_whatever_the_quotas_came_to_say(place):
    place.add("runs")
    place.add("over")
    place.over("over")
    place.limit(limits_cpu="1", pods="0")

    place.patch("runs", suspend=True)
    place.patch("over", ttlSecondsAfterFinished=60)

    assert "must specify limits.cpu" in refused(lambda: place.patch("over", command=["false"]))


@pytest.mark.invariant("Q5")
def test_a_namespace_that_could_not_be_read_to_its_end_is_read_again(place, monkeypatch):
    for name in ("a", "b", "c"):
        place.add(name)
    place.limit(pods="3")
    each = place.store.each

    def broken(kind, namespace=None, **how):
        for number, document in enumerate(each(kind, namespace, **how)):
            if kind == "Job" and number:
                raise OSError("the disk failed")
            yield document

    monkeypatch.setattr(place.store, "each", broken)
    with pytest.raises(OSError, match="the disk failed"):
        place.add("d")
    monkeypatch.undo()

    assert "used: pods=3" in refused(lambda: place.add("d"))


def test_a_stored_job_that_cannot_be_read_counts_as_a_pod_and_hides_no_other(place):
    unreadable = a_job("a")
    place.store.create(unreadable | {"spec": {"command": 7}, "metadata": {"name": "a", "namespace": "default"}})
    place.add("b")
    place.limit(pods="2")

    assert "used: pods=2" in refused(lambda: place.add("c"))


def test_a_deleted_job_makes_room_and_a_dry_run_takes_none(place):
    place.limit(pods="1")
    place.add("a", dry_run=True)
    place.add("a")
    assert place.status().used == {"pods": "1"}

    place.verbs.delete(JOB, "default", "a")
    assert place.status().used == {"pods": "1"}  # It is there until its runs have ended.
    ending = place.verbs.get(JOB, "default", "a")
    place.store.update(ending | {"metadata": ending["metadata"] | {"finalizers": []}})

    assert place.status().used == {"pods": "0"}
    place.add("b")


def test_other_objects_are_counted_too(place):
    place.limit("objects", configmaps="1")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
    place.verbs.create(CONFIG_MAP, "default", config, ME)

    with pytest.raises(Forbidden) as error:
        place.verbs.create(CONFIG_MAP, "default", config | {"metadata": {"name": "two"}}, ME)

    assert str(error.value) == (
        'configmaps "two" is forbidden: exceeded quota: objects, '
        "requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    )


def test_an_amount_may_be_written_as_a_number(place):
    place.limit(pods=1, limits_cpu=1.5)
    place.add("a", limits={"cpu": 1})

    assert "limited: limits.cpu=1.5,pods=1" in refused(lambda: place.add("b", limits={"cpu": 1}))


@pytest.mark.parametrize("name", ["count/jobs", "count/jobs.runwright.dev"])
def test_objects_of_ours_are_counted_by_their_plural_alone_too(place, name):
    place.limit("objects", **{name: "1"})
    place.add("a")

    assert f"requested: {name}=1, used: {name}=1, limited: {name}=1" in refused(lambda: place.add("b"))
    assert place.status("objects").used == {name: "1"}


def test_quotas_are_counted_and_can_be_changed_when_there_are_enough_of_them(place):
    place.limit("first", **{"count/resourcequotas": "1"})

    assert "used: count/resourcequotas=1" in refused(lambda: place.limit("second", pods="1"))
    changed = {"spec": {"hard": {"pods": "1"}}}
    place.verbs.patch(RESOURCE_QUOTA, "default", "first", changed, MERGE, ME)
    assert place.status("first").used == {"count/resourcequotas": "1", "pods": "0"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("count/nonsense", "no such objects are counted: there are count/jobs.runwright.dev, "),
        ("count/jbos", "did you mean count/jobs.runwright.dev?"),
        ("count/jobs.batch", "did you mean count/jobs.runwright.dev?"),
        ("count/runtimes.runwright.dev", "there are "),  # Of no namespace.
        ("count/pods", "write pods"),
    ],
)
def test_a_quota_of_what_is_not_counted_is_refused_with_what_is(place, name, told):
    with pytest.raises(Invalid) as error:
        place.limit("objects", pods="1", **{name: "1"})

    (cause,) = error.value.causes
    assert cause.field == f"spec.hard[{name}]"
    assert told in cause.message


def test_one_that_was_stored_before_that_was_asked_can_be_changed_otherwise(place):
    bare = Verbs(place.store, HandClock())
    document = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "old"}}
    bare.create(RESOURCE_QUOTA, "default", document | {"spec": {"hard": {"count/nonsense": "1"}}}, ME)

    place.verbs.patch(RESOURCE_QUOTA, "default", "old", {"spec": {"hard": {"pods": "1"}}}, MERGE, ME)
    assert place.status("old").used == {"count/nonsense": "0", "pods": "0"}


def test_devices_are_counted_by_their_kind(place):
    place.limit(**{"requests_nvidia_com/gpu": "1"})

    assert "requests.nvidia.com/gpu=2" in refused(lambda: place.add("a", limits={"nvidia.com/gpu": 2}))
    place.add("b", limits={"nvidia.com/gpu": 1})


def test_another_namespace_is_not_concerned(place):
    place.limit(pods="0")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}
    place.store.create(namespace | {"status": {"phase": "Active"}})

    assert place.verbs.create(JOB, "other", a_job("a"), ME).created


@pytest.mark.invariant("Q5")
def test_of_many_that_ask_at_once_no_more_are_let_in_than_there_is_room_for(place):
    place.limit(requests_cpu="5")
    outcomes = []

    def ask(number):
        for each in range(5):
            try:
                place.add(f"j{number}-{each}", requests={"cpu": 1})
                outcomes.append("in")
            except Forbidden:
                outcomes.append("out")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert (outcomes.count("in"), outcomes.count("out")) == (5, 15)
    assert place.status().used == {"requests.cpu": "5"}


def test_a_book_that_missed_what_was_compacted_counts_anew(place):
    place.limit(pods="5")
    place.add("a")
    assert place.status().used == {"pods": "1"}
    for number in range(3):
        place.add(f"more-{number}")
    place.over("a")
    fresh = a_book(place.store)

    assert fresh.used("default", {"pods": "5"}) == place.book.used("default", {"pods": "5"}) == {"pods": 3}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hard": {"cores": "1"}}, "must be a standard resource for quota"),
        ({"hard": {"pods": "-1"}}, "must be greater than or equal to 0"),
        ({"hard": {"pods": "many"}}, "cannot read"),
    ],
)
def test_a_quota_that_would_not_hold_is_refused(place, spec, said):
    document = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec}
    with pytest.raises(Invalid) as error:
        place.verbs.create(RESOURCE_QUOTA, "default", document, ME)

    assert said in str(error.value)


def test_a_job_of_many_runs_counts_as_many_as_it_may_have_at_a_time(place):
    place.limit(pods="3", requests_cpu="3")
    job = a_job("wide", completions=10, parallelism=3, resources={"requests": {"cpu": 1}})
    place.verbs.create(JOB, "default", job, ME)
    assert place.status().used == {"pods": "3", "requests.cpu": "3"}

    more = {"spec": {"parallelism": 4}}
    assert "requested: pods=1" in refused(lambda: place.verbs.patch(JOB, "default", "wide", more, MERGE, ME))
    place.verbs.patch(JOB, "default", "wide", {"spec": {"parallelism": 1}}, MERGE, ME)

    assert place.status().used == {"pods": "1", "requests.cpu": "1"}
