"""Server-side apply through the verbs, over a real store: who owns what, and what becomes of it."""

import pytest

from api.errors import BadRequest, Conflict, Invalid, NotFound
from api.kinds import JOB, RUNTIME, RUNTIME_TEMPLATE
from support.objects import a_job, a_runtime, by

GROUP_VERSION = "runwright.dev/v1alpha1"


def a_partial_job(**spec):
    document = a_job(**spec)
    if "command" not in spec:
        del document["spec"]["command"]
    return document


@pytest.fixture
def apply_job(verbs):
    def apply(manager, document, **options):
        return verbs.apply(JOB, "default", "etl", document, by(manager, **options)).document

    return apply


@pytest.fixture
def apply_runtime(verbs):
    def apply(manager, versions, **options):
        document = a_runtime(versions=versions)
        return verbs.apply(RUNTIME, "", "python-3.11", document, by(manager, **options)).document

    return apply


def env_of(document):
    return {item["name"]: item.get("value") for item in document["spec"].get("env", [])}


def owners(document):
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in document["metadata"].get("managedFields", [])
    }


def test_applying_what_is_not_there_creates_it(verbs):
    written = verbs.apply(JOB, "default", "etl", a_job(), by("dir"))

    assert written.created
    assert owners(written.document) == {("dir", "Apply", ""): {"f:spec": {"f:command": {}}}}
    assert written.document["metadata"]["finalizers"] == ["runwright.dev/job"]


def test_applying_the_same_again_leaves_the_resource_version_and_the_time(verbs, clock, apply_job):
    first = apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))
    clock.advance(60)

    written = verbs.apply(JOB, "default", "etl", a_job(env=[{"name": "A", "value": "1"}]), by("dir"))

    assert not written.created
    assert written.document == first


def test_two_managers_own_different_items_of_one_list(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))
    both = apply_job("inbox", a_partial_job(env=[{"name": "B", "value": "2"}]))

    assert env_of(both) == {"A": "1", "B": "2"}
    assert owners(both)[("inbox", "Apply", "")] == {
        "f:spec": {"f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}}}}
    }


def test_an_item_goes_when_its_only_manager_no_longer_applies_it(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))
    apply_job("inbox", a_partial_job(env=[{"name": "C", "value": "3"}]))

    left = apply_job("dir", a_job(env=[{"name": "B", "value": "2"}]))

    assert env_of(left) == {"B": "2", "C": "3"}


def test_a_list_that_is_emptied_goes_with_its_last_item(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}], args=["x"]))

    assert apply_job("dir", a_job())["spec"] == {"command": ["true"]}


def test_managers_own_values_of_a_set(apply_runtime):
    apply_runtime("dir", ["1.0.0", "1.1.0"])
    both = apply_runtime("inbox", ["1.1.0", "2.0.0"])
    assert both["spec"]["versions"] == ["1.0.0", "1.1.0", "2.0.0"]

    shared_stays = apply_runtime("dir", [])
    assert shared_stays["spec"]["versions"] == ["1.1.0", "2.0.0"]

    gone = apply_runtime("inbox", ["2.0.0"])
    assert gone["spec"]["versions"] == ["2.0.0"]


def test_another_value_of_anothers_field_is_a_conflict_that_names_it(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))

    with pytest.raises(Conflict) as caught:
        apply_job("inbox", a_partial_job(env=[{"name": "A", "value": "2"}]))

    status = caught.value.status()
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "dir": .spec.env[name="A"].value'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "dir"', "field": '.spec.env[name="A"].value'}
    ]


def test_a_conflict_with_an_ordinary_write_says_when_it_was(verbs, apply_job):
    verbs.create(JOB, "default", a_job(), by("kubectl-create"))

    with pytest.raises(Conflict) as caught:
        apply_job("dir", a_job(command=["false"]))

    assert caught.value.message == (
        f'Apply failed with 1 conflict: conflict with "kubectl-create" using {GROUP_VERSION} '
        "at 2026-01-02T03:04:05Z: .spec.command"
    )


def test_several_conflicts_are_listed_by_manager(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))
    apply_job("inbox", a_partial_job(runtime="python-3.11"))

    with pytest.raises(Conflict) as caught:
        apply_job("me", a_job(command=["false"], runtime="java-17", env=[{"name": "A", "value": "2"}]))

    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "dir":\n- .spec.command\n- .spec.env[name="A"].value\n'
        'conflicts with "inbox":\n- .spec.runtime'
    )
    assert len(caught.value.causes) == 3


def test_a_conflict_changes_nothing(verbs, apply_job):
    before = apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))

    with pytest.raises(Conflict):
        apply_job("inbox", a_partial_job(env=[{"name": "A", "value": "2"}, {"name": "B"}]))

    assert verbs.get(JOB, "default", "etl") == before


