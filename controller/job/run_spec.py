"""A job's run as the launcher is asked for it: a pure function of job, runtime, defaults and paths."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from api.types.job import OUTPUT_ANNOTATION, WHOLE_OUTPUT, Job
from api.types.job_network import HOST
from controller.cgroup.limits import IoLimit, Limits
from controller.devices.fitting import Fitting
from controller.job import history, package_cache
from controller.job.environment import environment
from controller.job.moments import micros
from controller.job.observed import RuntimeMount, RuntimeReady
from controller.job.run_dirs import name_given, run_id
from controller.launcher.network_end import NetworkEnd
from controller.launcher.runspec import Artifacts, RunSpec
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.rights import Rights
from controller.sandbox.spec import Bind, GivenFile, PrivateCopy, SandboxSpec, Scratch, VolumeBind

_NO_DEVICES = Fitting()
_LONGEST_HOST_NAME = 63

_RATES = {
    "readBytes": "read_bytes",
    "writeBytes": "write_bytes",
    "readOperations": "read_operations",
    "writeOperations": "write_operations",
}


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
    needs_landlock: bool = False
    cpu_cap_millicpu: int | None = None  # Of all runs together: none may be promised more.
    whole_log_bytes: int = 0  # Of a run whose output somebody is about to take whole.


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is: its end of its network, which is none in the host's, and whom it asks for names."""

    end: NetworkEnd | None
    name_servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunPlaces:
    """Where one run's records and log go, where its staged files are, and what is to be kept of it."""

    run_dir: Path
    log_dir: Path
    files_dir: Path | None
    given_dir: Path | None = None
    artifacts: Artifacts | None = None
    host_files: tuple[GivenFile, ...] = ()


def limits(job: Job, defaults: RunDefaults, disks: tuple[str, ...] = ()) -> Limits:
    """Return the cgroup limits of the job's runs; `disks` are those that what they see lies on.

    Raises:
        ValueError: io is to be limited, and there is no disk to limit.
    """
    wanted, resources = job.spec.resources.limits, job.spec.resources
    memory = defaults.memory_bytes if wanted.memory_bytes is None else wanted.memory_bytes
    cores = [each for each in (wanted.millicpu, defaults.cpu_cap_millicpu) if each is not None]
    return Limits(
        memory_bytes=memory,
        cpu_millicpu=min(cores) if wanted.millicpu is not None else None,
        pids=wanted.pids or defaults.pids,
        cpu_weight=resources.cpu_weight,
        cpus=resources.cpus,
        io=_io_limits(job, disks),
    )


def _io_limits(job: Job, disks: tuple[str, ...]) -> tuple[IoLimit, ...]:
    io = job.spec.resources.limits.io
    rates = {_RATES[name]: rate for name, rate in io.numbers().items()} if io else {}
    if rates and not disks:
        raise ValueError("spec.resources.limits.io: there is no disk to limit")
    return tuple(IoLimit(disk, **rates) for disk in disks) if rates else ()


def process_limits(job: Job) -> ProcessLimits:
    """Return what each process of the job's runs may have."""
    wanted = job.spec.resources.limits
    return ProcessLimits(wanted.open_files, wanted.file_bytes, wanted.core_bytes)


def tmp_bytes(job: Job, defaults: RunDefaults) -> int:
    """Return the size of the job's /tmp, and of each directory that is copied for it."""
    return job.spec.resources.limits.tmp_bytes or defaults.tmp_bytes


def work_bytes(job: Job, defaults: RunDefaults) -> int:
    """Return the size of the job's /work."""
    return job.spec.resources.limits.storage_bytes or defaults.work_bytes


def rights(job: Job, defaults: RunDefaults) -> Rights:
    """Return what the job's runs may do beyond what all may."""
    spec = job.spec
    return Rights(
        spec.security_profile,
        spec.security_context.added,
        needs_landlock=defaults.needs_landlock,
        host_network=is_on_host(job),
    )


def is_on_host(job: Job) -> bool:
    """Say whether the job's runs are in the host's own network."""
    return job.spec.network is not None and job.spec.network.name == HOST


