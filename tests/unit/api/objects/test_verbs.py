import threading

import pytest

from api.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound
from api.kinds import EVENT, JOB, NAMESPACE, RUNTIME
from api.meta import ObjectKey
from api.objects import selectors
from support.objects import a_job, a_runtime, by
from support.stores import an_event

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
ME = by("me")


@pytest.fixture
def etl(verbs):
    return verbs.create(JOB, "default", a_job(), ME).document


def release(store, document):
    """Take the finalizers off, as the reconciler of an object does when nothing of it is left."""
    return store.update(document | {"metadata": document["metadata"] | {"finalizers": []}})


def test_what_is_created_can_be_read(verbs, etl):
    assert verbs.get(JOB, "default", "etl") == etl
    metadata = etl["metadata"]
    assert (metadata["generation"], metadata["creationTimestamp"]) == (1, "2026-01-02T03:04:05Z")
    assert metadata["finalizers"] == ["runwright.dev/job"]


def test_what_the_server_sets_cannot_be_set(verbs):
    sent = {
        "uid": "mine",
        "generation": 9,
        "creationTimestamp": "2000-01-01T00:00:00Z",
        "deletionTimestamp": "2000-01-01T00:00:00Z",
    }
    metadata = verbs.create(JOB, "default", a_job(metadata=sent), ME).document["metadata"]

    assert metadata["uid"] != "mine"
    assert (metadata["generation"], metadata["creationTimestamp"]) == (1, "2026-01-02T03:04:05Z")
    assert "deletionTimestamp" not in metadata


def test_a_status_that_is_sent_along_is_dropped(verbs):
    created = verbs.create(JOB, "default", a_job() | {"status": {"phase": "Failed"}}, ME).document

    assert created["status"] == {}


def test_a_name_is_taken_once(verbs, etl):
    with pytest.raises(AlreadyExists, match=r'jobs.runwright.dev "etl" already exists'):
        verbs.create(JOB, "default", a_job(), ME)


def test_an_object_to_be_created_has_no_version(verbs):
    with pytest.raises(BadRequest, match="resourceVersion should not be set"):
        verbs.create(JOB, "default", a_job(metadata={"resourceVersion": "3"}), ME)


def test_names_are_generated_from_a_prefix(verbs):
    document = a_job(metadata={"name": "", "generateName": "etl-"})
    names = {verbs.create(JOB, "default", document, ME).document["metadata"]["name"] for _ in range(5)}

    assert len(names) == 5
    assert all(name.startswith("etl-") and len(name) == 9 for name in names)


def test_a_generated_name_fits(verbs):
    document = a_job(metadata={"name": "", "generateName": "x" * 80})

    assert len(verbs.create(JOB, "default", document, ME).document["metadata"]["name"]) == 63


def test_nothing_is_created_in_a_missing_namespace(verbs):
    with pytest.raises(NotFound, match='namespaces "nope" not found'):
        verbs.create(JOB, "nope", a_job(), ME)
    with pytest.raises(NotFound, match='namespaces "nope" not found'):
        verbs.apply(JOB, "nope", "etl", a_job(), ME)


def test_without_a_namespace_the_documents_counts_and_then_default(verbs):
    verbs.create(NAMESPACE, "", {"metadata": {"name": "other"}}, ME)

    here = verbs.apply(JOB, "", "a", a_job("a"), ME).document
    there = verbs.apply(JOB, "", "a", a_job("a", metadata={"namespace": "other"}), ME).document

    assert [each["metadata"]["namespace"] for each in (here, there)] == ["default", "other"]


def test_a_put_replaces_all_but_the_status_and_what_the_server_owns(verbs, etl):
    verbs.patch(JOB, "default", "etl", {"status": {"phase": "Running"}}, MERGE, ME, "status")
    live = verbs.get(JOB, "default", "etl")
    sent = a_job(
        command=["false"],
        metadata={"resourceVersion": live["metadata"]["resourceVersion"], "uid": live["metadata"]["uid"]},
    )

    replaced = verbs.replace(JOB, "default", "etl", sent | {"status": {"phase": "Failed"}}, ME).document

    assert (replaced["spec"]["command"], replaced["status"]["phase"]) == (["false"], "Running")
    assert replaced["metadata"]["creationTimestamp"] == live["metadata"]["creationTimestamp"]
    assert replaced["metadata"]["generation"] == 2
    assert "finalizers" not in replaced["metadata"]


