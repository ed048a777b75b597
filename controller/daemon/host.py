"""What this host is and can do, looked at once at start: refused with a message if it cannot.

Facts only; what follows from them is decided where they are used.
"""

import os
import platform
import re
import socket
from dataclasses import dataclass
from pathlib import Path

OLDEST_KERNEL = (5, 12)
_NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")


class HostError(Exception):
    """This host cannot run sandboxes; each line of the message names a cause and its fix."""


@dataclass(frozen=True, slots=True)
class Host:
    """Facts about this host."""

    name: str
    machine: str
    kernel: tuple[int, int]
    boot_id: str
    memory_bytes: int
    cpus: int
    pids: int  # As many processes and threads as the kernel can have.


def look() -> Host:
    """Return the facts about this host."""
    return Host(
        name=re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower()) or "localhost",
        machine=platform.machine(),
        kernel=kernel_version(os.uname().release),
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cpus=os.cpu_count() or 1,
        pids=min(int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")),
    )


def kernel_version(release: str) -> tuple[int, int]:
    """Return major and minor of a kernel release.

    >>> kernel_version("6.1.0-18-amd64")
    (6, 1)
    """
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def require(host: Host) -> None:
    """Check that sandboxes can be built here.

    Raises:
        HostError: something is missing; the message says what and what to do.
    """
    problems = []
    if os.geteuid() != 0:
        problems.append("runwrightd must be started by root, to make namespaces and cgroups: use sudo or a system unit")
    if host.kernel < OLDEST_KERNEL:
        have, need = ".".join(map(str, host.kernel)), ".".join(map(str, OLDEST_KERNEL))
        problems.append(f"kernel {have} has no mount_setattr: runwright needs {need} or newer")
    missing = [name for name in _NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    if missing:
        problems.append(f"this kernel has no {', '.join(missing)} namespaces: boot one that does")
    limit = Path("/proc/sys/user/max_user_namespaces")
    if limit.exists() and limit.read_text().strip() == "0":
        problems.append("user namespaces are switched off: sysctl -w user.max_user_namespaces=15000")
    if problems:
        raise HostError("\n".join(problems))
