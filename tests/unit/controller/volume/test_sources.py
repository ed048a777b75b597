"""What volumes and snapshots are made from: whether it is there, and who still waits for a copy of it."""

import pytest

from api.kinds import VOLUME, VOLUME_SNAPSHOT
from api.meta import ObjectKey
from api.ports import Change, ChangeType
from controller.engine.errors import TransientError
from controller.volume.sources import Sources
from support.stores import a_store
from support.volumes import CREATED, a_volume, snapshot_document

OF_SNAPSHOT = {"kind": "VolumeSnapshot", "name": "monday"}
READY = {"readyToUse": True, "restoreSize": "8Mi", "creationTime": CREATED}
LATER = "2026-01-02T04:00:00Z"


@pytest.fixture
def store(tmp_path):
    with a_store(tmp_path) as store:
        yield store


@pytest.fixture
def sources(store):
    return Sources(store, None)


def volume_document(name="data", created=CREATED, **spec):
    document = a_volume(name, **spec).model_dump(by_alias=True, exclude_unset=True, mode="json")
    document["metadata"] |= {"creationTimestamp": created, "uid": name}
    return document


def put(store, document, status=None):
    del document["metadata"]["generation"]
    document["metadata"].pop("resourceVersion", None)
    made = store.create(document)
    return store.update_status(made | {"status": status}) if status else made


def test_a_volume_can_be_made_of_a_snapshot_that_is_ready_to_use(store, sources):
    put(store, snapshot_document(), READY)

    wanted = a_volume("back", dataSource=OF_SNAPSHOT)
    assert sources.problem(wanted) is None
    assert sources.size_bytes(wanted) == 8 << 20


@pytest.mark.parametrize(
    ("status", "spec", "why"),
    [
        ({}, {}, "VolumeSnapshot monday is not ready"),
        (READY, {"size": "4Mi"}, "VolumeSnapshot monday holds 8Mi, and 4Mi is asked for: ask for 8Mi or more"),
        (READY, {"dataSource": {"name": "back"}}, "Volume back is not there"),
        (READY, {"dataSource": {"kind": "VolumeSnapshot", "name": "never"}}, "VolumeSnapshot never is not there"),
    ],
)
def test_why_a_volume_cannot_be_made_of_a_snapshot_is_said(store, sources, status, spec, why):
    put(store, snapshot_document(), status)

    assert why in sources.problem(a_volume("back", **({"dataSource": OF_SNAPSHOT} | spec))).message


def test_a_volume_that_was_asked_for_before_its_source_was_deleted_is_still_made_of_it(store, sources):
    live = put(
        store, snapshot_document() | {"metadata": snapshot_document()["metadata"] | {"finalizers": ["x/y"]}}, READY
    )
    store.delete(ObjectKey.of(live))
    deleted = store.get(ObjectKey.of(live))["metadata"]["deletionTimestamp"]

    def asked(created):
        return volume_document("back", created, dataSource=OF_SNAPSHOT)

    before = type(a_volume()).model_validate(asked(deleted))
    after = type(a_volume()).model_validate(asked("9999-01-01T00:00:00Z"))
    assert sources.problem(before) is None
    assert "is being deleted" in sources.problem(after).message


def test_what_waits_to_be_made_of_something_is_known_until_it_is_made(store, sources):
    key = ObjectKey(VOLUME.name, "default", "data")
    put(store, volume_document("data"))
    put(store, snapshot_document())
    put(store, volume_document("copy", dataSource={"name": "data"}))
    put(store, volume_document("done", dataSource={"name": "data"}), {"made": True})
    put(store, volume_document("other", dataSource={"name": "elsewhere"}))

    assert sources.copied_by(key, "9999-01-01T00:00:00Z") == (
        "volume/default/copy", "volumesnapshot/default/monday",
    )  # fmt: skip
    assert sources.copied_by(key, "2000-01-01T00:00:00Z") == ()


