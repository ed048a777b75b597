"""What runs have on this host, whatever their jobs say: the cgroups they are held by, and what settings give them."""

import logging
import os
from pathlib import Path

from api import quantity
from controller.cgroup import choose
from controller.cgroup.absent import AbsentCgroups
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.daemon.host import Host
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings, share_of_cpu, share_of_memory
from controller.engine.log import keys
from controller.job.run_spec import RunDefaults
from controller.sandbox.legacy import legacy_binds

_log = logging.getLogger(__name__)


def open_cgroups(parent: str) -> tuple[Lifecycle, str]:
    """Return the cgroups of our runs, or why runs cannot be held to their limits here, which is told to each job."""
    try:
        return choose.open_lifecycle(choose.hierarchies_of_host(), parent), ""
    except CgroupError as error:
        _log.error("cannot limit runs on this host, so none is started", extra=keys(problem=str(error)))
        return AbsentCgroups(str(error)), str(error)


def run_defaults(settings: Settings, paths: Paths, host: Host) -> RunDefaults:
    """Return what a run gets that its job says nothing of."""
    binds, symlinks = legacy_binds(_links(Path("/")), _links(Path("/etc")))
    jobs = settings.jobs
    return RunDefaults(
        pids=jobs.pids,
        memory_bytes=share_of_memory(jobs.memory, host.memory_bytes),
        work_bytes=quantity.to_bytes(jobs.work_size),
        tmp_bytes=quantity.to_bytes(jobs.tmp_size),
        shm_bytes=quantity.to_bytes(jobs.shm_size),
        log_max_bytes=quantity.to_bytes(settings.logs.max_size),
        log_max_files=settings.logs.max_files,
        cgroup_parent=paths.cgroup_parent(settings),
        legacy_binds=binds,
        legacy_symlinks=symlinks,
        needs_landlock=settings.policy.require_landlock,
        cpu_cap_millicpu=share_of_cpu(settings.cgroup.cpu, host.cpus),
        whole_log_bytes=quantity.to_bytes(settings.logs.whole_size),
    )


def _links(directory: Path) -> dict[str, str | None]:
    """Return the names in a directory, each with what it points to if it is a symbolic link."""
    return {entry.name: os.readlink(entry) if entry.is_symlink() else None for entry in directory.iterdir()}
