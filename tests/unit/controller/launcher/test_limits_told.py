"""What a receipt says of limits."""

from dataclasses import replace

import pytest

from controller.cgroup.limits import IoLimit, Limits
from controller.launcher.limits_told import told
from controller.launcher.runspec import RunSpec
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.spec import SandboxSpec

SPEC = RunSpec(
    run_id="uid-1", run_dir="/runs", log_dir="/logs", argv=("true",), limits=Limits(1 << 20, 500, 7),
    sandbox=SandboxSpec("etl", work_bytes=1, tmp_bytes=2, shm_bytes=3), cgroup_parent="runwright", cgroup="uid-1",
)  # fmt: skip
ALWAYS = {
    "memoryBytes": 1 << 20, "cpuMillicpu": 500, "pids": 7, "deadlineSeconds": None, "workBytes": 1, "tmpBytes": 2,
    "shmBytes": 3,
}  # fmt: skip


def test_what_every_run_is_limited_in_is_told_and_what_was_not_asked_for_is_not():
    assert told(SPEC, 1, "core") == ALWAYS


def test_all_that_was_asked_for_is_told():
    limits = replace(SPEC.limits, cpu_weight=50, cpus=(0, 1), io=(IoLimit("8:0", read_bytes=9, read_operations=8),))
    asked = replace(SPEC, limits=limits, process_limits=ProcessLimits(20, 0, None))

    assert told(asked, 1, "|/usr/bin/handler %P") == ALWAYS | {
        "cpuWeight": 50,
        "cpuSet": "0-1",
        "openFiles": 20,
        "fileSize": 0,
        "io": [{"device": "8:0", "readBytesPerSecond": 9, "readOperationsPerSecond": 8}],
    }


@pytest.mark.parametrize(("version", "is_told"), [(1, True), (2, False)])
def test_version_1_tells_that_it_does_not_hold_buffered_writes(version, is_told):
    limited = replace(SPEC, limits=replace(SPEC.limits, io=(IoLimit("8:0", write_operations=9),)))

    assert ("notEnforced" in told(limited, version, "core")) is is_told


def test_a_server_that_is_told_of_crashes_whatever_the_limit_is_named():
    limited = replace(SPEC, limits=replace(SPEC.limits, io=(IoLimit("8:0", write_bytes=9),)))

    assert len(told(limited, 1, "@/run/coredumps")["notEnforced"]) == 2
    assert told(SPEC, 2, "@/run/coredumps")["notEnforced"] == [
        "crashes: the server of kernel.core_pattern is told of them, whatever the limit of core files"
    ]
