"""Looking at what there is of a job: its run directories, its runtime, what this host can hold to."""

from collections.abc import Callable
from pathlib import Path

from api.meta import Document
from api.types.job import Job, Run, RunState
from api.types.job_spec import InstallPolicy
from controller.devices.errors import Unusable
from controller.devices.fitting import Fitting
from controller.engine.clock import Clock
from controller.job import history, references
from controller.job.crowd import Crowd
from controller.job.devices import Devices
from controller.job.logs import log_directory
from controller.job.observed import (
    DevicesFree,
    DevicesMissing,
    ObservedJob,
    ObservedRun,
    RuntimeMissing,
    RuntimeReady,
    Runtimes,
)
from controller.job.run_dirs import RunDirs, run_id
from controller.job.run_watch import RunWatch
from controller.launcher import records
from controller.launcher.records import Running

_NO_RUNTIME = RuntimeReady()


class Observer:
    """Looks at the host for one job at a time; sees to it that the end of a running run is noticed."""

    def __init__(
        self,
        clock: Clock,
        boot_id: str,
        dirs: RunDirs,
        logs: Path,
        runtimes: Runtimes,
        watch: RunWatch,
        crowd: Crowd,
        devices: Devices,
        unenforceable: str = "",
        cannot_hold: Callable[[Job, RuntimeReady, Fitting], str] = lambda _job, _runtime, _devices: "",
        forbids: Callable[[Job], str] = lambda _job: "",
        *,
        look: references.Look,
    ) -> None:
        """Look below `dirs` and `logs`, with `runtimes` for what a runtime spec means, `crowd` and `devices` for room.

        `unenforceable` is why this host cannot hold runs to their limits, empty if it can; `cannot_hold` says so of
        the limits of one job with its devices, and `forbids` why the host's policy forbids one. `look` reads what jobs
        refer to.
        """
        self._clock = clock
        self._boot_id = boot_id
        self._dirs = dirs
        self._logs = logs
        self._runtimes = runtimes
        self._watch = watch
        self._crowd = crowd
        self._devices = devices
        self._look = look
        self._unenforceable = unenforceable
        self._cannot_hold = cannot_hold
        self._forbids = forbids

    def observe(self, job: Job) -> ObservedJob:
        """Return what there is of `job` on this host."""
        runtime = self._runtime(job)
        devices = self._devices.find(job) if _may_begin(job) else DevicesFree()
        return ObservedJob(
            now=self._clock.now(),
            boot_id=self._boot_id,
            runs=tuple(self._run(job, attempt) for attempt in self._dirs.attempts(job.meta.uid)),
            runtime=runtime,
            unenforceable=self._unenforceable or self._why_not_held(job, runtime, devices),
            crowded=self._crowd.why_full(job.key) if _may_start(job) else "",
            unresolved=references.problem(job, self._look) if _may_start(job) else "",
            logs_present=job.meta.is_deleting and self._log_directory(job).exists(),
            devices=devices,
            devices_gone=self._devices.why_gone(given_devices(job), given_nodes(job)),
            forbidden=self._forbids(job),
        )

    def _why_not_held(
        self, job: Job, runtime: RuntimeReady | RuntimeMissing, devices: DevicesFree | DevicesMissing
    ) -> str:
        if isinstance(runtime, RuntimeMissing) or not _may_start(job):
            return ""
        names = devices.names if isinstance(devices, DevicesFree) else ()
        try:
            return self._cannot_hold(job, runtime, self._devices.fit(names or given_devices(job)))
        except Unusable:  # What is not there limits nothing: the plan looks at that by itself.
            return self._cannot_hold(job, runtime, Fitting())

    def _run(self, job: Job, attempt: int) -> ObservedRun:
        uid = job.meta.uid
        record = records.observe(self._dirs.path(uid, attempt))
        if isinstance(record, Running):
            self._watch.watch(run_id(uid, attempt), job.key, record)
        stop = self._dirs.stop_sent(uid, attempt)
        return ObservedRun(
            attempt,
            record,
            frozen=self._dirs.is_frozen(uid, attempt),
            stop_sent_at=stop and stop[0],
            stop_grace_seconds=stop and stop[1],
            may_be_frozen=self._dirs.may_be_frozen(uid, attempt),
        )

    def _runtime(self, job: Job) -> RuntimeReady | RuntimeMissing:
        if job.spec.runtime is None:
            return _NO_RUNTIME
        pinned = self.pinned_runtime(job)
        may_install = job.spec.install_policy is InstallPolicy.IF_NOT_PRESENT
        return self._runtimes.find(pinned or job.spec.runtime, may_install=may_install)

    @staticmethod
    def pinned_runtime(job: Job) -> str | None:
        """Return the version that the job resolved to once: a later install does not change a retried job."""
        same = job.status.template_hash == job.spec.template_hash()
        begun = bool(history.of_present(job, job.status.runs))
        return job.status.resolved_runtime or None if same and begun else None

    def _log_directory(self, job: Job) -> Path:
        metadata: Document = {"namespace": job.meta.namespace, "name": job.meta.name, "uid": job.meta.uid}
        return log_directory(self._logs, metadata)


def given_devices(job: Job, attempt: int | None = None) -> tuple[str, ...]:
    """Return the devices of run `attempt`; without one, of the run that is on record and may not have been started."""
    run = _run_of(job, attempt)
    return run.devices if run else ()


def given_nodes(job: Job, attempt: int | None = None) -> tuple[str, ...]:
    """Return the host's nodes behind each of the devices that `given_devices` returns, as they were when given."""
    run = _run_of(job, attempt)
    return run.device_nodes if run else ()


def _run_of(job: Job, attempt: int | None) -> Run | None:
    found = (run for run in job.status.runs if attempt in (None, run.attempt))
    return next((run for run in found if attempt is not None or run.state is RunState.PENDING), None)


def _may_start(job: Job) -> bool:
    """Whether a run of the job may be about to begin; the plan knows, this keeps out those that surely do not."""
    settled = job.status.phase in ("Running", "Succeeded", "Failed")
    return not (job.meta.is_deleting or job.spec.suspend or (settled and _is_seen(job)))


def _may_begin(job: Job) -> bool:
    """The same, of a run that is not on record so far."""
    return _may_start(job) and not history.active(job.status.runs)


def _is_seen(job: Job) -> bool:
    return job.status.observed_generation == job.meta.generation


def is_ended(job: Document, attempt: int) -> bool:
    """Whether run `attempt` is over, by the job's status."""
    runs = job.get("status", {}).get("runs", ())
    found = next((run for run in runs if run["attempt"] == attempt), None)
    return found is None or found["state"] == RunState.ENDED.value
