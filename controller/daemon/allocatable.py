"""What of this host can be promised to runs: all there is, less what is kept back, and no more than all may use.

The Node says the same numbers. What other programs of the host use is theirs to keep within what is kept back.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from api import quantity
from controller.capacity.amounts import CPU, MEMORY, RUNS, STORAGE
from controller.daemon.host import Host
from controller.daemon.host_shares import share
from controller.daemon.settings import Settings, share_of_cpu, share_of_memory

_KIBI = 1 << 10


class HostAmounts:
    """What the host has, and what of it runs can have."""

    def __init__(
        self, host: Host, settings: Settings, disk: Path, devices: Callable[[], dict[str, int]] = lambda: {}
    ) -> None:
        """Count `host`, the disk that `disk` is on, and its devices by kind."""
        self._host = host
        self._settings = settings
        self._disk = disk
        self._devices = devices

    def all(self) -> dict[str, int]:
        """Return what there is."""
        space = os.statvfs(self._disk)
        return {
            CPU: self._host.cpus * 1000,
            MEMORY: _whole(self._host.memory_bytes),
            STORAGE: _whole(space.f_blocks * space.f_frsize),
            RUNS: self._settings.jobs.max_active,
        }

    def for_runs(self) -> dict[str, int]:
        """Return what runs can have together, but for devices."""
        space = os.statvfs(self._disk)
        return dict(self._of_disk(space.f_blocks * space.f_frsize))

    @lru_cache(maxsize=1)  # noqa: B019 -- there is one for as long as the daemon. It is asked for in each pass.
    def _of_disk(self, disk_bytes: int) -> dict[str, int]:
        settings, cgroup, host = self._settings.queue, self._settings.cgroup, self._host
        cpu, memory, storage = host.cpus * 1000, _whole(host.memory_bytes), _whole(disk_bytes)
        cpu_cap = share_of_cpu(cgroup.cpu, host.cpus)
        memory_cap = share_of_memory(cgroup.memory, host.memory_bytes)
        return {
            CPU: _least(cpu - (share(settings.reserved_cpu, cpu, quantity.to_millicpu) or 0), cpu_cap),
            MEMORY: _whole(
                _least(memory - (share(settings.reserved_memory, memory, quantity.to_bytes) or 0), memory_cap)
            ),
            STORAGE: _whole(storage - (share(settings.reserved_storage, storage, quantity.to_bytes) or 0)),
            RUNS: self._settings.jobs.max_active,
        }

    def devices(self) -> dict[str, int]:
        """Return how many devices there are, by kind."""
        return self._devices()


def _least(amount: int, cap: int | None) -> int:
    return max(0, amount if cap is None else min(amount, cap))


def _whole(size: int) -> int:
    """Return a size in whole kibibytes, as Nodes say it."""
    return max(0, size) // _KIBI * _KIBI
