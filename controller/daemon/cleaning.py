"""Leaving a host as it was: ends all runs of a root, the launcher too, and removes their cgroups.

For who is done with a root: trials, tests, an uninstall. What is declared and remembered stays.
"""

import contextlib

from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupError
from controller.cgroup.slice import Slice
from controller.daemon import builds
from controller.daemon import lock as daemon_lock
from controller.daemon.lock import AlreadyRunning
from controller.daemon.networking import clean as clean_networks
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from controller.job.sweep import sweep
from controller.launcher.client import LauncherClient, LauncherError
from controller.runtime.build import sandbox
from controller.volume.backing import Backing


def _volumes(paths: Paths) -> tuple[str, ...]:
    """Unmount all volumes: what they hold stays, but what was in memory."""
    backing = Backing(paths.volumes)
    try:
        return backing.sweep(())
    finally:
        backing.close()


class StillRunning(Exception):
    """The daemon of this root is running: stop it first."""


def clean(settings: Settings, paths: Paths) -> tuple[str, ...]:
    """End and remove everything of this root that is on the host; return what was removed.

    Raises:
        StillRunning: its daemon is running.
        OSError: something cannot be removed.
    """
    if not paths.run.is_dir():
        return ()
    try:
        lock = daemon_lock.take(paths.daemon_lock)
    except AlreadyRunning as error:
        raise StillRunning(f"cannot clean {paths.root}: {error}") from error
    with lock:
        launcher = LauncherClient(paths.launcher_socket, paths.launcher_dir, paths.launcher_log)
        with contextlib.suppress(LauncherError):  # There is none.
            launcher.shutdown()
        try:
            cgroups = choose.open_lifecycle(choose.hierarchies_of_host(), paths.cgroup_parent(settings))
        except CgroupError:
            return ()  # Without cgroups no run was ever started.
        dirs = RunDirs(paths.runs, MemoryPlace(paths.memory_places))
        swept = sweep((), dirs, cgroups, None)  # Logs stay: the jobs are still remembered.
        cgroups.remove_blanks()
        swept += _volumes(paths)
        swept += clean_networks(paths)
        swept += sandbox.sweep(builds.cgroup_parent(paths, settings))
        Slice(choose.hierarchies_of_host(), paths.cgroup_slice(settings)).remove()
        return swept
