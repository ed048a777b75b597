"""Looking at what there is of a job: its run directories, its runtime, what this host can hold to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.types.artifacts import Artifacts
from api.types.job import Job, Reason, Run, RunState, RunVolume
from api.types.job_after import AfterStatus
from api.types.job_spec import InstallPolicy
from controller.capacity.amounts import Need
from controller.contents.store import Contents
from controller.devices.errors import Unusable
from controller.devices.fitting import Fitting
from controller.engine.clock import Clock
from controller.job import after, history, references, uploaded
from controller.job import plan as planning
from controller.job.artifacts import KeptArtifacts
from controller.job.capacity import Capacity
from controller.job.devices import Devices
from controller.job.early import EarlyStarts
from controller.job.host_files import HostFiles
from controller.job.logs import log_directory
from controller.job.networks import Networks
from controller.job.observed import (
    Admitted,
    DevicesFree,
    DevicesMissing,
    NetworkGiven,
    ObservedJob,
    ObservedRun,
    Queued,
    Refused,
    RuntimeMissing,
    RuntimeReady,
    Runtimes,
)
from controller.job.run_dirs import RunDirs, run_id
from controller.job.run_watch import RunWatch
from controller.job.volumes import Volumes, VolumesReady
from controller.job.waiters import Waiters
from controller.launcher import records
from controller.launcher.records import Lost, Plain, Running

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
        capacity: Capacity,
        devices: Devices,
        volumes: Volumes,
        unenforceable: str = "",
        cannot_hold: Callable[[Job, RuntimeReady, Fitting], str] = lambda _job, _runtime, _devices: "",
        forbids: Callable[[Job], str] = lambda _job: "",
        *,
        look: references.Look,
        waiters: Waiters,
        contents: Contents,
        artifacts: KeptArtifacts,
        host_files: HostFiles,
        networks: Networks | None = None,
        early: EarlyStarts | None = None,
    ) -> None:
        """Look below `dirs` and `logs`; `runtimes` says what specs mean, `capacity`, `devices` and `volumes` have room.

        `unenforceable` is why this host cannot hold runs to their limits, empty if it can; `cannot_hold` says so of
        the limits of one job with its devices, and `forbids` why the host's policy forbids one. `look` reads what jobs
        refer to, `waiters` knows which of them wait for which, `contents` are what was uploaded for them, and
        `artifacts` what they left, and `host_files` what they may have of the host; without `networks` no job has any.
        `early` says which runs are made ready before they are due.
        """
        self._clock = clock
        self._boot_id = boot_id
        self._dirs = dirs
        self._logs = logs
        self._runtimes = runtimes
        self._watch = watch
        self._capacity = capacity
        self._devices = devices
        self._volumes = volumes
        self._look = look
        self._waiters = waiters
        self._contents = contents
        self._artifacts = artifacts
        self._host_files = host_files
        self._networks = networks
        self._early = early or EarlyStarts()
        self._unenforceable = unenforceable
        self._cannot_hold = cannot_hold
        self._forbids = forbids

    def observe(self, job: Job) -> ObservedJob:
        """Return what there is of `job`; one that wants to begin a run waits for its turn from now on."""
        self._capacity.look_after(job)
        seen = self._seen(job, Admitted())
        if not (_may_begin(job) and planning.would_begin(job, _with_devices(seen))):
            self._capacity.leave(job.key)
            return seen
        is_early = not job.spec.is_due(seen.now)
        turn = self._capacity.ask(job, self._devices.counts(job.spec.resources.limits.devices), early=is_early)
        if is_early and isinstance(turn, Queued):  # Not before its time.
            return replace(seen, ready_from=None)
        if isinstance(turn, Admitted) and isinstance(seen.devices, DevicesMissing):
            self._capacity.leave(job.key)  # Another daemon has them: others may go on meanwhile.
        return replace(seen, turn=turn)

    def need_of(self, job: Job) -> Need:
        """Return what a run of `job` takes of this host."""
        return self._capacity.need_of(job)

    def look(self, job: Job) -> ObservedJob:
        """Return what there is of `job` on this host, and change nothing."""
        return self._seen(job, self._capacity.peek(job))

    def _seen(self, job: Job, turn: Admitted | Queued) -> ObservedJob:
        now = self._clock.now()
        runtime = self._runtime(job)
        is_due = job.spec.is_due(now)
        may_start = _may_start(job)
        begins = is_due and may_start and _may_begin(job)
        given = given_devices(job)
        devices = self._devices_for(job, begins=begins)
        return ObservedJob(
            now=now,
            boot_id=self._boot_id,
            runs=tuple(self._run(job, attempt) for attempt in self._dirs.attempts(job.meta.uid)),
            runtime=runtime,
            unenforceable=self._unenforceable or self._why_not_held(job, runtime, devices),
            unresolved=self._unresolved(job) if may_start else "",
            logs_present=job.meta.is_deleting and self._log_directory(job).exists(),
            devices=devices,
            devices_gone=self._devices.why_gone(given, given_nodes(job)) if given else "",
            forbidden=self._forbids(job) if may_start else "",
            after=self._after(job),
            is_awaited=_is_to_go(job) and self._waiters.is_awaited(job.key),
            turn=turn,
            artifacts=self._kept(job),
            artifacts_present=job.meta.is_deleting and self._artifacts.present(job.meta.uid),
            volumes=self._volumes.find(job) if begins else VolumesReady(),
            network=self._networks.find(job) if self._networks and begins else NetworkGiven(),
            refused=self._networks.refused(job) if self._networks else Refused(),
            ready_from=self._early.ready_from(job, now),
        )

    def _unresolved(self, job: Job) -> str:
        """Return why a run would lack something that its files or variables are made of; empty if none would."""
        namespace = job.meta.namespace
        problem = references.problem(job, self._look) or uploaded.problem(namespace, job.spec, self._contents)
        if problem or _run_of(job, None):  # A run that was begun has its files of the host by now, or ends.
            return problem
        return self._host_files.problem(namespace, job.spec.files)

    def _kept(self, job: Job) -> Artifacts | None:
        if not (job.spec.artifacts or job.status.artifacts):
            return None
        return self._artifacts.told(job.meta.uid)

    def _devices_for(self, job: Job, *, begins: bool) -> DevicesFree | DevicesMissing:
        if begins:
            return self._devices.find(job)
        self._devices.forget(job.key)
        return DevicesFree()

    def _after(self, job: Job) -> tuple[AfterStatus, ...]:
        """Note first whom the job waits for, then look at them: of what ends in between it is told."""
        if job.spec.after or job.status.after:
            self._waiters.learn(job.to_document())
        if not job.spec.after or job.meta.is_deleting or _has_ended(job):
            return job.status.after if job.spec.after else ()
        others = {each.job: self._look(ObjectKey(JOB.name, job.meta.namespace, each.job)) for each in job.spec.after}
        return after.settle(job, others, self._waiters.cycle(job.key), self._clock.now())

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
        marks = self._dirs.marks(uid, attempt)
        return ObservedRun(
            attempt,
            record,
            frozen=marks.frozen,
            stop_sent_at=marks.stop_sent and marks.stop_sent[0],
            stop_grace_seconds=marks.stop_sent and marks.stop_sent[1],
            may_be_frozen=marks.freezing,
            gives_way=self._capacity.why_preempted(uid, attempt),
            receipt=self._receipt(job, attempt) if isinstance(record, Running | Lost) else None,
        )

    def _receipt(self, job: Job, attempt: int) -> Mapping[str, Plain] | None:
        """Return what a run is held to, unless it is on record; of many runs, it is told at their ends."""
        if job.has_many_runs or any(run.attempt == attempt and run.receipt for run in job.status.runs):
            return None
        return records.read_receipt(self._dirs.path(job.meta.uid, attempt))

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


def _with_devices(seen: ObservedJob) -> ObservedJob:
    """As if it had its devices, where runs of this daemon have them: their turn comes in the same queue."""
    missing = seen.devices
    if (
        isinstance(missing, DevicesMissing)
        and missing.reason == Reason.DEVICES_UNAVAILABLE
        and not missing.is_elsewhere
    ):
        return replace(seen, devices=DevicesFree())
    return seen


def given_devices(job: Job, attempt: int | None = None) -> tuple[str, ...]:
    """Return the devices of run `attempt`; without one, of the run that is on record and may not have been started."""
    run = _run_of(job, attempt)
    return run.devices if run else ()


def given_nodes(job: Job, attempt: int | None = None) -> tuple[str, ...]:
    """Return the host's nodes behind each of the devices that `given_devices` returns, as they were when given."""
    run = _run_of(job, attempt)
    return run.device_nodes if run else ()


