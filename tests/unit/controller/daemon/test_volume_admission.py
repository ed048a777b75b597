"""Volumes that could never be made of what they name are refused when they are written."""

import pytest

from api.errors import Invalid
from api.kinds import VOLUME, VOLUME_SNAPSHOT
from api.objects.verbs import Verbs
from controller.daemon.volume_admission import VolumeAdmission
from support.hand_clock import HandClock
from support.objects import by
from support.stores import a_store

ME = by("me")
MERGE = "application/merge-patch+json"
OF_SNAPSHOT = {"kind": "VolumeSnapshot", "name": "monday"}


@pytest.fixture
def verbs(tmp_path):
    with a_store(tmp_path) as store:
        verbs = Verbs(store, HandClock(), VolumeAdmission(store.get, lambda *_object: None).judged)
        verbs.bootstrap()
        yield verbs


def create(verbs, name, **spec):
    document = {"apiVersion": VOLUME.api_version, "kind": "Volume", "metadata": {"name": name}, "spec": spec}
    return verbs.create(VOLUME, "default", document, ME).document


def snapshot(verbs):
    spec = {"source": {"volumeName": "data"}}
    document = {"apiVersion": VOLUME.api_version, "kind": "VolumeSnapshot", "metadata": {"name": "monday"}}
    made = verbs.create(VOLUME_SNAPSHOT, "default", document | {"spec": spec}, ME).document
    verbs.storage.update_status(made | {"status": {"readyToUse": True, "restoreSize": "8Mi"}})


def refused(write):
    with pytest.raises(Invalid) as error:
        write()
    (cause,) = error.value.causes
    return cause.field, cause.message


def test_one_that_is_too_small_for_its_snapshot_is_refused_with_the_size_that_it_takes(verbs):
    snapshot(verbs)

    field, message = refused(lambda: create(verbs, "back", size="4Mi", dataSource=OF_SNAPSHOT))
    assert (field, message.split(": ", 1)[1]) == (
        "spec.size",
        "VolumeSnapshot monday holds 8Mi, and 4Mi is asked for: ask for 8Mi or more, or leave the size out",
    )
    create(verbs, "large", size="8Mi", dataSource=OF_SNAPSHOT)
    create(verbs, "same", dataSource=OF_SNAPSHOT)


def test_a_copy_of_itself_and_of_what_is_no_filesystem_is_refused(verbs):
    create(verbs, "memory", type="memory")

    assert refused(lambda: create(verbs, "me", dataSource={"name": "me"}))[0] == "spec.dataSource"
    field, message = refused(lambda: create(verbs, "copy", dataSource={"name": "memory"}))
    assert field == "spec.dataSource.name"
    assert "Volume memory is of the type memory" in message


def test_what_comes_before_its_source_is_taken_and_can_be_made_larger_later(verbs):
    early = create(verbs, "early", size="4Mi", dataSource=OF_SNAPSHOT)
    snapshot(verbs)

    larger = verbs.patch(VOLUME, "default", "early", {"spec": {"size": "16Mi"}}, MERGE, ME).document
    assert early["spec"]["size"] == "4Mi"
    assert larger["spec"]["size"] == "16Mi"


def test_one_that_is_made_is_not_judged_any_more_and_other_kinds_never(verbs):
    made = create(verbs, "old", size="4Mi", dataSource=OF_SNAPSHOT)
    verbs.storage.update_status(made | {"status": {"made": True}})
    snapshot(verbs)

    larger = verbs.patch(VOLUME, "default", "old", {"spec": {"size": "5Mi"}}, MERGE, ME).document
    assert larger["spec"]["size"] == "5Mi"
