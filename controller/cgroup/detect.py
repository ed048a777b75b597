"""Which cgroup hierarchies a host has, read from the texts of /proc and /sys. Texts, not paths.

Version 2 is used where it has the cgroup controllers that limit a run; a hybrid host, which keeps
them on version 1, is a version 1 host. Nothing is mixed: one run, one version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.linux import mountinfo

NEEDED_V1 = ("memory", "cpu", "cpuacct", "pids", "freezer")
NEEDED_V2 = ("memory", "cpu", "pids")
RARE_V1 = ("blkio", "cpuset")
RARE_V2 = ("io", "cpuset")
"""What only runs with certain limits need: a host without them runs all others."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The version to use, and where each of its cgroup controllers is mounted. What is `missing` cannot be enforced.

    `rare` are those that not every run needs; what is not there is refused to the runs that do.
    """

    version: int
    mounts: Mapping[str, str]
    missing: tuple[str, ...]
    rare: Mapping[str, str] = field(default_factory=dict)


def unified_mount(mountinfo_text: str) -> str | None:
    """Return where the version 2 hierarchy is mounted."""
    for entry in mountinfo.parse(mountinfo_text):
        if entry.filesystem == "cgroup2":
            return entry.mount_point
    return None


def detect(mountinfo_text: str, unified_controllers: str = "") -> Hierarchies:
    """Return the hierarchies to use.

    Args:
        mountinfo_text: /proc/self/mountinfo.
        unified_controllers: cgroup.controllers at the root of the version 2 hierarchy, if there is one.

    Raises:
        ValueError: the text is no mountinfo.
    """
    unified = unified_mount(mountinfo_text)
    on_v2 = set(unified_controllers.split())
    on_v1 = _v1_mounts(mountinfo_text, NEEDED_V1)
    if unified is not None and (on_v2.issuperset(NEEDED_V2) or not on_v1):
        mounts = {controller: unified for controller in NEEDED_V2 if controller in on_v2}
        rare = {controller: unified for controller in RARE_V2 if controller in on_v2}
        return Hierarchies(2, mounts, tuple(name for name in NEEDED_V2 if name not in mounts), rare)
    missing = tuple(name for name in NEEDED_V1 if name not in on_v1)
    return Hierarchies(1, on_v1, missing, _v1_mounts(mountinfo_text, RARE_V1))


def _v1_mounts(mountinfo_text: str, wanted: tuple[str, ...]) -> dict[str, str]:
    """Return the mounts of the controllers in `wanted`. One may hold several, as in /sys/fs/cgroup/cpu,cpuacct."""
    mounts: dict[str, str] = {}
    for entry in mountinfo.parse(mountinfo_text):
        if entry.filesystem == "cgroup":
            for option in entry.super_options:
                if option in wanted:
                    mounts.setdefault(option, entry.mount_point)
    return mounts