def run_spec(
    job: Job,
    attempt: int,
    runtime: RuntimeReady,
    places: RunPlaces,
    defaults: RunDefaults,
    deadline_seconds: float | None = None,
    devices: Fitting = _NO_DEVICES,
    *,
    disks: tuple[str, ...] = (),
    device_claim: str | None = None,
    volumes: tuple[VolumeBind, ...] = (),
    place: Place | None = None,
    not_before: datetime | None = None,
) -> RunSpec:
    """Return what the launcher needs to start run `attempt`, which was given `devices`; `disks` as for `limits`.

    `device_claim` is what keeps the devices from all other runs of the host, `volumes` what it sees of its volumes,
    `place` where it is in its network, and `not_before` the moment that its command is held until.

    Raises:
        ValueError: no run can be so.
    """
    identity, index = run_id(job.meta.uid, attempt), history.index_of(job, attempt)
    sandbox = _its_own(sandbox_spec(job, runtime, places.files_dir, defaults, devices, volumes), job, places, place)
    return RunSpec(
        run_id=identity,
        run_dir=str(places.run_dir),
        log_dir=str(places.log_dir),
        argv=(*job.spec.command, *job.spec.args),
        env=environment(job, attempt, runtime.environment, runtime.cache, devices.env),
        cwd=job.spec.working_dir,
        sandbox=sandbox if index is None else replace(sandbox, hostname=_host_name(job.meta.name, index)),
        limits=limits(job, defaults, disks),
        process_limits=process_limits(job),
        cgroup_parent=defaults.cgroup_parent,
        cgroup=identity,
        rights=rights(job, defaults),
        deadline_seconds=deadline_seconds,
        grace_seconds=job.spec.termination_grace_period_seconds,
        log_max_bytes=defaults.log_max_bytes,
        log_max_files=log_files(job.meta.annotations, defaults),
        device_claim=device_claim,
        artifacts=places.artifacts,
        stdin=job.spec.stdin,
        network=place.end if place else None,
        not_before=None if not_before is None else micros(not_before) * 1000,
    )


def _host_name(name: str, index: int) -> str:
    """Return what a run of an index calls its host, as in Kubernetes; where that is too long, the job's name."""
    own = f"{name}-{index}"
    return own if len(own) <= _LONGEST_HOST_NAME else name


def _its_own(sandbox: SandboxSpec, job: Job, places: RunPlaces, place: Place | None) -> SandboxSpec:
    if places.given_dir:
        given = (*_given_files(job), *places.host_files)
        sandbox = replace(sandbox, given_dir=str(places.given_dir), given_files=given)
    if place is None:
        return sandbox
    own = () if place.end is None else tuple(own for own, _ in place.end.ends)
    return replace(sandbox, addresses=own, name_servers=place.name_servers)


def sandbox_spec(
    job: Job,
    runtime: RuntimeReady,
    files_dir: Path | None,
    defaults: RunDefaults,
    devices: Fitting = _NO_DEVICES,
    volumes: tuple[VolumeBind, ...] = (),
) -> SandboxSpec:
    """Return the file system of the job's runs: the runtime's mounts, or the host's read-only directories."""
    if runtime.name:
        binds = tuple(bind for mount in runtime.mounts if mount.read_only for bind in _binds(runtime, mount))
        symlinks: tuple[tuple[str, str], ...] = ()
    else:
        binds, symlinks = defaults.legacy_binds, defaults.legacy_symlinks
    copies = tuple(
        PrivateCopy(mount.source, mount.target, tmp_bytes(job, defaults), within=runtime.path)
        for mount in runtime.mounts
        if not mount.read_only
    )
    cache = package_cache.mount(package_cache.of(job, runtime.cache), tmp_bytes(job, defaults))
    return SandboxSpec(
        hostname=job.meta.name,
        binds=(*binds, cache) if isinstance(cache, Bind) else binds,
        private_copies=copies,
        scratches=(cache,) if isinstance(cache, Scratch) else (),
        symlinks=symlinks,
        work_bytes=work_bytes(job, defaults),
        tmp_bytes=tmp_bytes(job, defaults),
        shm_bytes=job.spec.resources.limits.shm_bytes or defaults.shm_bytes,
        files_dir=str(files_dir) if files_dir else None,
        devices=devices.devices,
        volumes=volumes,
    )


def log_files(annotations: Mapping[str, str], defaults: RunDefaults) -> int:
    """Return how many files of a run's log are kept: more if all of it was asked for, whoever comes to read it late."""
    if annotations.get(OUTPUT_ANNOTATION) != WHOLE_OUTPUT:
        return defaults.log_max_files
    return max(defaults.log_max_files, -(-defaults.whole_log_bytes // defaults.log_max_bytes))


def _given_files(job: Job) -> tuple[GivenFile, ...]:
    uploads = ((file.upload, file) for file in job.spec.files)
    return tuple(GivenFile(name_given(digest), file.path, file.permissions) for digest, file in uploads if digest)


def _binds(runtime: RuntimeReady, mount: RuntimeMount) -> tuple[Bind, ...]:
    if not mount.selective:
        return (Bind(mount.source, mount.target, within=runtime.path),)
    return tuple(
        Bind(f"{mount.source}/{name}", f"{mount.target}/{name}", within=runtime.path) for name in mount.selective
    )
