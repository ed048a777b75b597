"""Looking at what there is of a job: its run directories, its runtime, what this host can hold to."""

from pathlib import Path

from api.meta import Document
from api.types.job import Job, RunState
from api.types.job_spec import InstallPolicy
from controller.engine.clock import Clock
from controller.job import history, references
from controller.job.crowd import Crowd
from controller.job.logs import log_directory
from controller.job.observed import ObservedJob, ObservedRun, RuntimeMissing, RuntimeReady, Runtimes
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
        unenforceable: str = "",
        *,
        look: references.Look,
    ) -> None:
        """Look below `dirs` and `logs`, with `runtimes` for what a runtime spec means and `crowd` for room.

        `unenforceable` is why this host cannot hold runs to their limits, empty if it can. `look` reads what jobs
        refer to.
        """
        self._clock = clock
        self._boot_id = boot_id
        self._dirs = dirs
        self._logs = logs
        self._runtimes = runtimes
        self._watch = watch
        self._crowd = crowd
        self._look = look
        self._unenforceable = unenforceable

    def observe(self, job: Job) -> ObservedJob:
        """Return what there is of `job` on this host."""
        return ObservedJob(
            now=self._clock.now(),
            boot_id=self._boot_id,
            runs=tuple(self._run(job, attempt) for attempt in self._dirs.attempts(job.meta.uid)),
            runtime=self._runtime(job),
            unenforceable=self._unenforceable,
            crowded=self._crowd.why_full(job.key) if _may_start(job) else "",
            unresolved=references.problem(job, self._look) if _may_start(job) else "",
            logs_present=job.meta.is_deleting and self._log_directory(job).exists(),
        )

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


def _may_start(job: Job) -> bool:
    """Whether a run of the job may be about to begin; the plan knows, this keeps out those that surely do not."""
    settled = job.status.phase in ("Running", "Succeeded", "Failed")
    return not (job.meta.is_deleting or job.spec.suspend or (settled and _is_seen(job)))


def _is_seen(job: Job) -> bool:
    return job.status.observed_generation == job.meta.generation


def is_ended(job: Document, attempt: int) -> bool:
    """Whether run `attempt` is over, by the job's status."""
    runs = job.get("status", {}).get("runs", ())
    found = next((run for run in runs if run["attempt"] == attempt), None)
    return found is None or found["state"] == RunState.ENDED.value
