import json

from api.kinds import JOB
from support.objects import a_job, by

MERGE = "application/merge-patch+json"
NAME = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = by("kubectl")


def annotation(verbs):
    return verbs.get(JOB, "default", "etl")["metadata"].get("annotations", {}).get(NAME)


def made_by_the_client(verbs):
    verbs.create(JOB, "default", a_job(metadata={"annotations": {NAME: "{}"}}), by("kubectl-client-side-apply"))


def test_kubectls_server_side_apply_keeps_what_its_client_side_apply_wrote_true(verbs):
    made_by_the_client(verbs)
    verbs.apply(JOB, "default", "etl", a_job(backoffLimit=3), KUBECTL)

    held = json.loads(annotation(verbs))
    assert held["spec"]["backoffLimit"] == 3
    assert NAME not in held["metadata"]["annotations"]


def test_applying_the_same_again_changes_nothing(verbs):
    made_by_the_client(verbs)
    verbs.apply(JOB, "default", "etl", a_job(backoffLimit=3), KUBECTL)
    revision = verbs.revision()
    verbs.apply(JOB, "default", "etl", a_job(backoffLimit=3), KUBECTL)

    assert verbs.revision() == revision


def test_other_managers_and_objects_without_it_are_left_alone(verbs):
    made_by_the_client(verbs)
    verbs.apply(JOB, "default", "etl", a_job(backoffLimit=3), by("other"))
    assert annotation(verbs) == "{}"

    verbs.patch(JOB, "default", "etl", {"metadata": {"annotations": None}}, MERGE, by("me"))
    verbs.apply(JOB, "default", "etl", a_job(suspend=True), KUBECTL)
    assert annotation(verbs) is None
