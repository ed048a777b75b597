"""What a VolumeSnapshot may say, and what may be changed about it."""

import pytest
from pydantic import ValidationError

from api.types.volume import VolumeSpec
from api.types.volume_snapshot import VolumeSnapshotSpec, problems_with_change

OF_DATA = {"source": {"volumeName": "data"}}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "source"),
        ({"source": {}}, "volumeName"),
        ({"source": {"volumeName": ""}}, "at least 1"),
        (OF_DATA | {"deletionPolicy": "Keep"}, "'Delete' or 'Retain'"),
    ],
)
def test_what_no_snapshot_can_be_is_refused_with_the_reason(spec, why):
    with pytest.raises(ValidationError) as refused:
        VolumeSnapshotSpec.model_validate(spec)

    assert why in str(refused.value)


def test_a_snapshot_stays_of_its_volume_and_may_be_kept_or_not():
    other = {"source": {"volumeName": "other"}}

    assert [cause.field for cause in problems_with_change({"spec": OF_DATA}, {"spec": other})] == ["spec.source"]
    assert problems_with_change({"spec": OF_DATA}, {"spec": OF_DATA | {"deletionPolicy": "Retain"}}) == []


def test_a_volume_is_made_of_a_snapshot_of_our_group_only():
    source = {"kind": "VolumeSnapshot", "name": "monday", "apiGroup": "runwright.dev"}

    assert VolumeSpec.model_validate({"dataSource": source}).data_source.name == "monday"
    with pytest.raises(ValidationError, match=r"runwright\.dev"):
        VolumeSpec.model_validate({"dataSource": source | {"apiGroup": "snapshot.storage.k8s.io"}})
