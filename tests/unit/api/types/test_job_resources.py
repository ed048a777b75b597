import pytest
from pydantic import ValidationError

from api.types.job import Job
from api.types.job_resources import cpu_numbers
from support.objects import a_job

MiB = 1 << 20


def spec_of(**resources):
    return Job.model_validate(a_job(resources=resources)).spec


def refusal(**resources):
    with pytest.raises(ValidationError) as caught:
        spec_of(**resources)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])).removeprefix("spec.resources."), error["msg"]


@pytest.mark.parametrize(
    ("resources", "field", "why"),
    [
        ({"limits": {"io": {"readBytesPerSecond": "10"}}}, "limits.io.readBytesPerSecond", "must be at least 64Ki"),
        ({"limits": {"io": {"writeBytesPerSecond": "x"}}}, "limits.io.writeBytesPerSecond", 'cannot read "x"'),
        ({"limits": {"io": {"readOperationsPerSecond": 1}}}, "limits.io.readOperationsPerSecond", "greater than or"),
        ({"limits": {"io": {"writeOperationsPerSecond": 0}}}, "limits.io.writeOperationsPerSecond", "greater than or"),
        ({"limits": {"openFiles": 3}}, "limits.openFiles", "greater than or equal to 16"),
        ({"limits": {"openFiles": 1 << 21}}, "limits.openFiles", "less than or equal to 1048576"),
        ({"limits": {"fileSize": "-1"}}, "limits.fileSize", "must not be negative"),
        ({"limits": {"coreSize": "1Zi"}}, "limits.coreSize", "cannot read"),
        ({"limits": {"tmp-storage": "1Ki"}}, "limits.tmp-storage", "must be at least 4Mi"),
        ({"limits": {"shm-storage": "64"}}, "limits.shm-storage", "must be at least 4Mi"),
        ({"limits": {"memory": "16Ei"}}, "limits.memory", "is larger than any host"),
        ({"cpuWeight": 0}, "cpuWeight", "greater than or equal to 1"),
        ({"cpuWeight": 10_001}, "cpuWeight", "less than or equal to 10000"),
        ({"cpuSet": "a"}, "cpuSet", "write numbers and ranges, such as 0-3 or 1,3,5"),
        ({"cpuSet": "3-1"}, "cpuSet", "a range begins with its lower number"),
        ({"cpuSet": "0-9000"}, "cpuSet", "no kernel has one above 8191"),
        ({"cpuSet": ""}, "cpuSet", "write numbers and ranges"),
    ],
)
def test_a_limit_that_no_kernel_can_hold_is_refused_where_it_is(resources, field, why):
    where, message = refusal(**resources)

    assert where == field
    assert why in message


def test_all_limits_are_numbers_whatever_their_spelling():
    spec = spec_of(
        limits={
            "cpu": "1.5", "memory": "64Mi", "pids": 5, "ephemeral-storage": "5Mi", "tmp-storage": "6Mi",
            "shm-storage": 8 * MiB, "openFiles": 20, "fileSize": 0, "coreSize": "1Ki",
            "io": {"readBytesPerSecond": MiB, "writeOperationsPerSecond": 7},
        },
        cpuWeight=50,
        cpuSet=" 3, 0-1",
    )  # fmt: skip

    assert spec.resources.numbers() == {
        "cpu": 1500, "memory": 64 * MiB, "pids": 5, "work": 5 * MiB, "tmp": 6 * MiB, "shm": 8 * MiB,
        "openFiles": 20, "fileSize": 0, "coreSize": 1024, "io": {"readBytes": MiB, "writeOperations": 7},
        "cpuWeight": 50, "cpuSet": (0, 1, 3),
    }  # fmt: skip


def test_one_cpu_may_be_a_number():
    assert spec_of(cpuSet=1).resources.cpus == (1,)
    assert cpu_numbers("0,2-3") == (0, 2, 3)
    assert spec_of().resources.cpus == ()


@pytest.mark.parametrize(
    "resources",
    [
        {"limits": {"io": {"readBytesPerSecond": "1Mi"}}},
        {"limits": {"openFiles": 20}},
        {"limits": {"fileSize": 0}},
        {"limits": {"tmp-storage": "8Mi"}},
        {"cpuWeight": 100},
        {"cpuSet": "0"},
    ],
)
def test_another_limit_is_another_run_and_another_spelling_is_not(resources):
    assert spec_of(**resources).template_hash() != spec_of().template_hash()


def test_limits_that_say_nothing_change_no_run():
    assert spec_of(limits={"io": {}}).template_hash() == spec_of().template_hash()
    assert spec_of(cpuSet="0-1").template_hash() == spec_of(cpuSet="1, 0").template_hash()