def test_force_takes_the_field_from_its_owner(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))

    taken = apply_job("inbox", a_partial_job(env=[{"name": "A", "value": "2"}]), force=True)

    assert env_of(taken) == {"A": "2"}
    item = owners(taken)[("dir", "Apply", "")]["f:spec"]["f:env"]['k:{"name":"A"}']
    assert item == {".": {}, "f:name": {}}
    with pytest.raises(Conflict, match='conflict with "inbox"'):
        apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))


def test_equal_values_are_owned_together_and_stay_until_both_let_go(apply_job):
    apply_job("dir", a_job(runtime="python-3.11"))
    apply_job("inbox", a_partial_job(runtime="python-3.11"))

    assert apply_job("dir", a_job())["spec"]["runtime"] == "python-3.11"
    assert "runtime" not in apply_job("inbox", a_partial_job())["spec"]


def test_ownership_is_handed_over_by_letting_go(apply_job):
    apply_job("dir", a_job(runtime="python-3.11"))
    apply_job("inbox", a_partial_job(runtime="python-3.11"))
    apply_job("dir", a_job())

    assert apply_job("inbox", a_partial_job(runtime="java-17"))["spec"]["runtime"] == "java-17"


def test_an_item_that_somebody_keeps_a_field_of_keeps_its_key(verbs, apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))
    change = [{"op": "replace", "path": "/spec/env/0/value", "value": "2"}]
    verbs.patch(JOB, "default", "etl", change, "application/json-patch+json", by("editor"))

    left = apply_job("dir", a_job())

    assert env_of(left) == {"A": "2"}


def test_fields_set_by_an_ordinary_write_are_not_removed_by_an_apply(verbs, apply_job):
    apply_job("dir", a_job())
    verbs.patch(JOB, "default", "etl", {"spec": {"suspend": True}}, "application/merge-patch+json", by("kubectl-edit"))

    assert apply_job("dir", a_job(args=["x"]))["spec"] == {"command": ["true"], "suspend": True, "args": ["x"]}


def test_a_condition_of_ones_own_is_applied_beside_those_of_others(verbs, apply_job):
    apply_job("alice", a_job())
    ours = {"status": {"conditions": [{"type": "Complete", "status": "True", "reason": "Completed", "message": ""}]}}
    verbs.patch(JOB, "default", "etl", ours, "application/merge-patch+json", by("controller"), "status")
    head = {name: value for name, value in a_job().items() if name != "spec"}
    theirs = {"status": {"conditions": [{"type": "example.com/Billed", "status": "True"}]}}

    applied = verbs.apply(JOB, "default", "etl", head | theirs, by("billing"), "status").document

    assert {each["type"] for each in applied["status"]["conditions"]} == {"Complete", "example.com/Billed"}


def test_an_atomic_list_is_owned_and_replaced_whole(apply_job):
    apply_job("dir", a_job(command=["a", "b"]))

    changed = apply_job("dir", a_job(command=["a"]))

    assert changed["spec"]["command"] == ["a"]
    with pytest.raises(Conflict, match=r"\.spec\.command"):
        apply_job("inbox", a_job(command=["b"]))


def test_labels_are_owned_one_by_one(verbs, apply_job):
    apply_job("dir", a_job(metadata={"labels": {"a": "1"}}))
    apply_job("inbox", a_partial_job() | {"metadata": {"name": "etl", "labels": {"b": "2"}}})

    left = apply_job("dir", a_job())

    assert left["metadata"]["labels"] == {"b": "2"}


def test_the_items_of_others_keep_their_place_among_the_applied_ones(apply_job):
    def env(*names):
        return [{"name": name, "value": "x"} for name in names]

    apply_job("dir", a_job(env=env("A", "B", "C")))
    apply_job("inbox", a_partial_job(env=env("B", "X")))

    assert list(env_of(apply_job("dir", a_job(env=env("A", "N", "B", "C"))))) == ["A", "N", "B", "C", "X"]
    assert list(env_of(apply_job("dir", a_job(env=env("C", "A"))))) == ["B", "C", "A", "X"]


def test_the_server_keeps_its_finalizer_whatever_is_applied(apply_job):
    apply_job("dir", a_job(metadata={"finalizers": ["example.com/mine"]}))

    assert apply_job("dir", a_job())["metadata"]["finalizers"] == ["runwright.dev/job"]


def test_status_is_applied_through_its_own_subresource_only(verbs, apply_job):
    apply_job("dir", a_job() | {"status": {"phase": "Failed"}})
    assert verbs.get(JOB, "default", "etl")["status"] == {}

    status = a_job(command=["ignored"]) | {"status": {"phase": "Running"}}
    written = verbs.apply(JOB, "default", "etl", status, by("me"), "status").document

    assert (written["status"], written["spec"]) == ({"phase": "Running"}, {"command": ["true"]})
    assert owners(written)[("me", "Apply", "status")] == {"f:status": {"f:phase": {}}}


