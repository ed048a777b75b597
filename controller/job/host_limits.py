"""What of a job's limits depends on this host: the disks behind what it sees, its CPUs, its cgroup controllers.

Looked at when a run is about to start and its job asks for such a limit; other jobs cost nothing here.
Invariant: what cannot be held is said, with the field and the reason, and no run starts without it.
"""

import resource
from collections.abc import Callable
from pathlib import Path

from api.types.job import Job
from controller.cgroup import choose, cpus
from controller.cgroup.disks import Disks, NoDisk
from controller.devices.fitting import Fitting
from controller.job import run_spec
from controller.job.observed import RuntimeReady
from controller.job.run_spec import RunDefaults
from controller.linux import core_pattern, procfs
from controller.linux.capabilities import Capability
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.spec import Bind, SandboxSpec, VolumeBind


class Unenforceable(Exception):
    """This host cannot hold the job to a limit that it asks for; the message names the field and the reason."""


def why_not(job: Job, runtime: RuntimeReady, devices: Fitting, defaults: RunDefaults) -> str:
    """Return why no run of `job` with these devices can be held to its limits on this host; empty if it can be."""
    try:
        disks(job, runtime, devices, defaults)
    except Unenforceable as error:
        return str(error)
    return ""


def disks(
    job: Job, runtime: RuntimeReady, devices: Fitting, defaults: RunDefaults, volumes: tuple[VolumeBind, ...] = ()
) -> tuple[str, ...]:
    """Return the disks whose io is to be limited, having checked all else; none if the job asks for no such limit.

    `volumes` are those that a run has, mounted.

    Raises:
        Unenforceable: this host cannot hold the job to a limit.
    """
    resources = job.spec.resources
    _check_cpus(resources.cpus)
    _check_open_files(resources.limits.open_files)
    if why := why_no_cores(resources.limits.core_bytes, core_pattern.read):
        raise Unenforceable(why)
    wanted = resources.limits.io
    if wanted is None or not wanted.numbers():
        return ()
    _check_controller("io", "blkio", "spec.resources.limits.io")
    return disks_behind(run_spec.sandbox_spec(job, runtime, None, defaults, devices, volumes))


def disks_behind(sandbox: SandboxSpec) -> tuple[str, ...]:
    """Return the disks that a run in this sandbox reads from or writes to, by files or as a device of its own.

    Raises:
        Unenforceable: some of what it sees is on none, or all of it is.
    """
    binds: tuple[Bind | VolumeBind, ...] = (*sandbox.binds, *sandbox.volumes)
    paths = [bind.source if bind.within is None else f"{bind.within}/{bind.source}" for bind in binds]
    paths += [file.source for file in sandbox.devices.files]
    nodes = [node for node in sandbox.devices.nodes if node.kind == "b"]
    try:
        host = Disks.of_host()
        whole = {host.of_node(f"{node.major}:{node.minor}", node.path) for node in nodes}
        found = tuple(sorted({*host.behind(paths), *whole}))
    except (NoDisk, OSError) as error:
        raise Unenforceable(f"spec.resources.limits.io: {error}: leave it out, or have it on a disk") from error
    if not found:
        raise Unenforceable("spec.resources.limits.io: all that the job sees is in memory: there is no disk to limit")
    return found


def _check_cpus(wanted: tuple[int, ...]) -> None:
    if not wanted:
        return
    there = cpus.online()
    if absent := sorted(set(wanted) - set(there)):
        missing = cpus.text(tuple(absent))
        raise Unenforceable(f"spec.resources.cpuSet: this host has no CPU {missing}: it has {cpus.text(there)}")
    _check_controller("cpuset", "cpuset", "spec.resources.cpuSet")


def most_open_files() -> int:
    """Return how many open files a process of a run can be allowed: by the kernel, or by what root may here."""
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    own = procfs.parse_status(Path("/proc/self/status").read_text())
    if own.effective_capabilities >> Capability.SYS_RESOURCE & 1:
        return most
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _check_open_files(wanted: int | None) -> None:
    if wanted is not None and wanted > (most := most_open_files()):
        raise Unenforceable(f"spec.resources.limits.openFiles: this host allows {most}: ask for less")


def why_no_cores(wanted: int | None, read_pattern: Callable[[], str]) -> str:
    """Return why no core file of `wanted` bytes can be left on this host; empty if it can be, or none is wanted."""
    if not ProcessLimits(core_bytes=wanted).leaves_cores:
        return ""
    pattern = read_pattern()
    if not (core_pattern.is_program(pattern) or core_pattern.is_socket(pattern)):
        return ""
    cause = f"this host's kernel.core_pattern is {pattern}, which is told of crashes in full and leaves no file"
    return f"spec.resources.limits.coreSize: {cause}: leave it out, or set that to the name of a file"


def _check_controller(on_v2: str, on_v1: str, field: str) -> None:
    host = choose.hierarchies_of_host()
    name = on_v2 if host.version == 2 else on_v1
    if name not in host.rare:
        raise Unenforceable(f"{field}: cgroup v{host.version} has no {name} on this host: leave it out, or enable it")
