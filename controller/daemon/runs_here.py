"""What runs have on this host, put together: where they are, who starts them, what holds them and what they get.

Jobs are run with it, and runtimes tried. Never here: what is run, and when.
"""

from dataclasses import dataclass

from api.types.job import Job
from controller.cgroup import choose
from controller.cgroup import slice as slices
from controller.cgroup.lifecycle import Lifecycle
from controller.daemon.held_together import HeldTogether
from controller.daemon.host import Host
from controller.daemon.paths import Paths
from controller.daemon.probing import RuntimeProber
from controller.daemon.run_defaults import open_cgroups, run_defaults
from controller.daemon.settings import Settings
from controller.devices.fitting import Fitting
from controller.job import host_limits
from controller.job.memory_place import MemoryPlace
from controller.job.observed import RuntimeReady
from controller.job.run_dirs import RunDirs
from controller.job.run_spec import RunDefaults
from controller.launcher.client import LauncherClient


@dataclass(frozen=True, slots=True)
class RunsHere:
    """The parts; `unenforceable` says why no run can be held to its limits on this host, empty if they can."""

    dirs: RunDirs
    launcher: LauncherClient
    cgroups: Lifecycle
    unenforceable: str
    held_together: HeldTogether
    defaults: RunDefaults

    def why_not_held(self, job: Job, runtime: RuntimeReady, devices: Fitting) -> str:
        """Return why a run of the job cannot be held to what settings and the host allow; empty if it can."""
        return self.held_together.why_not() or host_limits.why_not(job, runtime, devices, self.defaults)

    def prober(self) -> RuntimeProber | None:
        """Return what tries runtimes out; nobody can where no run could be held to its limits."""
        if self.unenforceable:
            return None
        return RuntimeProber(self.launcher, self.cgroups, self.dirs, self.defaults, self.held_together.why_not)


def open_runs(settings: Settings, paths: Paths, host: Host) -> RunsHere:
    """Return the parts; the launcher is not started, and nothing is swept."""
    slice_name = paths.cgroup_slice(settings)
    cgroups, unenforceable = open_cgroups(paths.cgroup_parent(settings))
    whole = None if unenforceable else slices.Slice(choose.hierarchies_of_host(), slice_name)
    return RunsHere(
        RunDirs(paths.runs, MemoryPlace(paths.memory_places)),
        LauncherClient(
            paths.launcher_socket, paths.launcher_dir, paths.launcher_log, f"{slice_name}/{slices.LAUNCHER}"
        ),
        cgroups,
        unenforceable,
        HeldTogether(whole, settings.cgroup, host),
        run_defaults(settings, paths, host),
    )
