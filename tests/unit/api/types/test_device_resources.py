"""Devices among a job's limits: what they may be called, how many they may be, and that no way in loses them."""

import pytest

from api import crd
from api.errors import Invalid
from api.kinds import JOB
from api.objects import admission, shapes
from api.types.job import Job
from support.objects import a_job


def job_with(**limits):
    document = a_job()
    document["spec"] = {"command": ["true"], "resources": {"limits": limits}}
    return document


def spec_of(**limits):
    return Job.model_validate(job_with(**limits)).spec


def causes(**limits):
    with pytest.raises(Invalid) as error:
        admission.validate(JOB, job_with(**limits))
    return [(cause.field, cause.message) for cause in error.value.causes]


def test_devices_are_counted_by_kind_whatever_the_spelling():
    assert spec_of(**{"nvidia.com/gpu": 2, "a.b/c-d": "1", "cpu": "1"}).resources.limits.devices == {
        "nvidia.com/gpu": 2,
        "a.b/c-d": 1,
    }


def test_none_of_a_kind_is_as_if_it_were_not_there():
    assert spec_of(**{"nvidia.com/gpu": 0}).resources.limits.devices == {}
    assert spec_of(**{"nvidia.com/gpu": 0}).template_hash() == spec_of().template_hash()


def test_other_devices_are_another_run():
    hashes = {spec_of(**{"nvidia.com/gpu": count}).template_hash() for count in (1, "1", 2)}

    assert len(hashes) == 2
    assert spec_of().template_hash() not in hashes


@pytest.mark.parametrize("count", [-1, 1.5, "1.5", "1k", "", True, 1025, None, [1], "٣"])
def test_what_is_no_number_of_devices_is_refused_by_its_name(count):
    if count is None:
        assert spec_of(**{"nvidia.com/gpu": 1}).resources.limits.devices  # A null is no field, as everywhere.
        return
    ((field, message),) = causes(**{"nvidia.com/gpu": count})

    assert field == "spec.resources.limits[nvidia.com/gpu]"
    assert message.endswith("must be a whole number of devices, from 0 to 1024")


@pytest.mark.parametrize("name", ["/gpu", "nvidia.com/", "a/b/c", "-a/b", "a/b-", "a b/c", f"{'a' * 260}/b"])
def test_what_is_no_kind_of_devices_is_refused_by_its_name(name):
    ((field, message),) = causes(**{name: 1})

    assert field == f"spec.resources.limits[{name}]"
    assert message.endswith("must be named as VENDOR/CLASS, such as nvidia.com/gpu")


def test_kinds_of_devices_are_kept_and_other_unknown_limits_are_pruned():
    kept, unknown = shapes.prune(job_with(**{"nvidia.com/gpu": 1, "gpus": 1}), shapes.of(JOB.type))

    assert kept["spec"]["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert unknown == ["spec.resources.limits.gpus"]


def test_the_crd_keeps_kinds_of_devices_too():
    spec = crd.schema_of(JOB)["properties"]["spec"]["properties"]
    limits = spec["resources"]["properties"]["limits"]

    assert limits["x-kubernetes-preserve-unknown-fields"] is True
    assert "x-kubernetes-preserve-unknown-fields" not in spec["resources"]