def given_volumes(job: Job, attempt: int | None = None) -> tuple[RunVolume, ...]:
    """Return the volumes of a run, told as for `given_devices`."""
    run = _run_of(job, attempt)
    return run.volumes if run else ()


def _run_of(job: Job, attempt: int | None) -> Run | None:
    found = (run for run in job.status.runs if attempt in (None, run.attempt))
    return next((run for run in found if attempt is not None or run.state is RunState.PENDING), None)


def _may_start(job: Job) -> bool:
    """Whether a run of the job may be about to begin; the plan knows, this keeps out those that surely do not."""
    settled = job.status.phase in (("Succeeded", "Failed") if job.has_many_runs else ("Running", "Succeeded", "Failed"))
    return not (job.meta.is_deleting or job.spec.suspend or (settled and _is_seen(job)))


def _has_ended(job: Job) -> bool:
    return job.status.phase in ("Succeeded", "Failed") and _is_seen(job)


def _is_to_go(job: Job) -> bool:
    """Whether the job may be about to be deleted for its time to live."""
    return job.spec.ttl_seconds_after_finished is not None and job.status.phase in ("Succeeded", "Failed")


def _may_begin(job: Job) -> bool:
    """The same, of a run that is not on record so far."""
    if not _may_start(job):
        return False
    active = history.active(job.status.runs)
    if not job.has_many_runs:
        return not active
    return len(active) < job.spec.most_active and all(run.state is not RunState.PENDING for run in active)


def _is_seen(job: Job) -> bool:
    return job.status.observed_generation == job.meta.generation


def is_ended(job: Document, attempt: int) -> bool:
    """Whether run `attempt` is over, by the job's status."""
    runs = job.get("status", {}).get("runs", ())
    found = next((run for run in runs if run["attempt"] == attempt), None)
    return found is None or found["state"] == RunState.ENDED.value