def test_a_put_of_our_kinds_needs_a_version(verbs, etl):
    with pytest.raises(Invalid, match=r"metadata.resourceVersion: Invalid value: 0: must be specified for an update"):
        verbs.replace(JOB, "default", "etl", a_job(), ME)


def test_a_put_of_core_kinds_needs_none(verbs):
    replaced = verbs.replace(NAMESPACE, "", "default", {"metadata": {"labels": {"a": "b"}}}, ME).document

    assert replaced["metadata"]["labels"] == {"a": "b"}


def test_a_stale_put_changes_nothing(verbs, etl):
    newer = verbs.patch(JOB, "default", "etl", {"spec": {"suspend": True}}, MERGE, ME).document

    with pytest.raises(Conflict, match=r"you sent resourceVersion \d+, current is \d+"):
        verbs.replace(JOB, "default", "etl", etl | {"spec": {"command": ["false"]}}, ME)
    assert verbs.get(JOB, "default", "etl") == newer


def test_a_put_for_another_object_of_that_name_is_a_conflict(verbs, etl):
    sent = etl | {"metadata": etl["metadata"] | {"uid": "another"}}

    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: another"):
        verbs.replace(JOB, "default", "etl", sent, ME)


def test_a_put_of_what_is_not_there_is_not_found(verbs):
    with pytest.raises(NotFound):
        verbs.replace(JOB, "default", "etl", a_job(metadata={"resourceVersion": "1"}), ME)


def test_a_put_to_the_status_takes_only_the_status(verbs, etl):
    sent = etl | {"spec": {"command": ["false"]}, "status": {"phase": "Running"}}

    replaced = verbs.replace(JOB, "default", "etl", sent, ME, "status").document

    assert (replaced["spec"], replaced["status"]) == (etl["spec"], {"phase": "Running"})
    assert replaced["metadata"]["generation"] == 1


def test_a_status_is_validated_too(verbs, etl):
    with pytest.raises(Invalid, match=r"status.phase: Unsupported value"):
        verbs.patch(JOB, "default", "etl", {"status": {"phase": "Great"}}, MERGE, ME, "status")


def test_the_same_written_again_is_no_new_version(verbs, store, etl):
    before = store.revision()

    verbs.replace(JOB, "default", "etl", etl, by("other"))
    verbs.patch(JOB, "default", "etl", {"spec": {"command": ["true"]}}, MERGE, by("other"))
    verbs.patch(JOB, "default", "etl", [], JSON_PATCH, by("other"))

    assert store.revision() == before
    assert verbs.get(JOB, "default", "etl") == etl


def test_a_version_in_a_patch_is_a_precondition(verbs, etl):
    change = {"metadata": {"resourceVersion": "1"}, "spec": {"suspend": True}}

    with pytest.raises(Conflict, match="you sent resourceVersion 1"):
        verbs.patch(JOB, "default", "etl", change, MERGE, ME)


def test_a_patch_is_validated_as_a_whole(verbs, etl):
    with pytest.raises(Invalid, match=r"spec.command: Required value"):
        verbs.patch(JOB, "default", "etl", {"spec": {"command": None}}, MERGE, ME)


def test_a_patch_warns_of_the_unknown_fields_that_it_brings(verbs, etl):
    written = verbs.patch(JOB, "default", "etl", {"spec": {"bogus": 1}}, MERGE, ME)

    assert written.warnings == ('unknown field "spec.bogus"',)


def test_a_patch_of_the_name_is_refused(verbs, etl):
    with pytest.raises(BadRequest, match="does not match the name on the URL"):
        verbs.patch(JOB, "default", "etl", {"metadata": {"name": "other"}}, MERGE, ME)


