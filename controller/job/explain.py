"""Why a job is where it is: its plan, its sandbox and the reasons, without doing any of it."""

from dataclasses import asdict
from enum import Flag
from typing import Any

from api.errors import About, NotFound
from api.kinds import JOB
from api.meta import ObjectKey
from api.ports import Storage
from api.types.job import Job, JobStatus, Reason
from api.types.job_after import AfterStatus
from controller.capacity import amounts
from controller.capacity.amounts import Need
from controller.job import history, requests, tally
from controller.job import plan as planning
from controller.job import report as reporting
from controller.job.act import Actor
from controller.job.observe import Observer
from controller.job.observed import (
    DevicesFree,
    DevicesMissing,
    ObservedJob,
    ObservedRun,
    Queued,
    RuntimeMissing,
    RuntimeReady,
)
from controller.launcher.records import Running
from controller.sandbox.compile import compile_base, compile_sandbox
from controller.sandbox.spec import HostIds

_TOLD = 20


class JobExplainer:
    """Explains jobs."""

    def __init__(self, storage: Storage, observer: Observer, actor: Actor) -> None:
        """Look with the same observer that reconciling looks with."""
        self._storage = storage
        self._observer = observer
        self._actor = actor

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        """Return {object, summary, reasons, plan, sandbox} of a job as plain data.

        Raises:
            NotFound: there is no such job.
        """
        document = self._storage.get(key)
        if document is None:
            raise NotFound.of(About(JOB.group, JOB.plural, key.name))
        job = Job.model_validate(document)
        try:
            observed = self._observer.look(job)
        except OSError as error:
            return _unseen(key, job, error)
        plan = planning.plan(job, observed)
        status = reporting.report(job, observed, plan, work_bytes=None)
        return {
            "object": str(key),
            "summary": {"phase": status.phase, "reason": status.reason, "message": status.message},
            "reasons": [
                *_last_look(job, status),
                *_reasons(job, observed, status.message, self._observer.need_of(job)),
            ],
            "plan": [_step(step) for step in (*plan.steps, *plan.then)],
            "waiting": asdict(plan.waiting) if plan.waiting else None,
            "checkAgainSeconds": plan.check_again_seconds,
            "requests": requests.recorded(self._observer.need_of(job)),
            "limits": asdict(self._actor.limits_of(job, _runtime(observed), _devices(job, observed))),
            "sandbox": self._sandbox(job, observed),
        }

    def _sandbox(self, job: Job, observed: ObservedJob) -> list[dict[str, Any]]:
        if isinstance(observed.runtime, RuntimeMissing):
            return []
        # Which host ids a run gets is decided when it starts; 0 stands for them here.
        spec = self._actor.sandbox_of(job, observed.runtime, _devices(job, observed))
        return [_step(op) for op in (*compile_base(HostIds(0, 0), "/run"), *compile_sandbox(spec, HostIds(0, 0)))]


def _last_look(job: Job, status: JobStatus) -> list[str]:
    """Say what the last look at the job came to, where that is something else: a step that did not work, above all."""
    last = job.status
    if status.phase != "Pending" or not last.message or last.reason == status.reason:
        return []
    is_of_this = last.observed_generation == job.meta.generation
    return [f"at its last look: {last.reason}: {last.message}"] if is_of_this else []


def _unseen(key: ObjectKey, job: Job, error: OSError) -> dict[str, Any]:
    """Explain a job of which this host cannot tell what there is: nothing is done for it until it can."""
    status = job.status
    cause = str(error) if error.filename is not None else error.strerror or str(error)
    reasons = [cause, *filter(None, [status.message])]
    return {
        "object": str(key),
        "summary": {"phase": status.phase, "reason": status.reason, "message": status.message},
        "reasons": list(dict.fromkeys(reasons)),
        "plan": [],
        "waiting": None,
        "checkAgainSeconds": None,
        "limits": {},
        "sandbox": [],
    }


def _devices(job: Job, observed: ObservedJob) -> tuple[str, ...]:
    """The devices of the run there is, or else those that the next one would get."""
    if active := history.active(job.status.runs):
        return active[0].devices
    return observed.devices.names if isinstance(observed.devices, DevicesFree) else ()


def _runtime(observed: ObservedJob) -> RuntimeReady:
    return RuntimeReady() if isinstance(observed.runtime, RuntimeMissing) else observed.runtime


def _step(step: Any) -> dict[str, Any]:
    return {"step": type(step).__name__, **{name: _shown(name, value) for name, value in asdict(step).items()}}


def _shown(name: str, value: Any) -> str:
    """Flags by their names and modes in octal, as people write them."""
    if isinstance(value, Flag):
        return "|".join(str(flag.name) for flag in value)
    return f"{value:04o}" if name == "mode" and isinstance(value, int) else str(value)


def _told(each: AfterStatus) -> str:
    return f": {each.message}" if each.message else f", {each.condition}"


def _parts(job: Job) -> list[str]:
    """Say which run, and which index, of a job of many runs is where."""
    so_far = tally.of(job, job.status.runs)
    reasons = [f"at most {job.spec.most_active} of its runs are there at a time"]
    active = [run for run in so_far.active if run.index is not None]
    reasons += [f"index {run.index}: run {run.attempt}, {run.state}" for run in active[:_TOLD]]
    reasons += [f"and {len(active) - _TOLD} indexes more"] if len(active) > _TOLD else []
    waiting = tally.waiting(job, so_far)
    reasons += [f"indexes that wait for a run: {waiting}"] if waiting.ranges else []
    limit = "" if job.spec.most_failures is None else f", backoffLimit is {job.spec.most_failures}"
    return reasons + ([f"{so_far.failed} runs failed{limit}"] if so_far.failed else [])


def _reasons(job: Job, observed: ObservedJob, message: str, need: Need) -> list[str]:
    reasons = [message] if message else []
    reasons += [f"after job/{each.job}: {each.state}{_told(each)}" for each in observed.after]
    if isinstance(observed.turn, Queued) and observed.turn.reason is not Reason.UNSCHEDULABLE:
        wanted = (f"{amounts.told(name, amount)} of {name}" for name, amount in need if name != amounts.RUNS)
        reasons.append(f"a run of it is promised {', '.join(wanted)}")
    if isinstance(observed.runtime, RuntimeMissing):
        reasons.append(observed.runtime.message)
    elif observed.runtime.name:
        reasons.append(f"runtime {job.spec.runtime} is {observed.runtime}, in {observed.runtime.path}")
    else:
        reasons.append("no runtime is named: it sees the host's read-only directories")
    if isinstance(observed.devices, DevicesMissing):
        reasons.append(observed.devices.message)
    elif devices := _devices(job, observed):
        reasons.append(f"devices: {', '.join(devices)}")
    failed, limit = job.status.failed, job.spec.backoff_limit
    if job.has_many_runs:
        reasons += _parts(job)
    elif failed:
        last = next((run for run in reversed(job.status.runs) if history.counts_as_failure(run)), None)
        reasons.append(
            f"{failed} run{'s' if failed > 1 else ''} failed, backoffLimit is {limit}"
            + (f"; the last: {last.message}" if last else "")
        )
    reasons += [f"run {run.attempt} on this host: {_where(run)}" for run in observed.runs]
    return list(dict.fromkeys(reasons))


def _where(run: ObservedRun) -> str:
    if isinstance(run.record, Running) and run.record.is_held:
        return f"ready, and held until {run.record.not_before}"
    return type(run.record).__name__ + (", frozen" if run.frozen else "")