def test_the_status_of_what_is_not_there_cannot_be_applied(verbs):
    with pytest.raises(NotFound):
        verbs.apply(JOB, "default", "etl", a_job() | {"status": {}}, by("me"), "status")


def test_only_a_change_of_the_spec_is_a_new_generation(apply_job):
    first = apply_job("dir", a_job())
    labelled = apply_job("dir", a_job(metadata={"labels": {"a": "b"}}))
    changed = apply_job("dir", a_job(command=["false"]))

    assert [each["metadata"]["generation"] for each in (first, labelled, changed)] == [1, 1, 2]


def test_an_apply_needs_a_field_manager(verbs):
    with pytest.raises(Invalid, match="fieldManager: Required value: is required for apply patch"):
        verbs.apply(JOB, "default", "etl", a_job(), by(""))


def test_managed_fields_cannot_be_applied(verbs):
    with pytest.raises(BadRequest, match="managedFields must be nil"):
        verbs.apply(JOB, "default", "etl", a_job(metadata={"managedFields": []}), by("me"))


@pytest.mark.parametrize("precondition", [{"resourceVersion": "1"}, {"uid": "another"}])
def test_versions_and_uids_in_an_applied_object_are_preconditions(apply_job, precondition):
    with pytest.raises(Conflict, match="there is no such object"):
        apply_job("dir", a_job(metadata=precondition))
    apply_job("dir", a_job())

    with pytest.raises(Conflict, match=r"the object has been modified|Precondition failed: UID"):
        apply_job("dir", a_job(command=["false"], metadata=precondition))


def test_what_the_apply_makes_of_the_object_is_judged_whole(apply_job):
    with pytest.raises(Invalid) as caught:
        apply_job("dir", a_partial_job(runtime="No Such"))

    assert {cause.field for cause in caught.value.causes} == {"spec.command", "spec.runtime"}


def test_dropping_a_field_that_the_object_needs_is_refused(verbs, apply_job):
    before = apply_job("dir", a_job(suspend=True))

    with pytest.raises(Invalid, match=r"spec.command: Required value"):
        apply_job("dir", a_partial_job(suspend=True))
    assert verbs.get(JOB, "default", "etl") == before


def test_a_list_with_a_key_twice_is_refused(apply_job):
    apply_job("dir", a_job(env=[{"name": "A", "value": "1"}]))

    with pytest.raises(Invalid, match=r"spec.env: Duplicate value"):
        apply_job("dir", a_job(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]))


def test_a_dry_run_answers_as_if_done_and_stores_nothing(verbs, store, apply_job):
    before = store.revision()
    dry = apply_job("dir", a_job(), dry_run=True)
    assert (dry["metadata"]["generation"], len(dry["metadata"]["uid"])) == (1, 36)

    apply_job("dir", a_job())
    changed = apply_job("dir", a_job(command=["false"]), dry_run=True)

    assert (changed["metadata"]["generation"], changed["spec"]["command"]) == (2, ["false"])
    assert store.revision() == before + 1


@pytest.mark.parametrize(
    ("first", "second", "fields"),
    [
        ("3.11", {"minor": 11}, [".spec.build.base.python"]),
        ({"minor": 11}, "3.11", [".spec.build.base.python.minor"]),
        (
            {"minor": {"patch": 1}, "major": 3},
            3,
            [".spec.build.base.python.major", ".spec.build.base.python.minor.patch"],
        ),
        (["3.11"], {"minor": 11}, [".spec.build.base.python"]),
        ({"minor": 11}, {"minor": {"patch": 1}}, [".spec.build.base.python.minor"]),
    ],
)
def test_a_free_value_that_becomes_one_of_another_form_is_a_conflict_unless_it_is_forced(verbs, first, second, fields):
    def apply(manager, value, **options):
        document = {"spec": {"build": {"base": {"python": value}}}}
        return verbs.apply(RUNTIME_TEMPLATE, "", "python", document, by(manager, **options)).document

    apply("dir", first)
    with pytest.raises(Conflict) as caught:
        apply("inbox", second)
    forced = apply("inbox", second, force=True)

    assert [cause.field for cause in caught.value.causes] == fields
    assert forced["spec"]["build"]["base"]["python"] == second
    assert list(owners(forced)) == [("inbox", "Apply", "")]


def test_an_empty_free_value_that_is_filled_is_no_conflict(verbs):
    def apply(manager, value):
        document = {"spec": {"build": {"base": {"python": value}}}}
        return verbs.apply(RUNTIME_TEMPLATE, "", "python", document, by(manager)).document

    apply("dir", {})

    assert apply("inbox", {"minor": 11})["spec"]["build"]["base"]["python"] == {"minor": 11}