def test_patches_without_a_version_are_all_done_though_they_race(verbs, etl):
    def label(number):
        verbs.patch(JOB, "default", "etl", {"metadata": {"labels": {f"l{number}": "x"}}}, MERGE, ME)

    threads = [threading.Thread(target=label, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(verbs.get(JOB, "default", "etl")["metadata"]["labels"]) == 6


def test_applies_that_race_to_create_make_one_object(verbs):
    written = []

    def apply(manager, label):
        document = a_job(metadata={"labels": {label: "x"}})
        written.append(verbs.apply(JOB, "default", "etl", document, by(manager)))

    threads = [threading.Thread(target=apply, args=(f"m{number}", f"l{number}")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(each.created for each in written) == 1
    live = verbs.get(JOB, "default", "etl")
    assert len(live["metadata"]["labels"]) == 6
    assert len(live["metadata"]["managedFields"]) == 6


def test_an_object_with_a_finalizer_waits_for_it(verbs, store, etl):
    deleted = verbs.delete(JOB, "default", "etl")
    again = verbs.delete(JOB, "default", "etl")

    assert (deleted.gone, again.gone) == (False, False)
    assert deleted.document["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    release(store, again.document)
    with pytest.raises(NotFound):
        verbs.get(JOB, "default", "etl")


def test_a_patch_that_takes_the_last_finalizer_off_lets_the_object_go(verbs, etl):
    verbs.delete(JOB, "default", "etl")

    last = verbs.patch(JOB, "default", "etl", {"metadata": {"finalizers": None}}, MERGE, ME).document

    assert last["metadata"]["name"] == "etl"
    with pytest.raises(NotFound):
        verbs.get(JOB, "default", "etl")


def test_no_finalizer_is_added_to_what_is_being_deleted(verbs, etl):
    verbs.delete(JOB, "default", "etl")

    with pytest.raises(Invalid, match="no new finalizers can be added if the object is being deleted"):
        verbs.patch(JOB, "default", "etl", {"metadata": {"finalizers": ["runwright.dev/job", "x/y"]}}, MERGE, ME)


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resource_version": "1"}])
@pytest.mark.parametrize("dry_run", [False, True])
def test_preconditions_of_a_deletion_are_kept(verbs, etl, precondition, dry_run):
    with pytest.raises(Conflict):
        verbs.delete(JOB, "default", "etl", **precondition, dry_run=dry_run)
    assert verbs.get(JOB, "default", "etl") == etl


def test_a_deletion_that_is_only_tried_deletes_nothing(verbs, etl):
    assert verbs.delete(JOB, "default", "etl", dry_run=True).document == etl
    assert verbs.get(JOB, "default", "etl") == etl


def test_what_is_not_there_cannot_be_deleted(verbs):
    with pytest.raises(NotFound, match=r'jobs.runwright.dev "etl" not found'):
        verbs.delete(JOB, "default", "etl")


def test_a_collection_is_deleted_by_its_selector(verbs, etl):
    verbs.create(JOB, "default", a_job("two", metadata={"labels": {"a": "b"}}), ME)

    page = verbs.delete_collection(JOB, "default", selectors.parse(JOB, "a=b", None))

    assert [item["metadata"]["name"] for item in page.items] == ["two"]
    assert "deletionTimestamp" in verbs.get(JOB, "default", "two")["metadata"]
    assert "deletionTimestamp" not in verbs.get(JOB, "default", "etl")["metadata"]


@pytest.mark.parametrize("write", ["create", "replace", "patch"])
def test_a_dry_run_answers_and_stores_nothing(verbs, store, etl, write):
    before, dry = store.revision(), by("me", dry_run=True)
    match write:
        case "create":
            answer = verbs.create(JOB, "default", a_job("new"), dry).document
            assert answer["metadata"]["generation"] == 1
        case "replace":
            answer = verbs.replace(JOB, "default", "etl", etl | {"spec": {"command": ["x"]}}, dry).document
            assert answer["metadata"]["generation"] == 2
        case _:
            answer = verbs.patch(JOB, "default", "etl", {"metadata": {"labels": {"a": "b"}}}, MERGE, dry).document
            assert answer["metadata"]["generation"] == 1

    assert store.revision() == before


def test_a_dry_create_finds_that_the_name_is_taken(verbs, etl):
    with pytest.raises(AlreadyExists):
        verbs.create(JOB, "default", a_job(), by("me", dry_run=True))


def test_cluster_scoped_objects_have_no_namespace(verbs):
    created = verbs.create(RUNTIME, "", a_runtime(), ME).document

    assert "namespace" not in created["metadata"]
    assert verbs.get(RUNTIME, "ignored", "python-3.11") == created


def test_events_are_objects_like_others(verbs):
    event = {"metadata": {"generateName": "e-"}, "involvedObject": {"kind": "Job", "name": "etl"}, "reason": "Started"}
    name = verbs.create(EVENT, "default", event, ME).document["metadata"]["name"]

    assert verbs.delete(EVENT, "default", name).gone


class TestNamespaces:
    def test_default_is_there_from_the_start_and_stays(self, verbs):
        verbs.bootstrap()

        assert verbs.get(NAMESPACE, "", "default")["status"] == {"phase": "Active"}
        with pytest.raises(Forbidden, match="this namespace may not be deleted"):
            verbs.delete(NAMESPACE, "", "default")

    def test_an_empty_namespace_goes_at_once(self, verbs):
        verbs.create(NAMESPACE, "", {"metadata": {"name": "ns"}}, ME)

        assert verbs.delete(NAMESPACE, "", "ns").gone
        with pytest.raises(NotFound):
            verbs.get(NAMESPACE, "", "ns")

    @pytest.mark.parametrize(
        "sent",
        ["a", [1], 5, [{"manager": 5}], [{"operation": "x"}], [{"operation": "Update", "fieldsV1": "x"}],
         [{"operation": "Update", "fieldsV1": {"f:spec": 1}}]],
    )  # fmt: skip
    def test_managed_fields_that_are_none_are_refused_and_none_is_as_good_as_absent(self, verbs, sent):
        with pytest.raises(Invalid) as caught:
            verbs.create(JOB, "default", {**a_job("mf"), "metadata": {"name": "mf", "managedFields": sent}}, ME)
        assert [cause.field for cause in caught.value.causes] == ["metadata.managedFields"]
        verbs.create(JOB, "default", {**a_job("mf"), "metadata": {"name": "mf", "managedFields": None}}, ME)

    def test_a_namespace_goes_after_everything_in_it(self, verbs, store):
        verbs.create(NAMESPACE, "", {"metadata": {"name": "ns"}}, ME)
        verbs.create(JOB, "ns", a_job(), ME)
        verbs.create(EVENT, "ns", {"metadata": {"name": "e"}, "reason": "x"}, ME)

        assert not verbs.delete(NAMESPACE, "", "ns").gone

        assert verbs.get(NAMESPACE, "", "ns")["status"]["phase"] == "Terminating"
        assert store.get(ObjectKey("Event", "ns", "e")) is None
        with pytest.raises(Forbidden, match="because it is being terminated") as caught:
            verbs.create(JOB, "ns", a_job("late"), ME)
        assert caught.value.causes[0].reason == "NamespaceTerminating"

        store.create(
            {**an_event("late"), "metadata": {"name": "late", "namespace": "ns"}}
        )  # As of a job that stops: it is recorded past the verbs.
        assert verbs.finish_namespaces() == 0
        assert store.get(ObjectKey("Event", "ns", "late")) is not None
        release(store, verbs.get(JOB, "ns", "etl"))
        assert verbs.finish_namespaces() == 1
        assert store.get(ObjectKey("Event", "ns", "late")) is None
        with pytest.raises(NotFound):
            verbs.get(NAMESPACE, "", "ns")

    def test_deleting_it_again_finishes_it_too(self, verbs, store):
        verbs.create(NAMESPACE, "", {"metadata": {"name": "ns"}}, ME)
        verbs.create(JOB, "ns", a_job(), ME)
        verbs.delete(NAMESPACE, "", "ns")
        release(store, verbs.get(JOB, "ns", "etl"))

        assert verbs.delete(NAMESPACE, "", "ns").gone
