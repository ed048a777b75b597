"""Caps on everything together, as values of cgroup files of version 1 and 2. Pure: no I/O."""

from dataclasses import dataclass

UNLIMITED = 1 << 62
_PERIOD_MICROSECONDS = 100_000
_SPARE_PART = 8
"""That part of all processes is for supervisors and the launcher alone."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What everything together may use at most; None is no cap. 1000 millicpu are one CPU."""

    memory_bytes: int | None
    cpu_millicpu: int | None
    pids: int | None

    @property
    def pids_of_leaves(self) -> str:
        """What pids.max is for all runs, and for all builds.

        >>> Caps(None, None, 800).pids_of_leaves, Caps(None, None, None).pids_of_leaves
        ('700', 'max')
        """
        return "max" if self.pids is None else str(self.pids - self.pids // _SPARE_PART)


@dataclass(frozen=True, slots=True)
class Cap:
    """`value` for `file` of the slice, under the hierarchy of `controller`; the setting that it comes from."""

    controller: str
    file: str
    value: str
    setting: str


def caps_v1(caps: Caps) -> tuple[Cap, ...]:
    """Return the values for version 1, in an order that can be written.

    >>> [cap.value for cap in caps_v1(Caps(4096, 500, None))]
    ['4096', '4096', '50000', 'max']
    """
    memory = "-1" if caps.memory_bytes is None else str(caps.memory_bytes)
    quota = "-1" if caps.cpu_millicpu is None else str(caps.cpu_millicpu * _PERIOD_MICROSECONDS // 1000)
    files = [
        Cap("memory", "memory.limit_in_bytes", memory, "cgroup.memory"),
        Cap("memory", "memory.memsw.limit_in_bytes", memory, "cgroup.memory"),
    ]
    if caps.memory_bytes is None:
        files.reverse()
    return (*files, Cap("cpu", "cpu.cfs_quota_us", quota, "cgroup.cpu"), _pids(caps))


def caps_v2(caps: Caps) -> tuple[Cap, ...]:
    """Return the values for version 2. The slice is no unit of its own: out of memory, one run of it is killed.

    >>> [cap.value for cap in caps_v2(Caps(4096, 500, 10))]
    ['4096', '0', '50000 100000', '10']
    """
    limited = caps.memory_bytes is not None
    quota = "max" if caps.cpu_millicpu is None else str(caps.cpu_millicpu * _PERIOD_MICROSECONDS // 1000)
    return (
        Cap("memory", "memory.max", str(caps.memory_bytes) if limited else "max", "cgroup.memory"),
        Cap("memory", "memory.swap.max", "0" if limited else "max", "cgroup.memory"),
        Cap("cpu", "cpu.max", f"{quota} {_PERIOD_MICROSECONDS}", "cgroup.cpu"),
        _pids(caps),
    )


def _pids(caps: Caps) -> Cap:
    return Cap("pids", "pids.max", "max" if caps.pids is None else str(caps.pids), "cgroup.pids")


def number(value: str) -> int:
    """Return what a file says, to be compared; no limit, however it is written, is `UNLIMITED`.

    >>> number("4096"), number("max 100000") == number("-1") == number("9223372036854771712") == UNLIMITED
    (4096, True)
    """
    words = value.split()
    if not words or words[0] == "max":
        return UNLIMITED
    found = int(words[0])
    return UNLIMITED if not 0 <= found < UNLIMITED else found
