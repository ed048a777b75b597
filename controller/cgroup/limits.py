"""Limits to writes of cgroup files, for version 1 and version 2. Pure: no I/O.

The order of the writes is part of the answer: carry them out as they come.
Invariant: a limit on memory is a limit on memory and swap together; nothing is swapped around it.
"""

from dataclasses import dataclass

_PERIOD_MICROSECONDS = 100_000
_MICROSECONDS_PER_MILLICPU = _PERIOD_MICROSECONDS // 1000
LEAST_MILLICPU = 10
"""The kernel refuses a quota under 1 ms of each period. Source: kernel/sched/core.c, min_cfs_quota_period."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use at most; None is no limit. 1000 millicpu are one CPU.

    >>> Limits(memory_bytes=None, cpu_millicpu=5, pids=None)
    Traceback (most recent call last):
    ...
    ValueError: cannot limit cpu to 5 millicpu: the kernel grants no less than 10: ask for 10 or more
    """

    memory_bytes: int | None
    cpu_millicpu: int | None
    pids: int | None

    def __post_init__(self) -> None:
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise ValueError(f"cannot limit memory to {self.memory_bytes} bytes: ask for a positive number")
        if self.pids is not None and self.pids < 1:
            raise ValueError(f"cannot limit pids to {self.pids}: ask for a positive number")
        if self.cpu_millicpu is not None and self.cpu_millicpu < LEAST_MILLICPU:
            raise ValueError(
                f"cannot limit cpu to {self.cpu_millicpu} millicpu: "
                f"the kernel grants no less than {LEAST_MILLICPU}: ask for {LEAST_MILLICPU} or more"
            )


@dataclass(frozen=True, slots=True)
class Write:
    """`value` into `file` of the run's directory under the hierarchy of the cgroup controller `controller`."""

    controller: str
    file: str
    value: str


def writes_v1(limits: Limits, *, counts_swap: bool) -> tuple[Write, ...]:
    """Return the writes that give a cgroup just made these limits.

    Args:
        counts_swap: whether the kernel has memory.memsw.*; if not, the cgroup is told not to swap.

    Source: Documentation/admin-guide/cgroup-v1/memory.rst, kernel 6.1: memory.memsw.limit_in_bytes
        may not be below memory.limit_in_bytes, so that one is written first. sched-bwc.rst: the period
        of a new cgroup is 100 ms. pids.rst: pids.max.

    >>> [write.file for write in writes_v1(Limits(4096, 500, 10), counts_swap=True)]
    ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'cpu.cfs_quota_us', 'pids.max']
    """
    writes = []
    if limits.memory_bytes is not None:
        value = str(limits.memory_bytes)
        writes.append(Write("memory", "memory.limit_in_bytes", value))
        if counts_swap:
            writes.append(Write("memory", "memory.memsw.limit_in_bytes", value))
        else:
            writes.append(Write("memory", "memory.swappiness", "0"))
    if limits.cpu_millicpu is not None:
        writes.append(Write("cpu", "cpu.cfs_quota_us", str(limits.cpu_millicpu * _MICROSECONDS_PER_MILLICPU)))
    if limits.pids is not None:
        writes.append(Write("pids", "pids.max", str(limits.pids)))
    return tuple(writes)


def rewrites_v1(limits: Limits, *, counts_swap: bool) -> tuple[Write, ...]:
    """Return the writes that give a cgroup these limits whatever limits it had.

    memory.memsw.limit_in_bytes is opened first and set last: that order works up and down.
    """
    memory = "-1" if limits.memory_bytes is None else str(limits.memory_bytes)
    quota = -1 if limits.cpu_millicpu is None else limits.cpu_millicpu * _MICROSECONDS_PER_MILLICPU
    swap = (
        (
            Write("memory", "memory.memsw.limit_in_bytes", "-1"),
            Write("memory", "memory.limit_in_bytes", memory),
            Write("memory", "memory.memsw.limit_in_bytes", memory),
        )
        if counts_swap
        else (
            Write("memory", "memory.swappiness", "60" if limits.memory_bytes is None else "0"),
            Write("memory", "memory.limit_in_bytes", memory),
        )
    )
    return (
        *swap,
        Write("cpu", "cpu.cfs_period_us", str(_PERIOD_MICROSECONDS)),
        Write("cpu", "cpu.cfs_quota_us", str(quota)),
        Write("pids", "pids.max", "max" if limits.pids is None else str(limits.pids)),
    )


def writes_v2(limits: Limits) -> tuple[Write, ...]:
    """Return the writes that give a cgroup these limits, whatever limits it had.

    Source: Documentation/admin-guide/cgroup-v2.rst, kernel 6.1. memory.oom.group: the run is killed
        whole, as a half of it would be no use. cpu.max is "QUOTA PERIOD" in microseconds.

    >>> [write.value for write in writes_v2(Limits(4096, 500, None))]
    ['4096', '0', '1', '50000 100000', 'max']
    """
    limited = limits.memory_bytes is not None
    quota = "max" if limits.cpu_millicpu is None else str(limits.cpu_millicpu * _MICROSECONDS_PER_MILLICPU)
    return (
        Write("memory", "memory.max", str(limits.memory_bytes) if limited else "max"),
        Write("memory", "memory.swap.max", "0" if limited else "max"),
        Write("memory", "memory.oom.group", "1"),
        Write("cpu", "cpu.max", f"{quota} {_PERIOD_MICROSECONDS}"),
        Write("pids", "pids.max", "max" if limits.pids is None else str(limits.pids)),
    )
