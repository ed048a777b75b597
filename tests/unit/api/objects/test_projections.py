import pytest

from api.errors import NotFound
from api.kinds import JOB, POD
from api.objects import selectors
from api.objects.projections import Manifests, Pods, Stored
from support.objects import a_job, by

MERGE = "application/merge-patch+json"
ME = by("me")


@pytest.fixture
def pods(verbs):
    return Pods(verbs, "host-1")


@pytest.fixture
def run(verbs):
    verbs.create(JOB, "default", a_job(), ME)

    def run(*runs):
        return verbs.patch(JOB, "default", "etl", {"status": {"runs": list(runs)}}, MERGE, ME, "status").document

    return run


def test_a_run_is_read_as_a_pod(pods, run):
    run({"attempt": 1, "state": "Running"})

    assert pods.get("default", "etl-1")["status"]["phase"] == "Running"
    assert [pod["metadata"]["name"] for pod in pods.list("default").items] == ["etl-1"]
    assert pods.list("other").items == ()


@pytest.mark.parametrize("name", ["etl-2", "etl-", "etl", "nope-1", "etl-01", "etl-x", "etl-\u0661"])
def test_a_pod_that_is_no_run_is_not_found_under_its_own_name(pods, run, name):
    run({"attempt": 1, "state": "Running"})

    with pytest.raises(NotFound) as caught:
        pods.get("default", name)
    assert caught.value.message == f'pods "{name}" not found'


def test_pods_are_selected(pods, run):
    run({"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Running"})
    selector = selectors.parse(POD, "runwright.dev/job-name=etl", "status.phase=Running")

    assert [pod["metadata"]["name"] for pod in pods.list("default", selector).items] == ["etl-2"]


def test_a_change_of_a_job_is_a_change_of_the_pods_that_it_changes_only(store, pods, run):
    run({"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Running"})
    before = store.revision()
    run(
        {"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Ended", "exitCode": 0}, {"attempt": 3}
    )

    (change,) = store.changes(before)
    steps = list(pods.steps(change))

    assert [(s.before and s.before["status"]["phase"], s.after and s.after["status"]["phase"]) for s in steps] == [
        ("Running", "Succeeded"),
        (None, "Pending"),
    ]


def test_pods_go_with_their_job(verbs, store, pods, run):
    run({"attempt": 1, "state": "Running"})
    verbs.delete(JOB, "default", "etl")
    before = store.revision()
    verbs.patch(JOB, "default", "etl", {"metadata": {"finalizers": None}}, MERGE, ME)

    steps = [step for change in store.changes(before) for step in pods.steps(change)]

    assert [(step.before["metadata"]["name"], step.after) for step in steps] == [("etl-1", None)]


def test_the_changes_of_stored_objects_are_told_before_and_after(verbs, store):
    before = store.revision()
    verbs.create(JOB, "default", a_job(metadata={"labels": {"a": "1"}}), ME)
    verbs.patch(JOB, "default", "etl", {"metadata": {"labels": {"a": "2"}, "finalizers": None}}, MERGE, ME)
    verbs.delete(JOB, "default", "etl")

    steps = [step for change in store.changes(before) for step in Stored(verbs, JOB).steps(change)]

    def label(document):
        return document and document["metadata"]["labels"]["a"]

    assert [(label(step.before), label(step.after)) for step in steps] == [(None, "1"), ("1", "2"), ("2", None)]


class Reports:
    def reports(self):
        return [
            {
                "source": "dir",
                "file": "a.yaml",
                "line": 3,
                "object": "job/default/etl",
                "state": "Applied",
                "message": "",
            },
            {"source": "dir", "file": "b.yaml", "line": 1, "object": "", "state": "Invalid", "message": "bad"},
        ]


def test_manifests_are_objects_named_by_their_place(verbs):
    manifests = Manifests(verbs, Reports())

    assert [item["metadata"]["name"] for item in manifests.list(None).items] == ["dir:a.yaml:3", "dir:b.yaml:1"]
    found = manifests.get("", "dir:b.yaml:1")
    assert (found["kind"], found["state"]) == ("Manifest", "Invalid")
    with pytest.raises(NotFound, match=r'manifests.runwright.dev "x" not found'):
        manifests.get("", "x")


@pytest.fixture
def indexed(verbs):
    def indexed(name, *runs):
        spec = {"completionMode": "Indexed", "completions": 5}
        verbs.create(JOB, "default", a_job(name, **spec), ME)
        verbs.patch(JOB, "default", name, {"status": {"runs": list(runs)}}, MERGE, ME, "status")

    return indexed


def test_the_run_of_an_index_is_found_by_its_name(pods, indexed):
    indexed("sweep", {"attempt": 4, "index": 3, "state": "Running"})

    assert pods.get("default", "sweep-3-4")["metadata"]["name"] == "sweep-3-4"
    assert pods.job_of("default", "sweep-3-4")["metadata"]["name"] == "sweep"


@pytest.mark.parametrize(
    "name", ["sweep-4", "sweep-3-5", "sweep-2-4", "sweep-3-4-4", "sweep-03-4", "sweep--3-4", "3-4"]
)
def test_a_pod_that_is_no_run_of_an_index_is_not_found(pods, indexed, name):
    indexed("sweep", {"attempt": 4, "index": 3, "state": "Running"})

    with pytest.raises(NotFound):
        pods.get("default", name)


def test_a_job_whose_name_ends_as_an_index_keeps_its_pods(pods, indexed, verbs, run):
    indexed("etl-2", {"attempt": 1, "index": 0, "state": "Running"})
    run({"attempt": 2, "state": "Running"})

    assert pods.job_of("default", "etl-2")["metadata"]["name"] == "etl"
    assert pods.job_of("default", "etl-2-0-1")["metadata"]["name"] == "etl-2"
