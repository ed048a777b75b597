"""What a snapshot needs next, and what its status says of it: decided from plain data."""

from datetime import UTC, datetime

import pytest

from api.types.volume_snapshot import SnapshotReason
from controller.engine.errors import TransientError
from controller.volume.found import Taken
from controller.volume.snapshot import report as reporting
from controller.volume.snapshot.observed import ObservedSnapshot, Remove, Retain, SnapshotProblem, Take
from controller.volume.snapshot.plan import plan
from support.builders import NOW
from support.volumes import MIB, a_snapshot

TAKEN = Taken(8 * MIB, datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC).timestamp(), 4096)


def status_of(snapshot, observed):
    return reporting.report(snapshot, observed, plan(snapshot, observed), NOW)


def ready_of(snapshot, observed):
    ready = status_of(snapshot, observed).conditions[0]
    return ready.status, ready.reason


def test_a_snapshot_that_is_not_there_is_taken():
    assert plan(a_snapshot(), ObservedSnapshot()).steps == (Take(),)


def test_one_that_was_taken_can_be_used_and_says_of_when_and_how_large_it_is():
    status = status_of(a_snapshot(), ObservedSnapshot(TAKEN))

    assert plan(a_snapshot(), ObservedSnapshot(TAKEN)).steps == ()
    assert (status.ready_to_use, status.creation_time, status.restore_size, status.disk_bytes) == (
        True, "2026-01-02T03:04:06Z", "8Mi", 4096,
    )  # fmt: skip
    assert ready_of(a_snapshot(), ObservedSnapshot(TAKEN)) == ("True", "ReadyToUse")


@pytest.mark.invariant("V6")
def test_one_that_was_taken_and_is_gone_is_not_taken_again():
    snapshot = a_snapshot(status={"creationTime": "2026-01-02T03:04:06Z", "readyToUse": True})

    assert plan(snapshot, ObservedSnapshot()).steps == ()
    assert ready_of(snapshot, ObservedSnapshot()) == ("False", "Lost")
    assert status_of(snapshot, ObservedSnapshot()).ready_to_use is False


def test_one_whose_volume_is_not_ready_waits_and_says_why():
    observed = ObservedSnapshot(problem=SnapshotProblem(SnapshotReason.SOURCE_NOT_READY, "volume data is not there"))

    assert plan(a_snapshot(), observed).steps == ()
    assert status_of(a_snapshot(), observed).conditions[0].message == "volume data is not there"


@pytest.mark.invariant("V6")
def test_one_that_is_deleted_goes_only_when_the_volumes_that_were_asked_of_it_are_made():
    going, made_of_it = a_snapshot(deleting=True), ("volume/default/back",)

    assert plan(going, ObservedSnapshot(TAKEN, copied_by=made_of_it)).steps == ()
    assert (
        "volume/default/back" in status_of(going, ObservedSnapshot(TAKEN, copied_by=made_of_it)).conditions[0].message
    )
    assert plan(going, ObservedSnapshot(TAKEN)).steps == (Remove(),)
    assert plan(going, ObservedSnapshot(None, copied_by=made_of_it)).steps == (Remove(),)
    assert plan(going, ObservedSnapshot(is_gone=True)).steps == ()


def test_one_is_removed_or_retained_as_it_says():
    going = a_snapshot(deleting=True, deletionPolicy="Retain")

    assert plan(going, ObservedSnapshot(TAKEN)).steps == (Retain(),)
    assert plan(going, ObservedSnapshot()).steps == (Remove(),)


def test_why_one_could_not_be_taken_is_said_as_kubernetes_says_it_until_it_is():
    told = reporting.report_failure(a_snapshot(), TransientError("HostError", "no room"), NOW)
    again = reporting.report_failure(
        a_snapshot().model_copy(update={"status": told}), TransientError("HostError", "no room"), NOW
    )

    assert (told.error.message, told.conditions[0].reason) == ("no room", "SnapshotFailed")
    assert again.error == told.error
    assert status_of(a_snapshot().model_copy(update={"status": told}), ObservedSnapshot(TAKEN)).error is None


def test_one_that_waits_for_its_turn_has_not_failed():
    told = reporting.report_failure(a_snapshot(), TransientError(SnapshotReason.TAKING, "2 others are"), NOW)

    assert (told.error, told.conditions[0].reason, told.conditions[0].message) == (None, "Taking", "2 others are")
