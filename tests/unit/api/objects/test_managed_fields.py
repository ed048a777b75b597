import pytest

from api.errors import Invalid
from api.kinds import JOB
from api.objects import managed_fields
from support.objects import a_job, by

MERGE = "application/merge-patch+json"


@pytest.fixture
def patch_job(verbs):
    def patch(manager, change, subresource=""):
        return verbs.patch(JOB, "default", "etl", change, MERGE, by(manager), subresource).document

    return patch


def owners(document):
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in document["metadata"]["managedFields"]
    }


def test_a_create_owns_what_it_sent_and_not_what_the_server_added(verbs):
    created = verbs.create(JOB, "default", a_job(metadata={"labels": {"a": "b"}}), by("kubectl-create")).document

    assert owners(created) == {
        ("kubectl-create", "Update"): {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:command": {}},
        }
    }
    entry = created["metadata"]["managedFields"][0]
    assert (entry["time"], entry["fieldsType"], entry["apiVersion"]) == (
        "2026-01-02T03:04:05Z",
        "FieldsV1",
        "runwright.dev/v1alpha1",
    )


def test_a_patch_gains_what_it_changes_and_others_lose_it(verbs, patch_job):
    verbs.create(JOB, "default", a_job(args=["x"]), by("one"))

    changed = patch_job("two", {"spec": {"args": ["y"], "suspend": True}})

    assert owners(changed) == {
        ("one", "Update"): {"f:spec": {"f:command": {}}},
        ("two", "Update"): {"f:spec": {"f:args": {}, "f:suspend": {}}},
    }


def test_what_a_patch_removes_is_nobodys(verbs, patch_job):
    verbs.create(JOB, "default", a_job(args=["x"], env=[{"name": "A"}]), by("one"))

    changed = patch_job("two", {"spec": {"args": None, "env": None}})

    assert owners(changed) == {("one", "Update"): {"f:spec": {"f:command": {}}}}


def test_a_patch_that_changes_nothing_leaves_everything(verbs, clock, patch_job):
    created = verbs.create(JOB, "default", a_job(), by("one")).document
    clock.advance(10)

    assert patch_job("two", {"spec": {"command": ["true"]}}) == created


def test_status_written_as_a_subresource_is_its_writers(verbs, patch_job):
    verbs.create(JOB, "default", a_job(), by("one"))

    changed = patch_job("controller", {"status": {"phase": "Running"}}, "status")

    entry = changed["metadata"]["managedFields"][-1]
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:phase": {}}})


def test_the_list_can_be_rewritten_and_cleared_as_kubectls_migration_does(verbs, patch_job):
    created = verbs.create(JOB, "default", a_job(), by("kubectl-client-side-apply")).document
    renamed = [created["metadata"]["managedFields"][0] | {"manager": "kubectl", "operation": "Apply"}]
    version = created["metadata"]["resourceVersion"]
    change = [
        {"op": "replace", "path": "/metadata/managedFields", "value": renamed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]

    moved = verbs.patch(JOB, "default", "etl", change, "application/json-patch+json", by("kubectl")).document
    assert list(owners(moved)) == [("kubectl", "Apply")]

    cleared = patch_job("kubectl", {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in cleared["metadata"]


@pytest.mark.parametrize("bad", [[{"manager": "x"}], [{"manager": "x", "operation": "Update", "fieldsV1": []}], [3]])
def test_a_list_that_is_none_is_refused(verbs, patch_job, bad):
    verbs.create(JOB, "default", a_job(), by("one"))

    with pytest.raises(Invalid, match=r"metadata.managedFields"):
        patch_job("two", {"metadata": {"managedFields": bad}})


def test_many_updaters_are_merged_into_one(verbs, clock, patch_job):
    verbs.create(JOB, "default", a_job(), by("first"))
    for number in range(30):
        clock.advance(1)
        changed = patch_job(f"writer-{number}", {"metadata": {"labels": {f"l{number}": "x"}}})

    entries = changed["metadata"]["managedFields"]
    assert len(entries) == managed_fields.MOST_UPDATERS
    assert owners(changed)[(managed_fields.ANCIENT, "Update")]["f:metadata"]["f:labels"].keys() >= {"f:l0", "f:l19"}
