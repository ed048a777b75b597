"""What a job needs next. Pure: no I/O, no clock, no logging.

`observe.py` says what is there, this module compares it with the spec, `act.py` carries out the
answer. Any step may be the last before a crash, so no plan assumes that an earlier one finished.
A run is put on record before it is started, and started only from the record: so none runs twice.
"""

from datetime import datetime, timedelta

from api import quantity
from api.meta import MANIFESTS_MANAGER_PREFIX, read_time, wire_time
from api.types.job import Job, Reason, Run, RunState
from api.types.pod import deleted_pods
from controller.engine.plan import Plan
from controller.job import history, verdict
from controller.job.observed import DevicesMissing, ObservedJob, ObservedRun, RuntimeMissing, RuntimeReady
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveLogs,
    RemoveRun,
    RequestRuntime,
    SetDeadline,
    StartRun,
    StopRun,
    ThawRun,
)
from controller.launcher.records import Unclaimed

KILL_AFTER_GRACE_SECONDS = 15.0
LONGEST_BACKOFF_SECONDS = 360.0
_RUNTIME_CHECK_SECONDS = 30.0
_DEVICES_CHECK_SECONDS = 15.0  # As above; it is for specs that come and change.
_REFERENCES_CHECK_SECONDS = 60.0  # Their coming wakes it sooner.
_DEVICES_ELSEWHERE_CHECK_SECONDS = 2.0
_CROWDED_CHECK_SECONDS = 15.0  # The end of a run wakes it sooner.


def plan(job: Job, observed: ObservedJob) -> Plan:
    """Return the steps from `observed` to `job.spec`, or to nothing if it is being deleted."""
    runs = history.runs(job, observed)
    if job.meta.is_deleting:
        return _plan_teardown(job, observed, runs)
    if active := history.active(runs):
        return _plan_active(job, observed, active[0])
    if any(now.state is not before.state for now, before in zip(runs, job.status.runs, strict=True)):
        return Plan.do(again=True)  # An end is put on record before anything else is done about it.
    if leftovers := _ended_on_host(observed, runs):
        return Plan.do(*leftovers, again=True)
    result = verdict.of(job, runs, observed.now)
    if result is not None:
        return _plan_finished(job, observed, result)
    return _plan_next_run(job, observed, runs)


def _plan_active(job: Job, observed: ObservedJob, run: Run) -> Plan:
    """One run is on record and has not ended: start it, keep it, or end it."""
    unwanted = _unwanted(job, run)
    found = observed.run(run.attempt)
    if run.state is RunState.PENDING:
        if unwanted:
            return Plan.do(AbandonRun(run.attempt, *unwanted), again=True)
        if job.spec.suspend:
            return Plan.wait(Reason.SUSPENDED, "spec.suspend is true")
        if observed.forbidden:
            return Plan.wait(Reason.POLICY_FORBIDS, observed.forbidden)
        if isinstance(observed.runtime, RuntimeMissing):
            return _plan_runtime(observed.runtime)
        if observed.devices_gone:
            return Plan.do(AbandonRun(run.attempt, Reason.DEVICES_GONE, observed.devices_gone), again=True)
        if observed.unresolved:
            return _plan_unresolved(observed)
        start = StartRun(run.attempt, job.spec.active_deadline_seconds and _remaining(job, observed.now))
        # Look again: a run may be over before we first see it running, and then nothing else would wake us.
        return Plan.do(start, again=True)
    if found is None:
        return Plan.nothing()
    if unwanted:
        return _plan_stop(job, observed, found, unwanted[0])
    return _plan_running(job, observed, run, found)


def _unwanted(job: Job, run: Run) -> tuple[str, str] | None:
    if verdict.stop_requested(job):
        return Reason.STOPPED, "it was asked to stop"
    if run.attempt in deleted_pods(job.meta.annotations):
        return Reason.POD_DELETED, "its pod was deleted"
    if run.template_hash != job.spec.template_hash():
        return Reason.SUPERSEDED, "the job's spec was changed"
    return None


def _plan_running(job: Job, observed: ObservedJob, run: Run, found: ObservedRun) -> Plan:
    remaining = _remaining(job, observed.now)
    if job.spec.suspend:
        return Plan.nothing() if found.frozen else Plan.do(FreezeRun(run.attempt))
    if found.may_be_frozen:
        return Plan.do(ThawRun(run.attempt, job.spec.active_deadline_seconds))
    if run.deadline_seconds != job.spec.active_deadline_seconds:
        return Plan.do(SetDeadline(run.attempt, remaining))
    return Plan.nothing()


def _plan_stop(job: Job, observed: ObservedJob, found: ObservedRun, reason: str) -> Plan:
    grace = job.spec.termination_grace_period_seconds
    deletion = deleted_pods(job.meta.annotations).get(found.attempt)
    if deletion is not None and reason == Reason.POD_DELETED:
        grace = deletion.grace_seconds
    if job.meta.deletion_grace_period_seconds is not None:
        grace = job.meta.deletion_grace_period_seconds  # Who deletes it says so, as with pods.
    thaw = (ThawRun(found.attempt, None),) if found.may_be_frozen else ()
    if found.stop_sent_at is None or (found.stop_grace_seconds or 0) > grace:
        stop = StopRun(found.attempt, reason, grace)
        return Plan.do(*thaw, stop, check_again_seconds=grace + KILL_AFTER_GRACE_SECONDS)
    overdue = found.stop_sent_at + timedelta(seconds=grace + KILL_AFTER_GRACE_SECONDS)
    if observed.now >= overdue:
        return Plan.do(*thaw, KillRun(found.attempt), check_again_seconds=1)
    wait = max(0.1, (overdue - observed.now).total_seconds())
    return Plan(thaw, Plan.wait(reason, f"run {found.attempt} is stopping").waiting, wait)


