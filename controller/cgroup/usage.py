"""What a cgroup used: the numbers, their parsers (pure, they take text), and a reader with its files open.

The files are opened once, so that reading goes on working after a process gave up its view of
/sys and every right it had.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cgroup used and uses. `memory_peak_bytes` is None where the kernel keeps none (version 2 before 5.19).

    `oom_kills` is the kernel's count: on version 1 the processes killed for memory, on version 2 at least as many,
    for there the whole run is killed, and the process it began with counted once more.
    Source: oom_kill_process() in mm/oom_kill.c, Linux 6.1.
    """

    cpu_seconds: float
    cpu_throttled_seconds: float
    cpu_throttled_periods: int
    memory_bytes: int
    memory_peak_bytes: int | None
    pids: int
    oom_kills: int


FILES_V1 = (
    ("cpuacct", "cpuacct.usage"),
    ("cpu", "cpu.stat"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.max_usage_in_bytes"),
    ("pids", "pids.current"),
    ("memory", "memory.oom_control"),
)
FILES_V2 = (
    ("cpu", "cpu.stat"),
    ("memory", "memory.current"),
    ("memory", "memory.peak"),
    ("pids", "pids.current"),
    ("memory", "memory.events"),
)


def flat_keyed(text: str) -> dict[str, int]:
    r"""Read lines of a name and a number.

    >>> flat_keyed("nr_periods 3\nthrottled_time 17\n")
    {'nr_periods': 3, 'throttled_time': 17}
    """
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def parse_v1(texts: tuple[str, ...]) -> Usage:
    """Read the texts of `FILES_V1`. Times are in nanoseconds there.

    Raises:
        ValueError: a text is not what it should be.
    """
    cpuacct, cpu, memory, peak, pids, oom = texts
    throttling = flat_keyed(cpu)
    return Usage(
        cpu_seconds=int(cpuacct) / 1e9,
        cpu_throttled_seconds=throttling.get("throttled_time", 0) / 1e9,
        cpu_throttled_periods=throttling.get("nr_throttled", 0),
        memory_bytes=int(memory),
        memory_peak_bytes=int(peak),
        pids=int(pids),
        oom_kills=flat_keyed(oom).get("oom_kill", 0),
    )


def parse_v2(texts: tuple[str, ...]) -> Usage:
    """Read the texts of `FILES_V2`; an empty one is a file that this kernel lacks. Times are in microseconds there.

    Raises:
        ValueError: a text is not what it should be.
    """
    cpu, memory, peak, pids, events = texts
    times = flat_keyed(cpu)
    return Usage(
        cpu_seconds=times["usage_usec"] / 1e6,
        cpu_throttled_seconds=times.get("throttled_usec", 0) / 1e6,
        cpu_throttled_periods=times.get("nr_throttled", 0),
        memory_bytes=int(memory),
        memory_peak_bytes=int(peak) if peak else None,
        pids=int(pids),
        oom_kills=flat_keyed(events).get("oom_kill", 0),
    )


@dataclass(slots=True)
class UsageReader:
    """Open files of one cgroup. `fds` are its descriptors, -1 for a file this kernel lacks."""

    fds: tuple[int, ...]
    parse: Callable[[tuple[str, ...]], Usage]

    def read(self) -> Usage:
        """Return what the cgroup used until now.

        Raises:
            OSError: ENODEV once the cgroup is removed.
        """
        return self.parse(tuple(read_again(fd) if fd >= 0 else "" for fd in self.fds))

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_again(fd: int) -> str:
    """Return what the open kernel file says now, read from its start."""
    return os.pread(fd, 65536, 0).decode()
