"""What a volume needs next, and what its status says of it: decided from plain data."""

from dataclasses import replace

import pytest

from api.types.volume import VolumeReason
from controller.engine.errors import TransientError
from controller.volume import report as reporting
from controller.volume.found import Found
from controller.volume.modes import User
from controller.volume.observed import Detach, Grow, Make, ObservedVolume, Problem, Remove, Retain, Trim
from controller.volume.plan import plan
from support.builders import NOW
from support.volumes import MIB, a_volume

A_RUN = User("job/default/etl", 2)
MADE = {"made": True, "capacityBytes": MIB}


def there(capacity: int = MIB, *, mounted: bool = False, used: int | None = 0) -> Found:
    return Found(capacity, mounted, used)


def status_of(volume, observed):
    return reporting.report(volume, observed, plan(volume, observed), NOW)


def ready_of(volume, observed):
    status = status_of(volume, observed)
    return status.phase, status.conditions[0].status, status.conditions[0].reason, status.conditions[0].message


def test_a_volume_that_is_not_there_is_made():
    assert plan(a_volume(), ObservedVolume(MIB)).steps == (Make(MIB),)


@pytest.mark.invariant("V2")
def test_a_filesystem_that_was_made_and_is_gone_is_not_made_again():
    volume = a_volume(status=MADE)

    assert plan(volume, ObservedVolume(MIB)).steps == ()
    assert ready_of(volume, ObservedVolume(MIB))[:3] == ("Lost", "False", "Lost")


def test_a_damaged_filesystem_is_neither_grown_nor_given_to_anybody_and_says_why():
    observed = ObservedVolume(2 * MIB, replace(there(), damage="e2fsck says so"))

    assert plan(a_volume(status=MADE), observed).steps == ()
    assert ready_of(a_volume(status=MADE), observed) == ("Damaged", "False", "Damaged", "e2fsck says so")


def test_one_that_writes_no_more_is_mounted_anew_once_nobody_has_it():
    stopped = replace(there(mounted=True), damage="writes no more")

    assert plan(a_volume(), ObservedVolume(MIB, stopped, (A_RUN,))).waiting.reason == VolumeReason.DAMAGED
    assert plan(a_volume(), ObservedVolume(MIB, stopped)).steps == (Detach(),)


@pytest.mark.parametrize("type_", ["memory", "cache"])
def test_what_may_be_lost_is_made_again(type_):
    assert plan(a_volume(type=type_, status=MADE), ObservedVolume(MIB)).steps == (Make(MIB),)


def test_a_volume_that_is_to_be_larger_is_grown():
    assert plan(a_volume(), ObservedVolume(2 * MIB, there(), (A_RUN,))).steps == (Grow(2 * MIB),)


def test_a_filesystem_is_never_made_smaller():
    assert plan(a_volume(), ObservedVolume(MIB, there(2 * MIB))).steps == ()


def test_a_filesystem_is_unmounted_when_no_run_has_it():
    assert plan(a_volume(), ObservedVolume(MIB, there(mounted=True))).steps == (Detach(),)
    assert plan(a_volume(), ObservedVolume(MIB, there(mounted=True), (A_RUN,))).steps == ()


def test_memory_stays_mounted():
    assert plan(a_volume(type="memory"), ObservedVolume(MIB, there(mounted=True))).steps == ()


def test_a_cache_whose_usage_is_of_a_while_ago_is_looked_at_again_though_nobody_has_it():
    def seconds(**usage):
        return plan(a_volume(type="cache"), ObservedVolume(MIB, replace(there(used=MIB), **usage))).check_again_seconds

    assert [seconds(used_anew_in_seconds=7), seconds()] == [7, None]


def test_a_cache_that_is_too_large_is_trimmed():
    assert plan(a_volume(type="cache"), ObservedVolume(MIB, there(used=MIB + 1))).steps == (Trim(),)


@pytest.mark.invariant("V2")
def test_nothing_of_a_volume_is_removed_while_a_run_has_it():
    volume, observed = a_volume(deleting=True), ObservedVolume(MIB, there(mounted=True), (A_RUN,))

    assert plan(volume, observed).steps == ()
    assert ready_of(volume, observed) == (
        "Terminating", "False", "Terminating", "it goes when no run has it any more: run 2 of job/default/etl",
    )  # fmt: skip


def test_a_deleted_volume_is_removed_or_retained_as_it_says():
    observed = ObservedVolume(MIB, there())

    assert plan(a_volume(deleting=True), observed).steps == (Remove(),)
    assert plan(a_volume(deleting=True, reclaimPolicy="Retain"), observed).steps == (Retain(),)


def test_a_problem_is_told_and_nothing_is_done():
    observed = ObservedVolume(MIB, None, problem=Problem(VolumeReason.SIZE_FORBIDDEN, "too large"))

    assert plan(a_volume(), observed).steps == ()
    assert ready_of(a_volume(), observed) == ("Pending", "False", "SizeForbidden", "too large")


def test_the_status_tells_who_has_it_and_how_full_it_is():
    status = status_of(a_volume(), ObservedVolume(MIB, there(mounted=True, used=4096), (A_RUN,)))

    assert (status.phase, status.used_by[0].job, status.used_by[0].attempt) == ("InUse", "etl", 2)
    assert (status.capacity_bytes, status.used_bytes, status.made) == (MIB, 4096, True)


def test_what_was_in_use_is_remembered_while_it_cannot_be_seen():
    status = status_of(a_volume(status=MADE | {"usedBytes": 8192}), ObservedVolume(MIB, there(used=None)))

    assert status.used_bytes == 8192


def test_a_volume_that_cannot_grow_now_stays_ready_and_says_so():
    before = status_of(a_volume(), ObservedVolume(MIB, there(mounted=True), (A_RUN,)))
    volume = a_volume().model_copy(update={"status": before})

    after = reporting.report_failure(volume, TransientError(VolumeReason.RESIZING, "wait"), NOW)

    assert [(c.type, c.status, c.reason) for c in after.conditions] == [
        ("Ready", "True", "InUse"), ("Resizing", "True", "Resizing"),
    ]  # fmt: skip


def test_one_that_was_to_be_larger_than_its_source_and_never_was_ready_is_not_told_as_if():
    volume = a_volume(status={"conditions": [{"type": "Ready", "status": "False", "reason": "SourceNotReady"}]})

    after = reporting.report_failure(volume, TransientError(VolumeReason.RESIZING, "no room"), NOW)

    assert [(c.type, c.reason, c.message) for c in after.conditions] == [("Ready", "MakingFailed", "no room")]


def test_a_volume_that_cannot_be_made_says_why():
    after = reporting.report_failure(a_volume(), TransientError("HostError", "no room"), NOW)

    assert (after.conditions[0].reason, after.conditions[0].message) == ("MakingFailed", "no room")