FOREVER = "9999-01-01T00:00:00Z"
FORBIDDEN = {"type": "Ready", "status": "False", "reason": "SizeForbidden", "message": "-"}


def test_what_can_never_be_made_of_something_does_not_keep_it(store, sources):
    volume, snapshot = ObjectKey(VOLUME.name, "default", "data"), ObjectKey(VOLUME_SNAPSHOT.name, "default", "monday")
    put(store, volume_document("data", type="memory"), {"capacityBytes": 8 << 20, "phase": "Available"})
    put(store, snapshot_document(), READY)
    put(store, volume_document("copy", dataSource={"name": "data"}))
    put(store, volume_document("small", size="4Mi", dataSource=OF_SNAPSHOT))
    large = put(store, volume_document("large", size="8Gi", dataSource=OF_SNAPSHOT))

    assert sources.copied_by(volume, FOREVER) == ()
    assert sources.copied_by(snapshot, FOREVER) == ("volume/default/large",)

    status = {"conditions": [FORBIDDEN | {"lastTransitionTime": CREATED}], "observedGeneration": 1}
    refused = store.update_status(large | {"status": status})
    assert sources.copied_by(snapshot, FOREVER) == ()
    change = Change(ChangeType.MODIFIED, 9, ObjectKey(VOLUME.name, "default", "large"), refused, large)
    assert snapshot in sources.wake(change)  # Whose deletion may have waited for it.

    store.update(refused | {"spec": refused["spec"] | {"size": "9Mi"}})
    assert sources.copied_by(snapshot, FOREVER) == ("volume/default/large",)


@pytest.mark.parametrize(
    ("source", "reason"),
    [({"name": "data"}, "SourceUnusable"), ({"name": "back"}, "SourceUnusable"), ({"name": "x"}, "SourceNotReady")],
)
def test_it_is_told_apart_whether_it_is_waited_for_or_can_never_be(store, sources, source, reason):
    put(store, volume_document("data", type="memory"), {"capacityBytes": 8 << 20, "phase": "Available"})
    put(store, volume_document("back", dataSource=source))

    assert sources.problem(a_volume("back", dataSource=source)).reason == reason


def test_a_snapshot_that_is_ready_wakes_its_volume_and_what_waits_for_it_and_other_news_nobody(store, sources):
    before = put(store, snapshot_document())
    put(store, volume_document("back", dataSource=OF_SNAPSHOT))
    key = ObjectKey(VOLUME_SNAPSHOT.name, "default", "monday")

    def woken(status):
        change = Change(ChangeType.MODIFIED, 9, key, before | {"status": status}, before)
        return {found.name for found in sources.wake(change)}

    assert woken(READY) == {"data", "back"}
    assert woken({"diskBytes": 1}) == set()


class Images:
    """A backing that says of whose image a copy was asked."""

    def copy_of(self, uid, to):
        return uid, to


@pytest.mark.parametrize("source", [{"name": "data"}, OF_SNAPSHOT])
def test_a_volume_whose_source_went_since_it_was_looked_at_is_not_made_empty(store, source):
    sources, wanted = Sources(store, Images()), a_volume("copy", dataSource=source)
    live = put(store, volume_document("data"), {"capacityBytes": 8 << 20, "phase": "Ready"})
    kept = put(store, snapshot_document(), READY)
    uid = (live if source == {"name": "data"} else kept)["metadata"]["uid"]
    assert sources.problem(wanted) is None
    assert sources.copier(wanted)("there") == (uid, "there")

    for each in (kept, live):
        store.delete(ObjectKey.of(each))

    with pytest.raises(TransientError, match="is not there in namespace default: name another, or create it") as error:
        sources.copier(wanted)
    assert error.value.reason == "SourceNotReady"


def test_a_volume_without_a_source_begins_empty(sources):
    assert sources.copier(a_volume("data")) is None
