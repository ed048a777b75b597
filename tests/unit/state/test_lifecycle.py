"""What a write makes of an object."""

from datetime import UTC, datetime

import pytest

from api.errors import BadRequest, Conflict, Invalid
from api.meta import Document, ObjectKey
from state import lifecycle
from support.stores import FINALIZER, a_document, an_event, with_metadata, with_spec, with_status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stored(**metadata: object) -> Document:
    created = lifecycle.for_create(a_document(**metadata), uid="u-1", now=NOW)
    return with_metadata(created, resourceVersion="7")


def deleting(*finalizers: str) -> Document:
    return lifecycle.for_delete(stored(finalizers=list(finalizers)), now=NOW)


@pytest.mark.invariant("S9")
def test_a_new_object_gets_its_identity_from_the_server_whatever_the_client_says():
    sent = a_document(
        uid="mine", creationTimestamp="1999-01-01T00:00:00Z", generation=9, deletionTimestamp="1999-01-01T00:00:00Z"
    )

    created = lifecycle.for_create(sent, uid="u-1", now=NOW)

    assert created["metadata"] == {
        "name": "etl",
        "namespace": "default",
        "uid": "u-1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "generation": 1,
    }


@pytest.mark.invariant("S10")
def test_a_status_sent_with_a_new_object_is_dropped():
    created = lifecycle.for_create(with_status(a_document(), phase="Succeeded"), uid="u-1", now=NOW)

    assert created["status"] == {}


def test_a_new_object_with_a_resource_version_is_refused():
    with pytest.raises(BadRequest, match="resourceVersion should not be set on objects to be created"):
        lifecycle.for_create(a_document(resourceVersion="3"), uid="u-1", now=NOW)


def test_null_and_empty_metadata_is_stored_as_absent():
    sent = a_document(labels={}, annotations=None, finalizers=[], ownerReferences=[], generateName="")

    created = lifecycle.for_create(sent, uid="u-1", now=NOW)

    assert set(created["metadata"]) == {"name", "namespace", "uid", "creationTimestamp", "generation"}


@pytest.mark.invariant("S9")
def test_a_changed_spec_raises_the_generation_by_one():
    changed = lifecycle.for_update(stored(), with_spec(stored(), command=["false"]))

    assert changed["metadata"]["generation"] == 2
    assert changed["spec"] == {"command": ["false"]}


@pytest.mark.invariant("S9")
def test_changed_labels_leave_the_generation_alone():
    changed = lifecycle.for_update(stored(), with_metadata(stored(), labels={"team": "x"}))

    assert changed["metadata"]["generation"] == 1
    assert changed["metadata"]["labels"] == {"team": "x"}


@pytest.mark.invariant("S9")
def test_an_update_keeps_what_the_server_owns():
    sent = with_metadata(
        with_spec(stored(), command=["false"]),
        creationTimestamp="1999-01-01T00:00:00Z",
        generation=40,
        deletionTimestamp="1999-01-01T00:00:00Z",
        generateName="x-",
    )

    changed = lifecycle.for_update(stored(), sent)

    assert changed["metadata"] == stored()["metadata"] | {"generation": 2}


@pytest.mark.invariant("S10")
def test_an_update_keeps_the_status_and_ignores_the_one_sent():
    current = with_status(stored(), phase="Running")

    changed = lifecycle.for_update(current, with_status(with_spec(current, command=["false"]), phase="Succeeded"))

    assert changed["status"] == {"phase": "Running"}


@pytest.mark.invariant("S10")
def test_a_status_write_takes_nothing_but_the_status():
    sent = with_metadata(with_spec(with_status(stored(), phase="Running"), command=["no"]), labels={"no": "no"})

    changed = lifecycle.for_status(stored(), sent)

    assert changed == stored() | {"status": {"phase": "Running"}}


def test_a_status_write_takes_managed_fields_too():
    entry = {"manager": "runwrightd", "operation": "Update", "subresource": "status"}

    changed = lifecycle.for_status(stored(), with_metadata(stored(), managedFields=[entry]))

    assert changed["metadata"]["managedFields"] == [entry]


def test_a_status_write_without_a_status_removes_it():
    assert lifecycle.for_status(with_status(stored(), phase="Running"), stored()) == stored()


@pytest.mark.invariant("S8")
@pytest.mark.parametrize("decide", [lifecycle.for_update, lifecycle.for_status])
def test_a_write_that_changes_nothing_returns_the_very_same_object(decide):
    current = with_status(stored(labels={"a": "b"}), phase="Running")

    assert decide(current, dict(current)) is current


@pytest.mark.invariant("S8")
def test_new_times_in_managed_fields_alone_change_nothing():
    current = stored(managedFields=[{"manager": "kubectl", "time": "2026-01-01T00:00:00Z"}])
    sent = with_metadata(current, managedFields=[{"manager": "kubectl", "time": "2026-01-02T00:00:00Z"}])

    assert lifecycle.for_update(current, sent) is current


