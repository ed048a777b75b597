"""Limits to writes of cgroup files, for version 1 and version 2. Pure: no I/O.

The order of the writes is part of the answer: carry them out as they come.
Invariant: a limit on memory is a limit on memory and swap together; nothing is swapped around it.
"""

import re
from dataclasses import dataclass

from controller.cgroup import cpus

_PERIOD_MICROSECONDS = 100_000
_MICROSECONDS_PER_MILLICPU = _PERIOD_MICROSECONDS // 1000
LEAST_MILLICPU = 10
"""The kernel refuses a quota under 1 ms of each period. Source: kernel/sched/core.c, min_cfs_quota_period."""
LEAST_RATE = 2
"""Version 2 refuses 1. Source: block/blk-throttle.c, tg_set_limit()."""
USUAL_WEIGHT = 100
MOST_WEIGHT = 10_000
_USUAL_SHARES = 1024
_DEVICE = re.compile(r"[0-9]+:[0-9]+")


@dataclass(frozen=True, slots=True)
class IoLimit:
    """What a run may read from and write to one disk, each second; None is no limit. `device` is MAJOR:MINOR."""

    device: str
    read_bytes: int | None = None
    write_bytes: int | None = None
    read_operations: int | None = None
    write_operations: int | None = None

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"cannot limit io of {self.device!r}: a device is MAJOR:MINOR")
        if any(rate is not None and rate < LEAST_RATE for rate in self.rates):
            raise ValueError(f"cannot limit io of {self.device} to less than {LEAST_RATE}: ask for more")

    @property
    def rates(self) -> tuple[int | None, ...]:
        """Bytes read and written, operations read and written: the order of all that is written of them."""
        return (self.read_bytes, self.write_bytes, self.read_operations, self.write_operations)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use at most; None is no limit. 1000 millicpu are one CPU.

    `cpu_weight` is a share of busy CPUs beside others, of which each has 100; `cpus` are the only ones it may run on,
    none is all.

    >>> Limits(memory_bytes=None, cpu_millicpu=5, pids=None)
    Traceback (most recent call last):
    ...
    ValueError: cannot limit cpu to 5 millicpu: the kernel grants no less than 10: ask for 10 or more
    """

    memory_bytes: int | None
    cpu_millicpu: int | None
    pids: int | None
    cpu_weight: int | None = None
    cpus: tuple[int, ...] = ()
    io: tuple[IoLimit, ...] = ()

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
        if self.cpu_weight is not None and not 1 <= self.cpu_weight <= MOST_WEIGHT:
            raise ValueError(f"cannot give cpu a weight of {self.cpu_weight}: ask for 1 to {MOST_WEIGHT}")
        if any(cpu < 0 for cpu in self.cpus):
            raise ValueError(f"cannot use CPU {min(self.cpus)}: CPUs are numbered from 0")

    @property
    def cpu_list(self) -> str:
        """The numbers of `cpus` as the kernel reads them."""
        return cpus.text(self.cpus)


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
    if limits.cpu_weight is not None:
        writes.append(Write("cpu", "cpu.shares", str(shares(limits.cpu_weight))))
    return (*writes, *_rare_v1(limits))


def shares(weight: int) -> int:
    """Return version 1's cpu.shares for a weight of version 2, as systemd has it: proportions stay what they were.

    >>> shares(100), shares(1), shares(10_000)
    (1024, 10, 102400)
    """
    return weight * _USUAL_SHARES // USUAL_WEIGHT


def _rare_v1(limits: Limits) -> tuple[Write, ...]:
    """Return the writes for cgroup controllers that few runs need. Source: blkio-controller.rst, cpusets.rst."""
    cpus = (Write("cpuset", "cpuset.cpus", limits.cpu_list),) if limits.cpus else ()
    throttles = (
        Write("blkio", f"blkio.throttle.{what}_device", f"{disk.device} {rate}")
        for disk in limits.io
        for what, rate in zip(("read_bps", "write_bps", "read_iops", "write_iops"), disk.rates, strict=True)
        if rate is not None
    )
    return (*cpus, *throttles)


def rewrites_v1(limits: Limits, *, counts_swap: bool) -> tuple[Write, ...]:
    """Return the writes that give a cgroup these limits whatever limits it had; of CPUs and io, those that it names.

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
        Write("cpu", "cpu.shares", str(shares(limits.cpu_weight or USUAL_WEIGHT))),
        *_rare_v1(limits),
    )


def writes_v2(limits: Limits) -> tuple[Write, ...]:
    """Return the writes that give a cgroup these limits, whatever limits it had; of CPUs and io, those that it names.

    Source: Documentation/admin-guide/cgroup-v2.rst, kernel 6.1. memory.oom.group: the run is killed
        whole, as a half of it would be no use. cpu.max is "QUOTA PERIOD" in microseconds.

    >>> [write.value for write in writes_v2(Limits(4096, 500, None))]
    ['4096', '0', '1', '50000 100000', 'max']
    >>> writes_v2(Limits(None, None, None, io=(IoLimit("8:0", read_bytes=4096),)))[-1].value
    '8:0 rbps=4096 wbps=max riops=max wiops=max'
    """
    limited = limits.memory_bytes is not None
    quota = "max" if limits.cpu_millicpu is None else str(limits.cpu_millicpu * _MICROSECONDS_PER_MILLICPU)
    return (
        Write("memory", "memory.max", str(limits.memory_bytes) if limited else "max"),
        Write("memory", "memory.swap.max", "0" if limited else "max"),
        Write("memory", "memory.oom.group", "1"),
        Write("cpu", "cpu.max", f"{quota} {_PERIOD_MICROSECONDS}"),
        Write("pids", "pids.max", "max" if limits.pids is None else str(limits.pids)),
        *((Write("cpu", "cpu.weight", str(limits.cpu_weight)),) if limits.cpu_weight is not None else ()),
        *((Write("cpuset", "cpuset.cpus", limits.cpu_list),) if limits.cpus else ()),
        *(Write("io", "io.max", f"{disk.device} {_rates_v2(disk)}") for disk in limits.io),
    )


def _rates_v2(disk: IoLimit) -> str:
    return " ".join(
        f"{name}={'max' if rate is None else rate}"
        for name, rate in zip(("rbps", "wbps", "riops", "wiops"), disk.rates, strict=True)
    )
