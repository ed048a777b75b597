import pytest

from api.errors import Conflict, NotFound
from api.kinds import JOB, POD
from api.objects import selectors
from api.objects.pod_deletion import PodVerbs
from api.objects.projections import Pods
from api.types.pod import DELETED_PODS_ANNOTATION, PodDeletion, deleted_pods
from support.objects import a_job, by

MERGE = "application/merge-patch+json"
ME = by("me")


@pytest.fixture
def pods(verbs):
    return Pods(verbs, "host-1")


@pytest.fixture
def pod_verbs(verbs, pods, clock):
    return PodVerbs(verbs.storage, clock, pods)


@pytest.fixture
def run(verbs):
    verbs.create(JOB, "default", a_job(), ME)

    def run(*runs):
        return verbs.patch(JOB, "default", "etl", {"status": {"runs": list(runs)}}, MERGE, ME, "status").document

    return run


def names(pods):
    return [pod["metadata"]["name"] for pod in pods.list("default").items]


def test_a_run_that_is_over_is_shown_no_more(pods, pod_verbs, run):
    run({"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Running"})

    deleted = pod_verbs.delete(POD, "default", "etl-1")
    assert (deleted.document["kind"], deleted.gone) == ("Pod", False)  # Clients read a Pod in the answer.
    assert names(pods) == ["etl-2"]


def test_a_run_that_lives_is_shown_as_going_until_it_has_ended(pods, pod_verbs, run):
    run({"attempt": 1, "state": "Running"})
    deleted = pod_verbs.delete(POD, "default", "etl-1", grace_seconds=5)

    assert not deleted.gone
    assert deleted.document["metadata"]["deletionGracePeriodSeconds"] == 5
    assert deleted.document["metadata"]["deletionTimestamp"]
    run({"attempt": 1, "state": "Ended", "exitCode": 143})
    assert names(pods) == []


def test_the_end_of_a_deleted_run_is_the_end_of_its_pod_to_watchers(pods, pod_verbs, run, verbs):
    run({"attempt": 1, "state": "Running"})
    pod_verbs.delete(POD, "default", "etl-1")
    since = verbs.revision()
    run({"attempt": 1, "state": "Ended"})
    (change,) = verbs.storage.changes(since, kind="Job")
    (step,) = pods.steps(change)

    assert (step.before["metadata"]["name"], step.after) == ("etl-1", None)


def test_the_jobs_own_grace_period_holds_unless_another_is_said(pod_verbs, run):
    run({"attempt": 1, "state": "Running"})

    assert pod_verbs.delete(POD, "default", "etl-1").document["metadata"]["deletionGracePeriodSeconds"] == 30


def test_deleting_again_changes_nothing_but_may_give_less_time(pod_verbs, run, verbs):
    run({"attempt": 1, "state": "Running"})
    pod_verbs.delete(POD, "default", "etl-1", grace_seconds=5)
    since = verbs.revision()
    pod_verbs.delete(POD, "default", "etl-1", grace_seconds=9)
    assert verbs.revision() == since

    again = pod_verbs.delete(POD, "default", "etl-1", grace_seconds=0)
    assert again.document["metadata"]["deletionGracePeriodSeconds"] == 0


def test_a_dry_run_deletes_nothing(pods, pod_verbs, run):
    run({"attempt": 1, "state": "Ended"})
    pod_verbs.delete(POD, "default", "etl-1", dry_run=True)

    assert names(pods) == ["etl-1"]


def test_another_pod_of_that_name_is_left_alone(pods, pod_verbs, run):
    run({"attempt": 1, "state": "Ended"})
    with pytest.raises(Conflict):
        pod_verbs.delete(POD, "default", "etl-1", uid="another")
    with pytest.raises(NotFound):
        pod_verbs.delete(POD, "default", "etl-7")

    assert names(pods) == ["etl-1"]


def test_many_are_deleted_by_selector(pods, pod_verbs, run):
    run({"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Ended", "exitCode": 0})
    selector = selectors.parse(POD, "", "status.phase=Failed")

    assert len(pod_verbs.delete_collection(POD, "default", selector).items) == 1
    assert names(pods) == ["etl-2"]


def test_what_is_no_longer_on_record_is_forgotten(pod_verbs, run, verbs):
    run({"attempt": 1, "state": "Ended"})
    pod_verbs.delete(POD, "default", "etl-1")
    run({"attempt": 2, "state": "Ended"})
    pod_verbs.delete(POD, "default", "etl-2")

    assert deleted_pods(verbs.get(JOB, "default", "etl")["metadata"]["annotations"]).keys() == {2}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"x":[1,2]}', '{"1":["then",1]}', '{"1":["2026-01-01T00:00:00Z",-1]}', '{"1":5}']
)
def test_an_annotation_that_cannot_be_read_deletes_nothing(text):
    assert deleted_pods({DELETED_PODS_ANNOTATION: text}) == {}


def test_an_annotation_that_can_be_read_does():
    text = '{"1":["2026-01-01T00:00:00Z",3]}'

    assert deleted_pods({DELETED_PODS_ANNOTATION: text}) == {1: PodDeletion("2026-01-01T00:00:00Z", 3)}