def _plan_teardown(job: Job, observed: ObservedJob, runs: tuple[Run, ...]) -> Plan:
    alive = {run.attempt for run in history.active(runs)}
    for found in observed.runs:
        if found.attempt in alive and isinstance(found.record, Unclaimed):
            return Plan.do(AbandonRun(found.attempt, Reason.STOPPED, "the job was deleted"), again=True)
        if found.attempt in alive:
            return _plan_stop(job, observed, found, Reason.STOPPED)
    logs = (RemoveLogs(),) if observed.logs_present else ()
    return Plan.do(*(RemoveRun(found.attempt) for found in observed.runs), *logs)


def _ended_on_host(observed: ObservedJob, runs: tuple[Run, ...]) -> tuple[RemoveRun, ...]:
    """Runs that are over, or that nobody has on record, and that still have something on the host."""
    return tuple(RemoveRun(found.attempt) for found in observed.runs if _is_over(found.attempt, runs))


def _is_over(attempt: int, runs: tuple[Run, ...]) -> bool:
    return all(run.attempt != attempt or run.state is RunState.ENDED for run in runs)


def _plan_finished(job: Job, observed: ObservedJob, result: verdict.Verdict) -> Plan:
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or _is_declared(job):
        return Plan.nothing()
    finished = read_time(result.finished_at) if result.finished_at else observed.now
    left = (finished + timedelta(seconds=ttl) - observed.now).total_seconds()
    return Plan.do(DeleteJob()) if left <= 0 else Plan.nothing(check_again_seconds=left)


def _is_declared(job: Job) -> bool:
    """Whether a source still declares it: deleted, it would be made again at once, and run again, for ever."""
    return any(str(entry.get("manager")).startswith(MANIFESTS_MANAGER_PREFIX) for entry in job.meta.managed_fields)


def _plan_next_run(job: Job, observed: ObservedJob, runs: tuple[Run, ...]) -> Plan:
    if job.spec.suspend:
        return Plan.wait(Reason.SUSPENDED, "spec.suspend is true")
    if observed.forbidden:
        return Plan.wait(Reason.POLICY_FORBIDS, observed.forbidden)
    if observed.unenforceable:
        return Plan.wait(Reason.LIMIT_UNENFORCEABLE, observed.unenforceable, 60)
    if isinstance(observed.runtime, RuntimeMissing):
        return _plan_runtime(observed.runtime)
    if lacking := _requirements_not_met(job, observed.runtime):
        return Plan.wait(Reason.REQUIREMENTS_NOT_MET, lacking, _RUNTIME_CHECK_SECONDS)
    if observed.unresolved:
        return _plan_unresolved(observed)
    due = next_retry(job, runs)
    if due is not None and due > observed.now:
        left = (due - observed.now).total_seconds()
        deadline = _remaining(job, observed.now)
        soonest = left if deadline is None else min(left, max(deadline, 0.05))
        return Plan.wait(Reason.BACK_OFF, f"the next run starts at {wire_time(due)}", soonest)
    if observed.crowded:
        return Plan.wait(Reason.HOST_BUSY, observed.crowded, _CROWDED_CHECK_SECONDS)
    if isinstance(observed.devices, DevicesMissing):
        missing = observed.devices
        seconds = _DEVICES_ELSEWHERE_CHECK_SECONDS if missing.is_elsewhere else _DEVICES_CHECK_SECONDS
        return Plan.wait(missing.reason, missing.message, seconds)
    given = observed.devices
    return Plan.do(BeginRun(job.status.attempts + 1, given.names, given.nodes), again=True)


def _requirements_not_met(job: Job, runtime: RuntimeReady) -> str:
    memory, least = job.spec.resources.limits.memory_bytes, runtime.min_memory_bytes
    if memory is not None and least is not None and memory < least:
        need, have = quantity.from_bytes(least), job.spec.resources.limits.memory
        return f"{runtime} needs {need} of memory, spec.resources.limits.memory is {have}: raise it"
    return ""


def _plan_unresolved(observed: ObservedJob) -> Plan:
    return Plan.wait(Reason.CONFIG_ERROR, observed.unresolved, _REFERENCES_CHECK_SECONDS)


def _plan_runtime(missing: RuntimeMissing) -> Plan:
    wait = Plan.wait(missing.reason, missing.message, _RUNTIME_CHECK_SECONDS)
    ask = (RequestRuntime(*missing.request),) if missing.request else ()
    return Plan(ask, wait.waiting, wait.check_again_seconds)


def next_retry(job: Job, runs: tuple[Run, ...]) -> datetime | None:
    """Return when the next run is due after a failure, or None when none failed.

    The wait doubles with each failure, from backoffSeconds to 360 s, as batch/v1's does.
    """
    failed = [run for run in history.of_present(job, runs) if history.counts_as_failure(run)]
    if not failed or not failed[-1].finished_at:
        return None
    doublings = min(max(history.failures(job, runs) - 1, 0), 20)
    wait = min(job.spec.backoff_seconds * 2**doublings, LONGEST_BACKOFF_SECONDS)
    return read_time(failed[-1].finished_at) + timedelta(seconds=wait)


def _remaining(job: Job, now: datetime) -> float | None:
    """Seconds left of activeDeadlineSeconds, which counts from the template's first start."""
    deadline = job.spec.active_deadline_seconds
    if deadline is None:
        return None
    if not job.status.start_time or job.status.template_hash != job.spec.template_hash():
        return deadline
    return max(0.0, deadline - (now - read_time(job.status.start_time)).total_seconds())
