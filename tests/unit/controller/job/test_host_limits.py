"""What of a job's limits this host can hold it to: real disks, real CPUs."""

import pytest

from api.types.job import Job
from controller.cgroup import cpus
from controller.devices.fitting import Fitting
from controller.job import host_limits, run_spec
from controller.job.host_limits import Unenforceable
from controller.job.observed import RuntimeMount, RuntimeReady
from controller.job.run_spec import RunDefaults
from controller.sandbox.spec import Bind, DeviceFile, DeviceNode, Devices
from support.disks import mounted_disk
from support.objects import a_job

MiB = 1 << 20
IO = {"limits": {"io": {"readBytesPerSecond": "1Mi", "writeOperationsPerSecond": 9}}}


def defaults(*binds, **changes):
    fields = {
        "pids": 64, "memory_bytes": 96 * MiB, "work_bytes": MiB, "tmp_bytes": MiB, "shm_bytes": MiB,
        "log_max_bytes": MiB, "log_max_files": 2, "cgroup_parent": "runwright", "legacy_binds": binds,
    }  # fmt: skip
    return RunDefaults(**{**fields, **changes})


def job_with(**resources):
    return Job.model_validate(a_job("etl", resources=resources))


@pytest.fixture
def disk(tmp_path):
    (directory := tmp_path / "disk").mkdir()
    with mounted_disk(directory) as disk:
        yield directory, disk.device


@pytest.mark.needs_root
def test_io_is_limited_on_the_disk_of_what_a_job_sees(disk):
    directory, device = disk
    job, seen = job_with(**IO), defaults(Bind(str(directory), "/usr"))

    found = host_limits.disks(job, RuntimeReady(), Fitting(), seen)
    (limit,) = run_spec.limits(job, seen, found).io

    assert (limit.device, limit.rates) == (device, (MiB, None, None, 9))
    assert host_limits.why_not(job, RuntimeReady(), Fitting(), seen) == ""


@pytest.mark.needs_root
def test_a_runtimes_tree_is_looked_up_where_it_is(disk):
    directory, device = disk
    (directory / "rootfs").mkdir()
    runtime = RuntimeReady(name="python", path=str(directory), mounts=(RuntimeMount("rootfs", "/usr"),))

    assert host_limits.disks(job_with(**IO), runtime, Fitting(), defaults()) == (device,)


@pytest.mark.needs_root
def test_io_is_limited_on_the_disks_that_come_with_devices_too(disk):
    directory, device = disk
    (directory / "libx.so").touch()
    file = Fitting(Devices(files=(DeviceFile(str(directory / "libx.so"), "/usr/lib/libx.so"),)))
    node = Fitting(Devices(nodes=(DeviceNode("/dev/disk", "b", *map(int, device.split(":")), 0o660),)))

    for fitting in (file, node):
        assert host_limits.disks(job_with(**IO), RuntimeReady(), fitting, defaults()) == (device,)


def test_a_limit_of_io_is_refused_where_a_device_brings_what_is_on_no_disk():
    gone = Fitting(Devices(nodes=(DeviceNode("/dev/disk", "b", 4000, 1, 0o660),)))

    said = host_limits.why_not(job_with(**IO), RuntimeReady(), gone, defaults())

    assert "spec.resources.limits.io: cannot limit io of /dev/disk: device 4000:1 is not in /sys/dev/block" in said


@pytest.mark.parametrize(
    ("binds", "why"),
    [
        ((), "all that the job sees is in memory: there is no disk to limit"),
        ((Bind("/proc", "/x"),), "all that the job sees is in memory: there is no disk to limit"),
    ],
)
def test_a_limit_of_io_without_any_disk_is_refused_and_says_why(binds, why):
    said = host_limits.why_not(job_with(**IO), RuntimeReady(), Fitting(), defaults(*binds))

    assert said == f"spec.resources.limits.io: {why}"


def test_cpus_that_are_not_there_are_refused_by_their_numbers():
    said = host_limits.why_not(job_with(cpuSet="0,4000"), RuntimeReady(), Fitting(), defaults())

    there = cpus.text(cpus.online())
    assert said == f"spec.resources.cpuSet: this host has no CPU 4000: it has {there}"


def test_many_cpus_that_are_not_there_are_named_by_their_range():
    said = host_limits.why_not(job_with(cpuSet="0,4000-4003"), RuntimeReady(), Fitting(), defaults())

    assert "this host has no CPU 4000-4003: it has " in said


def test_more_open_files_than_the_host_allows_are_refused():
    most = host_limits.most_open_files()
    asked = job_with(limits={"openFiles": most + 1}) if most < 1 << 20 else None

    if asked is not None:
        with pytest.raises(Unenforceable, match=f"openFiles: this host allows {most}"):
            host_limits.disks(asked, RuntimeReady(), Fitting(), defaults())
    assert (
        host_limits.disks(job_with(limits={"openFiles": min(most, 1 << 20)}), RuntimeReady(), Fitting(), defaults())
        == ()
    )


def test_a_job_that_asks_for_nothing_is_looked_at_for_nothing():
    assert (
        host_limits.disks(job_with(limits={"io": {}}), RuntimeReady(), Fitting(), defaults(Bind("/nowhere", "/x")))
        == ()
    )


def test_no_run_is_specified_with_io_to_be_limited_and_no_disk():
    with pytest.raises(ValueError, match="there is no disk to limit"):
        run_spec.limits(job_with(**IO), defaults())


def test_no_job_is_promised_more_cores_than_all_have_together():
    capped = defaults(cpu_cap_millicpu=1500)

    assert run_spec.limits(job_with(limits={"cpu": "4"}), capped).cpu_millicpu == 1500
    assert run_spec.limits(job_with(limits={"cpu": "1"}), capped).cpu_millicpu == 1000
    assert run_spec.limits(job_with(), capped).cpu_millicpu is None


def test_sizes_and_process_limits_are_the_jobs_or_the_settings():
    asked = job_with(
        limits={"tmp-storage": "7Mi", "shm-storage": "8Mi", "openFiles": 20, "fileSize": "1Mi", "coreSize": 0}
    )

    sandbox = run_spec.sandbox_spec(asked, RuntimeReady(), None, defaults())
    plain = run_spec.sandbox_spec(job_with(), RuntimeReady(), None, defaults())
    process = run_spec.process_limits(asked)

    assert (sandbox.tmp_bytes, sandbox.shm_bytes) == (7 * MiB, 8 * MiB)
    assert (plain.tmp_bytes, plain.shm_bytes) == (MiB, MiB)
    assert (process.open_files, process.file_bytes, process.core_bytes) == (20, MiB, 0)


@pytest.mark.parametrize("pattern", ["|/usr/lib/systemd/systemd-coredump %P", "@/run/coredumps", "@@/run/coredumps"])
def test_core_files_are_not_promised_where_crashes_are_told_to_somebody_instead(pattern):
    why = host_limits.why_no_cores(4096, lambda: pattern)

    assert why.startswith(f"spec.resources.limits.coreSize: this host's kernel.core_pattern is {pattern}, ")


def test_core_files_are_promised_where_they_are_files_and_nobody_asks_where_none_are_wanted():
    def unread():
        raise AssertionError("nobody wants to know")

    assert host_limits.why_no_cores(4096, lambda: "/var/cores/%p") == ""
    assert [host_limits.why_no_cores(wanted, unread) for wanted in (None, 0, 1)] == ["", "", ""]
