"""This host as a core/v1 Node: what it has, what runs can have of it, and whether it is short of anything.

Facts are read each time that somebody asks. Here: which number is which of Kubernetes' words. Never here: what
follows from a condition.
"""

import os
import platform
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from api.meta import Document, wire_time
from api.ports import HostUsage
from api.version import VERSION
from controller.capacity.amounts import MEMORY, STORAGE, wire
from controller.daemon import host_usage
from controller.daemon.allocatable import HostAmounts
from controller.daemon.host import Host
from controller.engine.clock import Clock

_MEMORY_PRESSURE_BYTES = 100 << 20
"""Source: kubelet's default eviction threshold, memory.available<100Mi."""
_PID_PRESSURE_SHARE = 0.9
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PROC = Path("/proc")


class NodeReport:
    """Implements `api.ports.HostReport`."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        disk: Path,
        amounts: HostAmounts,
        most_used_percent: float,
        is_ready: Callable[[], str],
    ) -> None:
        """Report of `host`, its `amounts` and the disk of `disk`; `is_ready` says what is wrong, or an empty string."""
        self._host = host
        self._clock = clock
        self._disk = disk
        self._amounts = amounts
        self._most_used_percent = most_used_percent
        self._is_ready = is_ready
        self._since: dict[str, tuple[str, str]] = {}
        self._created = wire_time(clock.now())

    def node(self) -> Document:
        """Return the host as it is now."""
        host = self._host
        arch = _ARCHITECTURES.get(host.machine, host.machine)
        labels = {"kubernetes.io/hostname": host.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch}
        space = os.statvfs(self._disk)
        devices = self._amounts.devices()
        return {
            "metadata": {
                "name": host.name, "uid": host.boot_id, "creationTimestamp": self._created, "labels": labels
            },
            "spec": {},
            "status": {
                "capacity": _quantities({**self._amounts.all(), **devices}),
                "allocatable": _quantities({**self._amounts.for_runs(), **devices}),
                "conditions": self._conditions(space, self._clock.now()),
                "addresses": [{"type": "Hostname", "address": host.name}],
                "nodeInfo": _info(host, arch),
            },
        }  # fmt: skip

    def usage(self) -> HostUsage:
        """Return what the host uses now."""
        return host_usage.look(self._disk)

    def _conditions(self, space: os.statvfs_result, now: datetime) -> list[Document]:
        used = 100.0 * (1 - space.f_bavail / max(1, space.f_blocks))
        memory = available_memory((_PROC / "meminfo").read_text())
        share = tasks((_PROC / "loadavg").read_text()) / self._host.pids
        problem = self._is_ready()
        found = (
            ("MemoryPressure", memory < _MEMORY_PRESSURE_BYTES, "Memory", f"{memory >> 20} MiB are available"),
            ("DiskPressure", used > self._most_used_percent, "Disk", f"{used:.0f} % of the disk are used"),
            ("PIDPressure", share > _PID_PRESSURE_SHARE, "PID", f"{share:.0%} of the process ids are used"),
        )
        pressures = [
            self._condition(type_, is_true, f"Has{'Insufficient' if is_true else 'Sufficient'}{word}", message, now)
            for type_, is_true, word, message in found
        ]
        reason = "NotReady" if problem else "RunwrightReady"
        return [*pressures, self._condition("Ready", not problem, reason, problem or "runs can be started", now)]

    def _condition(self, type_: str, is_true: bool, reason: str, message: str, now: datetime) -> Document:  # noqa: FBT001
        status = str(is_true)
        before, since = self._since.get(type_, ("", ""))
        if status != before:
            since = wire_time(now)
            self._since[type_] = (status, since)
        return {
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": wire_time(now), "lastTransitionTime": since,
        }  # fmt: skip


def _quantities(amounts: Mapping[str, int]) -> dict[str, str]:
    """Return amounts as Kubernetes' nodes say them: sizes in kibibytes."""
    sizes = (MEMORY, STORAGE)
    return {name: f"{amount >> 10}Ki" if name in sizes else wire(name, amount) for name, amount in amounts.items()}


def _info(host: Host, arch: str) -> dict[str, str]:
    machine_id = Path("/etc/machine-id")
    release = Path("/etc/os-release")
    return {
        "architecture": arch,
        "bootID": host.boot_id,
        "containerRuntimeVersion": f"runwright://{VERSION}",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": f"v{VERSION}",
        "machineID": machine_id.read_text().strip() if machine_id.exists() else host.boot_id,
        "operatingSystem": "linux",
        "osImage": os_image(release.read_text() if release.exists() else ""),
        "systemUUID": host.boot_id,
    }


def os_image(release: str) -> str:
    """Return the name of the operating system that an os-release file gives.

    >>> os_image('NAME="Debian"\\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\\n')
    'Debian GNU/Linux 12 (bookworm)'
    """
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', release, re.MULTILINE)
    return match[1] if match else "Linux"


def available_memory(meminfo: str) -> int:
    """Return the bytes that are available according to /proc/meminfo; all there could be if it does not say.

    >>> available_memory("MemTotal: 9 kB\\nMemAvailable:  4 kB\\n")
    4096
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match[1]) << 10 if match else 1 << 62


def tasks(loadavg: str) -> int:
    """Return how many tasks there are according to /proc/loadavg.

    >>> tasks("0.5 0.4 0.3 2/345 6789")
    345
    """
    match = re.search(r"\d+/(\d+)", loadavg)
    return int(match[1]) if match else 0