def test_absent_managed_fields_are_kept_and_empty_ones_clear_them():
    current = stored(managedFields=[{"manager": "kubectl"}])
    silent = {**current, "metadata": {k: v for k, v in current["metadata"].items() if k != "managedFields"}}

    assert lifecycle.for_update(current, silent) is current
    cleared = lifecycle.for_update(current, with_metadata(current, managedFields=[]))
    assert "managedFields" not in cleared["metadata"]


@pytest.mark.invariant("S3")
@pytest.mark.parametrize("decide", [lifecycle.for_update, lifecycle.for_status])
def test_a_write_meant_for_another_object_of_that_name_conflicts(decide):
    with pytest.raises(Conflict, match="UID in precondition: u-2, UID in object meta: u-1"):
        decide(stored(), with_metadata(stored(), uid="u-2"))


@pytest.mark.invariant("S11")
def test_deleting_an_object_with_finalizers_marks_it_and_raises_its_generation():
    marked = deleting(FINALIZER)["metadata"]

    assert marked["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert "deletionGracePeriodSeconds" not in marked
    assert marked["generation"] == 2


@pytest.mark.invariant("S11")
@pytest.mark.parametrize(("again", "kept"), [(3, 3), (60, 10), (None, 10)])
def test_deleting_again_may_shorten_the_grace_and_never_lengthens_it(again, kept):
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    current = lifecycle.for_delete(with_metadata(stored(), finalizers=[FINALIZER]), now=moment, grace_seconds=10)

    marked = lifecycle.for_delete(current, now=moment, grace_seconds=again)["metadata"]

    assert marked["deletionGracePeriodSeconds"] == kept
    assert marked["generation"] == current["metadata"]["generation"]


@pytest.mark.invariant("S11")
def test_deleting_again_changes_nothing():
    current = deleting(FINALIZER)

    assert lifecycle.for_delete(current, now=datetime(2027, 1, 1, tzinfo=UTC)) is current


@pytest.mark.invariant("S11")
def test_a_deleting_object_takes_no_new_finalizer():
    current = deleting(FINALIZER)

    with pytest.raises(Invalid, match=r"found new finalizers late$") as refused:
        lifecycle.for_update(current, with_metadata(current, finalizers=[FINALIZER, "late"]))

    assert [(c.field, c.reason) for c in refused.value.causes] == [("metadata.finalizers", "FieldValueForbidden")]


@pytest.mark.invariant("S11")
def test_a_deleting_object_is_finished_only_when_its_last_finalizer_went():
    current = deleting(FINALIZER, "other")

    one_left = lifecycle.for_update(current, with_metadata(current, finalizers=["other"]))
    none_left = lifecycle.for_update(current, with_metadata(current, finalizers=None))

    assert not lifecycle.is_finished(one_left)
    assert lifecycle.is_finished(none_left)


def test_an_object_that_nobody_deletes_is_not_finished_without_finalizers():
    assert not lifecycle.is_finished(stored())


def test_an_update_of_our_kinds_must_say_what_it_was_made_from():
    with pytest.raises(Invalid) as refused:
        lifecycle.check_version(stored(), a_document())

    assert refused.value.message == (
        'Job.runwright.dev "etl" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )


def test_an_update_of_a_core_kind_need_not_say_what_it_was_made_from():
    current = with_metadata(lifecycle.for_create(an_event(), uid="u-1", now=NOW), resourceVersion="7")

    assert lifecycle.check_version(current, an_event()) is None


@pytest.mark.invariant("S3")
def test_an_update_made_from_an_older_version_conflicts_and_says_how_to_go_on():
    with pytest.raises(Conflict) as refused:
        lifecycle.check_version(stored(), with_metadata(stored(), resourceVersion="6"))

    assert refused.value.message == (
        'Operation cannot be fulfilled on jobs.runwright.dev "etl": the object has been modified; please apply your '
        "changes to the latest version and try again (you sent resourceVersion 6, current is 7)"
    )


@pytest.mark.parametrize(("uid", "revision"), [(None, None), ("u-1", None), (None, 7), ("u-1", 7)])
def test_preconditions_that_hold_let_a_deletion_pass(uid, revision):
    assert lifecycle.check_preconditions(stored(), uid=uid, revision=revision) is None


@pytest.mark.invariant("S3")
@pytest.mark.parametrize(("uid", "revision", "why"), [("u-2", None, "UID in precondition"), (None, 6, "sent resource")])
def test_a_precondition_that_does_not_hold_stops_a_deletion(uid, revision, why):
    with pytest.raises(Conflict, match=why):
        lifecycle.check_preconditions(stored(), uid=uid, revision=revision)


def test_a_kind_outside_the_table_is_still_named_in_errors():
    assert str(lifecycle.about(ObjectKey("Toy", "default", "ball"))) == 'toys.runwright.dev "ball"'
