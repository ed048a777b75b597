"""Where runtimes are built on this host: what builds may see of it, and what they must not.

Never here: the sandbox that they run in (`controller/runtime/build/`).
"""

import os
from collections.abc import Callable

from api import quantity
from controller.cgroup import slice as slices
from controller.cgroup.limits import Limits
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.runtime.build import host_config
from controller.runtime.build.sandbox import BuildHost

PIDS = 4096
"""Processes of a build that does not say, at once."""


def build_host(paths: Paths, settings: Settings, memory_bytes: int, why_not: Callable[[], str]) -> BuildHost:
    """Return what builds need to know of this host: its indexes and proxies, and what is the daemon's alone.

    A build that does not say gets three quarters of `memory_bytes`, which is all that the host has.
    `why_not` says why none may begin now.
    """
    found = host_config.look(os.environ)  # noqa: TID251  Which indexes pip, npm and apt use is said in variables too.
    return BuildHost(
        cgroup_parent=cgroup_parent(paths, settings),
        logs=paths.build_logs,
        hidden=(
            paths.runtimes,
            paths.state,
            paths.run,
            paths.logs,
            paths.config.parent,
            paths.manifests,
            paths.inbox,
        ),
        environment=found.environment,
        files=found.files,
        secrets=found.secrets,
        space_floor_bytes=quantity.to_bytes(settings.runtime.minimum_free),
        as_root=settings.runtime.build_as_root,
        default_limits=Limits(memory_bytes=memory_bytes * 3 // 4, cpu_millicpu=None, pids=PIDS),
        why_not=why_not,
    )


def cgroup_parent(paths: Paths, settings: Settings) -> str:
    """Return the cgroup of all builds: not that of runs, whose sweep would end what it does not know."""
    return f"{paths.cgroup_slice(settings)}/{slices.BUILDS}"
