"""What of a run's limits its receipt tells: each that was set, and what no cgroup of this host can hold. Pure.

Written only of a run whose limits were all set, and had been before its command began.
"""

from controller.cgroup.limits import IoLimit, Limits
from controller.launcher.records import Plain
from controller.launcher.runspec import RunSpec
from controller.linux import core_pattern

_BUFFERED = "buffered writes: cgroup v1 limits those that are direct or waited for, and no others"

_TOLD_OF_CRASHES = "crashes: the server of kernel.core_pattern is told of them, whatever the limit of core files"


def told(spec: RunSpec, cgroup_version: int, pattern: str) -> dict[str, Plain]:
    """Return the part of the receipt that is about limits; what was not asked for and has no default is left out.

    `pattern` is the host's kernel.core_pattern.
    """
    limits, sandbox, process = spec.limits, spec.sandbox, spec.process_limits
    always: dict[str, Plain] = {
        "memoryBytes": limits.memory_bytes,
        "cpuMillicpu": limits.cpu_millicpu,
        "pids": limits.pids,
        "deadlineSeconds": spec.deadline_seconds,
        "workBytes": sandbox.work_bytes,
        "tmpBytes": sandbox.tmp_bytes,
        "shmBytes": sandbox.shm_bytes,
    }
    asked: dict[str, Plain] = {
        "cpuWeight": limits.cpu_weight,
        "cpuSet": limits.cpu_list or None,
        "openFiles": process.open_files,
        "fileSize": process.file_bytes,
        "coreSize": process.core_bytes,
        "io": [_disk(disk) for disk in limits.io] or None,
        "notEnforced": _not_enforced(limits, cgroup_version, pattern) or None,
    }
    return always | {name: value for name, value in asked.items() if value is not None}


def _not_enforced(limits: Limits, cgroup_version: int, pattern: str) -> list[Plain]:
    buffered: list[Plain] = [_BUFFERED] if cgroup_version == 1 and _limits_writes(limits) else []
    return buffered + ([_TOLD_OF_CRASHES] if core_pattern.is_socket(pattern) else [])


def _disk(disk: IoLimit) -> Plain:
    rates = {
        "readBytesPerSecond": disk.read_bytes,
        "writeBytesPerSecond": disk.write_bytes,
        "readOperationsPerSecond": disk.read_operations,
        "writeOperationsPerSecond": disk.write_operations,
    }
    return {"device": disk.device, **{name: rate for name, rate in rates.items() if rate is not None}}


def _limits_writes(limits: Limits) -> bool:
    return any(disk.write_bytes is not None or disk.write_operations is not None for disk in limits.io)
