"""What a Volume may say, and what may be changed about it."""

import pytest
from pydantic import ValidationError

from api.types.job_spec import JobSpec
from api.types.volume import VolumeSpec, problems_with_change


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"size": "1"}, "at least 4Ki"),
        ({"size": "much"}, "much"),
        ({"type": "disk"}, "filesystem"),
        ({"accessModes": []}, "at least 1"),
        ({"accessModes": ["ReadWriteNever"]}, "ReadWriteOnce"),
        ({"type": "hostPath"}, "spec.path must be given"),
        ({"path": "/srv"}, "spec.path must be given for the type hostPath"),
        ({"type": "hostPath", "path": "/srv/../etc"}, "without . or .."),
        ({"type": "hostPath", "path": "/srv", "size": "1Gi"}, "no size of its own"),
        ({"type": "memory", "dataSource": {"name": "x"}}, "for the type filesystem only"),
    ],
)
def test_what_no_volume_can_be_is_refused_with_the_reason(spec, why):
    with pytest.raises(ValidationError) as refused:
        VolumeSpec.model_validate(spec)

    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("mounts", "why"),
    [
        ([{"name": "../etc"}], "lower-case"),
        ([{"name": "a", "mountPath": "/proc/x"}], "its own"),
        ([{"name": "a", "mountPath": "/work"}], "its own"),
        ([{"name": "a", "mountPath": "data"}], "absolute"),
        ([{"name": "a", "mountPath": "/x/../../etc"}], "absolute"),
        ([{"name": "a"}, {"name": "a", "mountPath": "/x"}], "there twice"),
        ([{"name": "a"}, {"name": "b", "mountPath": "/volumes/a"}], "there twice"),
    ],
)
def test_where_no_volume_can_be_mounted_is_refused(mounts, why):
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate({"command": ["true"], "volumeMounts": mounts})

    assert why in str(refused.value)


def test_volumes_are_part_of_what_a_run_is_made_of_and_change_no_hash_of_jobs_without():
    def hash_of(*mounts):
        return JobSpec.model_validate({"command": ["true"], "volumeMounts": mounts}).template_hash()

    assert hash_of() == JobSpec.model_validate({"command": ["true"]}).template_hash()
    assert len({hash_of(), hash_of({"name": "a"}), hash_of({"name": "a", "readOnly": True})}) == 3


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"size": "8Mi"}, {"size": "9Mi"}, []),
        ({"size": "8Mi"}, {"size": "7Mi"}, ["spec.size"]),
        ({"type": "cache", "size": "8Mi"}, {"type": "cache", "size": "7Mi"}, []),
        ({"size": "8Mi"}, {"size": "8Mi", "type": "memory"}, ["spec.type"]),
        ({"size": "8Mi"}, {"size": "8Mi", "accessModes": ["ReadWriteOnce"], "reclaimPolicy": "Retain"}, []),
        ({}, {"dataSource": {"name": "x"}}, ["spec.dataSource"]),
    ],
)
def test_a_volume_stays_what_it_was_made_as_and_grows(before, after, fields):
    assert [cause.field for cause in problems_with_change({"spec": before}, {"spec": after})] == fields
