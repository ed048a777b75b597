"""A job's run as the launcher is asked for it: a pure function of job, runtime, defaults and paths."""

from dataclasses import dataclass
from pathlib import Path

from api.types.job import Job
from controller.cgroup.limits import Limits
from controller.job import package_cache
from controller.job.environment import environment
from controller.job.observed import RuntimeMount, RuntimeReady
from controller.job.run_dirs import run_id
from controller.launcher.runspec import RunSpec
from controller.sandbox.spec import Bind, PrivateCopy, SandboxSpec, Scratch


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """What a job gets that does not say, and what all runs on this host share."""

    pids: int
    memory_bytes: int | None
    work_bytes: int
    tmp_bytes: int
    shm_bytes: int
    log_max_bytes: int
    log_max_files: int
    cgroup_parent: str
    legacy_binds: tuple[Bind, ...] = ()
    legacy_symlinks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RunPlaces:
    """Where one run's records and log go, and where its staged files are."""

    run_dir: Path
    log_dir: Path
    files_dir: Path | None


def limits(job: Job, defaults: RunDefaults) -> Limits:
    """Return the cgroup limits of the job's runs."""
    wanted = job.spec.resources.limits
    memory = defaults.memory_bytes if wanted.memory_bytes is None else wanted.memory_bytes
    return Limits(memory_bytes=memory, cpu_millicpu=wanted.millicpu, pids=wanted.pids or defaults.pids)


def work_bytes(job: Job, defaults: RunDefaults) -> int:
    """Return the size of the job's /work."""
    return job.spec.resources.limits.storage_bytes or defaults.work_bytes


def run_spec(
    job: Job,
    attempt: int,
    runtime: RuntimeReady,
    places: RunPlaces,
    defaults: RunDefaults,
    deadline_seconds: float | None = None,
) -> RunSpec:
    """Return what the launcher needs to start run `attempt`."""
    identity = run_id(job.meta.uid, attempt)
    return RunSpec(
        run_id=identity,
        run_dir=str(places.run_dir),
        log_dir=str(places.log_dir),
        argv=(*job.spec.command, *job.spec.args),
        env=environment(job, attempt, runtime.environment, runtime.cache),
        cwd=job.spec.working_dir,
        sandbox=sandbox_spec(job, runtime, places.files_dir, defaults),
        limits=limits(job, defaults),
        cgroup_parent=defaults.cgroup_parent,
        cgroup=identity,
        deadline_seconds=deadline_seconds,
        grace_seconds=job.spec.termination_grace_period_seconds,
        log_max_bytes=defaults.log_max_bytes,
        log_max_files=defaults.log_max_files,
    )


def sandbox_spec(job: Job, runtime: RuntimeReady, files_dir: Path | None, defaults: RunDefaults) -> SandboxSpec:
    """Return the file system of the job's runs: the runtime's mounts, or the host's read-only directories."""
    if runtime.name:
        binds = tuple(bind for mount in runtime.mounts if mount.read_only for bind in _binds(runtime, mount))
        symlinks: tuple[tuple[str, str], ...] = ()
    else:
        binds, symlinks = defaults.legacy_binds, defaults.legacy_symlinks
    copies = tuple(
        PrivateCopy(mount.source, mount.target, defaults.tmp_bytes, within=runtime.path)
        for mount in runtime.mounts
        if not mount.read_only
    )
    cache = package_cache.mount(runtime.cache, defaults.tmp_bytes) if runtime.cache else None
    return SandboxSpec(
        hostname=job.meta.name,
        binds=(*binds, cache) if isinstance(cache, Bind) else binds,
        private_copies=copies,
        scratches=(cache,) if isinstance(cache, Scratch) else (),
        symlinks=symlinks,
        work_bytes=work_bytes(job, defaults),
        tmp_bytes=defaults.tmp_bytes,
        shm_bytes=defaults.shm_bytes,
        files_dir=str(files_dir) if files_dir else None,
    )


def _binds(runtime: RuntimeReady, mount: RuntimeMount) -> tuple[Bind, ...]:
    if not mount.selective:
        return (Bind(mount.source, mount.target, within=runtime.path),)
    return tuple(
        Bind(f"{mount.source}/{name}", f"{mount.target}/{name}", within=runtime.path) for name in mount.selective
    )
