"""The cgroups of this host: looks what it has, and opens the version that can hold every limit, or refuses."""

import errno
from pathlib import Path

from controller.cgroup import detect
from controller.cgroup.detect import Hierarchies
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.cgroup.v1 import CgroupV1
from controller.cgroup.v2 import CgroupV2
from controller.linux import mountinfo


def hierarchies_of_host(proc: str = "/proc") -> Hierarchies:
    """Return what this host has mounted.

    Raises:
        OSError: /proc cannot be read.
    """
    text = mountinfo.decode(Path(proc, "self/mountinfo").read_bytes())
    unified = detect.unified_mount(text)
    controllers = Path(unified, "cgroup.controllers").read_text() if unified else ""
    return detect.detect(text, controllers)


def open_lifecycle(hierarchies: Hierarchies, parent: str) -> Lifecycle:
    """Return the cgroups under `parent`, which is made if it is not there.

    Raises:
        CgroupError: a cgroup controller is missing, so that some limit could not be enforced.
    """
    if hierarchies.missing:
        names = ", ".join(hierarchies.missing)
        cause = OSError(errno.ENODEV, f"cgroup v{hierarchies.version} has no {names} here")
        raise CgroupError("limit runs", cause, _fix(hierarchies))
    return CgroupV1(hierarchies, parent) if hierarchies.version == 1 else CgroupV2(hierarchies, parent)


def _fix(hierarchies: Hierarchies) -> str:
    if hierarchies.version == 2:
        return "enable them in cgroup.subtree_control of the cgroups above, or boot with cgroup_no_v1=all"
    return "mount them below /sys/fs/cgroup, or boot with cgroup_enable=" + ",".join(hierarchies.missing)
