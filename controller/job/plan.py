"""What a job needs next. Pure: no I/O, no clock, no logging.

`observe.py` says what is there, this module compares it with the spec, `act.py` carries out the
answer. Any step may be the last before a crash, so no plan assumes that an earlier one finished.
A run is put on record before it is started, and started only from the record: so none runs twice.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from api import quantity
from api.meta import MANIFESTS_MANAGER_PREFIX, read_time, wire_time
from api.types.job import Job, Reason, Run, RunState
from api.types.job_network import RunNetwork
from api.types.pod import deleted_pods
from controller.engine.plan import Plan
from controller.job import after, history, plan_many, plan_scheduled, verdict
from controller.job.observed import (
    Admitted,
    DevicesFree,
    DevicesMissing,
    NetworkMissing,
    ObservedJob,
    ObservedRun,
    Queued,
    RuntimeMissing,
    RuntimeReady,
)
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveArtifacts,
    RemoveLogs,
    RemoveRun,
    RequestNetwork,
    RequestRuntime,
    RequestVolume,
    SetDeadline,
    StartRun,
    StopRun,
    TakeBackRun,
    ThawRun,
)
from controller.job.tally import Next
from controller.job.volumes import VolumesMissing
from controller.launcher.records import Running, Unclaimed

KILL_AFTER_GRACE_SECONDS = 15.0
_RUNTIME_CHECK_SECONDS = 30.0
_DEVICES_CHECK_SECONDS = 15.0  # As above; it is for specs that come and change.
_VOLUMES_CHECK_SECONDS = 15.0  # As above: what it waits for wakes it sooner.
_REFERENCES_CHECK_SECONDS = 60.0  # Their coming wakes it sooner.
_DEVICES_ELSEWHERE_CHECK_SECONDS = 2.0
_QUEUED_CHECK_SECONDS = 15.0  # Its turn wakes it; but how long runs have been there matters too.
_QUEUED_CHECK_SECONDS_EACH = 0.5  # So that many that wait do not look all the time; their places are told then.
_SOONEST_SECONDS = 0.05
_RECEIPT_CHECK_SECONDS = 0.5
_AWAITED_CHECK_SECONDS = 1.0
_NETWORK_CHECK_SECONDS = 5.0  # Its readiness wakes it sooner; the end of a run in a full one does not.
_STARTED_CHECK_SECONDS = 1.0  # That a run that was held goes on by itself; its end wakes it sooner.


def plan(job: Job, observed: ObservedJob) -> Plan:
    """Return the steps from `observed` to `job.spec`, or to nothing if it is being deleted."""
    runs = history.runs(job, observed)
    if job.meta.is_deleting:
        return _plan_teardown(job, observed, runs)
    if job.has_many_runs:
        return _looked_at_by_deadline(job, observed.now, _plan_many(job, observed, runs))
    if active := history.active(runs):
        return _looked_at_by_deadline(job, observed.now, _plan_active(job, observed, active[0]))
    leftovers = _ended_on_host(observed, runs)
    if any(now.state is not before.state for now, before in zip(runs, job.status.runs, strict=True)):
        return _plan_ended(job, observed, runs, leftovers)
    result = verdict.of(job, runs, observed.now, after.never(observed.after))
    if result is not None:
        finished = _plan_finished(job, observed, result)
        return replace(finished, steps=(*leftovers, *finished.steps))
    if leftovers:
        return Plan.once_recorded(*leftovers)
    return _looked_at_by_deadline(job, observed.now, _plan_next_run(job, observed, runs))


def _plan_ended(job: Job, observed: ObservedJob, runs: tuple[Run, ...], leftovers: tuple[RemoveRun, ...]) -> Plan:
    """Put an end on record before anything else is done about it; then that is all, unless more may come of it."""
    is_over = verdict.of(job, runs, observed.now, after.never(observed.after)) is not None
    has_kept = bool(job.spec.artifacts or job.status.artifacts)
    was_in_network = any(run.network is not None for run in runs)  # Which may have refused it something just then.
    is_to_go = job.spec.ttl_seconds_after_finished is not None
    again = not is_over or has_kept or was_in_network or is_to_go
    return replace(Plan.once_recorded(*leftovers), again=again)


def _plan_many(job: Job, observed: ObservedJob, runs: tuple[Run, ...]) -> Plan:
    ended = {run.attempt for run in runs if run.state is RunState.ENDED}
    leftovers = _ended_on_host(observed, runs)
    if leftovers or any(run.attempt in ended for run in history.active(job.status.runs)):
        return Plan.once_recorded(*leftovers)  # As above.
    return plan_many.plan(
        job, observed, runs, _plan_active, _plan_next_run, lambda result: _plan_finished(job, observed, result)
    )


def _plan_active(job: Job, observed: ObservedJob, run: Run, why_not: tuple[str, str] | None = None) -> Plan:
    """One run is on record and has not ended: start it, keep it, or end it; `why_not` says why others end it."""
    found = observed.run(run.attempt)
    unwanted = _unwanted(job, run, found) or _too_late(job, run, observed.now) or why_not
    if found is not None and plan_scheduled.is_held(found):
        return _plan_held(job, observed, found, unwanted)
    if run.state is RunState.PENDING:
        return _plan_pending(job, observed, run.attempt, unwanted)
    if found is None:
        return Plan.nothing()
    if unwanted:
        return _plan_stop(job, observed, found, unwanted[0])
    return _plan_running(job, observed, run, found)


def _plan_pending(job: Job, observed: ObservedJob, attempt: int, unwanted: tuple[str, str] | None) -> Plan:
    if unwanted:
        return Plan.once_recorded(AbandonRun(attempt, *unwanted))
    if job.spec.suspend:
        return Plan.wait(Reason.SUSPENDED, "spec.suspend is true")
    if observed.forbidden:  # Another may have what it was promised; the job waits without.
        return Plan.once_recorded(AbandonRun(attempt, Reason.POLICY_FORBIDS, observed.forbidden))
    if isinstance(observed.runtime, RuntimeMissing):
        return _plan_runtime(observed.runtime)
    if observed.devices_gone:
        return Plan.once_recorded(AbandonRun(attempt, Reason.DEVICES_GONE, observed.devices_gone))
    if observed.unresolved:
        return _plan_unresolved(observed)
    if plan_scheduled.is_far_ahead(job, observed.now):
        return Plan.once_recorded(AbandonRun(attempt, Reason.RESCHEDULED, "its job is to start at another time"))
    # Look again: a run may be over before we first see it running, and then nothing else would wake us.
    return Plan.once_recorded(_start(job, attempt, observed.now))


def _start(job: Job, attempt: int, now: datetime) -> StartRun:
    not_before = None if job.spec.is_due(now) else job.spec.starts_at
    return StartRun(attempt, job.spec.active_deadline_seconds and _remaining(job, now), not_before)


def _plan_held(job: Job, observed: ObservedJob, found: ObservedRun, unwanted: tuple[str, str] | None) -> Plan:
    """A run is ready and waits for its moment: it does so by itself, unless it is not to begin then."""
    if unwanted:
        return _plan_stop(job, observed, found, unwanted[0])
    if job.spec.suspend or observed.forbidden or not plan_scheduled.is_for_its_moment(job, found, observed.now):
        return Plan.do(TakeBackRun(found.attempt), check_again_seconds=_STARTED_CHECK_SECONDS)
    return plan_scheduled.wait(job, observed.now, _STARTED_CHECK_SECONDS)


def _unwanted(job: Job, run: Run, found: ObservedRun | None) -> tuple[str, str] | None:
    if verdict.stop_requested(job):
        return Reason.STOPPED, "it was asked to stop"
    if run.attempt in deleted_pods(job.meta.annotations):
        return Reason.POD_DELETED, "its pod was deleted"
    if run.template_hash != job.spec.template_hash():
        return Reason.SUPERSEDED, "the job's spec was changed"
    if found is not None and found.gives_way:
        return Reason.PREEMPTED, f"it gave way {found.gives_way}"
    return None


def _too_late(job: Job, run: Run, now: datetime) -> tuple[str, str] | None:
    """Say why a run that waits is not to begin any more; one that runs is ended by its supervisor."""
    if run.state is RunState.PENDING and verdict.deadline_passed(job, now):
        return Reason.DEADLINE_EXCEEDED, verdict.too_late(job)
    return None


def _looked_at_by_deadline(job: Job, now: datetime, wanted: Plan) -> Plan:
    """Have a job that waits for something looked at when its time is over, whatever it waits for."""
    left = _remaining(job, now)
    if wanted.waiting is None or not left or job.spec.suspend or not job.status.start_time:
        return wanted
    seconds = min(max(left, _SOONEST_SECONDS), wanted.check_again_seconds or left)
    return replace(wanted, check_again_seconds=seconds)


def _plan_running(job: Job, observed: ObservedJob, run: Run, found: ObservedRun) -> Plan:
    remaining = _remaining(job, observed.now)
    if job.spec.suspend:
        if isinstance(found.record, Running) and found.record.is_ending:  # What is frozen would keep it from its end.
            return Plan.do(KillRun(run.attempt), check_again_seconds=1)
        return Plan.nothing() if found.frozen else Plan.do(FreezeRun(run.attempt))
    if found.may_be_frozen:
        return Plan.do(ThawRun(run.attempt, job.spec.active_deadline_seconds))
    if run.deadline_seconds != job.spec.active_deadline_seconds:
        return Plan.do(SetDeadline(run.attempt, remaining))
    return Plan.nothing(_seconds_to_receipt(job, run, observed.now))


def _seconds_to_receipt(job: Job, run: Run, now: datetime) -> float | None:
    """Return when to look for what the run is held to, which is told a moment after its start; ever less often."""
    if job.has_many_runs or run.receipt is not None or not run.started_at:
        return None
    return max(_RECEIPT_CHECK_SECONDS, (now - read_time(run.started_at)).total_seconds())


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
    living = [found for found in observed.runs if found.attempt in alive]
    if living:
        return plan_many.together([_plan_end(job, observed, found) for found in living])
    logs = (RemoveLogs(),) if observed.logs_present else ()
    kept = (RemoveArtifacts(),) if observed.artifacts_present else ()
    return Plan.do(*(RemoveRun(found.attempt) for found in observed.runs), *logs, *kept)


def _plan_end(job: Job, observed: ObservedJob, found: ObservedRun) -> Plan:
    if isinstance(found.record, Unclaimed):
        return Plan.once_recorded(AbandonRun(found.attempt, Reason.STOPPED, "the job was deleted"))
    return _plan_stop(job, observed, found, Reason.STOPPED)


def _ended_on_host(observed: ObservedJob, runs: tuple[Run, ...]) -> tuple[RemoveRun, ...]:
    """Runs that are over, or that nobody has on record, and that still have something on the host."""
    alive = {run.attempt for run in history.active(runs)}
    return tuple(RemoveRun(found.attempt) for found in observed.runs if found.attempt not in alive)


def _plan_finished(job: Job, observed: ObservedJob, result: verdict.Verdict) -> Plan:
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or _is_declared(job):
        return Plan.nothing()
    finished = read_time(result.finished_at) if result.finished_at else observed.now
    left = (finished + timedelta(seconds=ttl) - observed.now).total_seconds()
    if left <= 0 and observed.is_awaited:  # Who waits for it has just been woken by its end.
        return Plan.nothing(check_again_seconds=_AWAITED_CHECK_SECONDS)
    return Plan.do(DeleteJob()) if left <= 0 else Plan.nothing(check_again_seconds=left)


def _is_declared(job: Job) -> bool:
    """Whether a source still declares it: deleted, it would be made again at once, and run again, for ever."""
    return any(str(entry.get("manager")).startswith(MANIFESTS_MANAGER_PREFIX) for entry in job.meta.managed_fields)


def _plan_next_run(job: Job, observed: ObservedJob, runs: tuple[Run, ...], chosen: Next | None = None) -> Plan:
    if job.spec.suspend:
        return Plan.wait(Reason.SUSPENDED, "spec.suspend is true")
    obstacle = _plan_obstacle(job, observed)
    if not job.spec.is_due(observed.now):
        is_first = not history.of_present(job, runs)  # What became of one that was begun ahead, is waited with.
        if is_first and obstacle is None and observed.may_be_early and isinstance(observed.turn, Admitted):
            return _plan_early(job, observed, observed.turn)
        return plan_scheduled.wait_for_all(job, observed, obstacle)
    if obstacle is not None:
        return obstacle
    due = chosen.due if chosen is not None else next_retry(job, runs)
    if due is not None and due > observed.now:
        left = (due - observed.now).total_seconds()
        return Plan.wait(Reason.BACK_OFF, f"the next run starts at {wire_time(due)}", left)
    if isinstance(observed.turn, Queued):
        return _plan_queued(observed.turn, observed.devices)
    if isinstance(observed.devices, DevicesMissing):
        missing = observed.devices
        seconds = _DEVICES_ELSEWHERE_CHECK_SECONDS if missing.is_elsewhere else _DEVICES_CHECK_SECONDS
        return Plan.wait(missing.reason, missing.message, seconds)
    return _plan_begin(job, observed, observed.turn, observed.devices, chosen or Next())


def _plan_begin(job: Job, observed: ObservedJob, turn: Admitted, given: DevicesFree, chosen: Next) -> Plan:
    if isinstance(observed.volumes, VolumesMissing):
        return _plan_volumes(observed.volumes)
    if isinstance(observed.network, NetworkMissing):
        return _plan_network(observed.network)
    begin = BeginRun(
        job.status.attempts + 1,
        devices=given.names,
        device_nodes=given.nodes,
        turn=turn,
        volumes=observed.volumes.volumes,
        network=named(job, observed.network.network, chosen.index),
        index=chosen.index,
        index_failures=chosen.failures,
    )
    return Plan.once_recorded(_start(job, begin.attempt, observed.now), first=(begin,))


def named(job: Job, network: RunNetwork | None, index: int | None) -> RunNetwork | None:
    """Return a run's place in its network; one with an index has a name of its own there, JOB-INDEX."""
    if network is None or index is None:
        return network
    return network.model_copy(update={"names": (*network.names, f"{job.meta.name}-{index}")})


def _plan_queued(turn: Queued, devices: DevicesFree | DevicesMissing) -> Plan:
    seconds = max(_QUEUED_CHECK_SECONDS, _QUEUED_CHECK_SECONDS_EACH * turn.ahead)
    why = turn.message
    if turn.reason == Reason.DEVICES_UNAVAILABLE and isinstance(devices, DevicesMissing):
        why = devices.message  # It knows who has them.
    return Plan.wait(turn.reason, f"{why}: {turn.place}" if turn.place else why, seconds)


def would_begin(job: Job, observed: ObservedJob) -> bool:
    """Whether a run would be begun, if it were the job's turn: such jobs are in the queue."""
    if not job.has_many_runs and history.active(job.status.runs):
        return False  # Until its end is on record. This is asked in each pass.
    return any(isinstance(step, BeginRun) for step in plan(job, replace(observed, turn=Admitted())).steps)


def _plan_obstacle(job: Job, observed: ObservedJob) -> Plan | None:
    """What keeps any run of the job from starting, whenever; None if nothing does."""
    if observed.forbidden:
        return Plan.wait(Reason.POLICY_FORBIDS, observed.forbidden)
    if awaited := after.waiting(observed.after):
        return Plan.wait(Reason.WAITING_FOR_JOBS, awaited, after.check_again_seconds(observed.after, observed.now))
    if observed.unenforceable:
        return Plan.wait(Reason.LIMIT_UNENFORCEABLE, observed.unenforceable, 60)
    if isinstance(observed.runtime, RuntimeMissing):
        return _plan_runtime(observed.runtime)
    if lacking := _requirements_not_met(job, observed.runtime):
        return Plan.wait(Reason.REQUIREMENTS_NOT_MET, lacking, _RUNTIME_CHECK_SECONDS)
    if observed.unresolved:
        return _plan_unresolved(observed)
    return None


def _plan_early(job: Job, observed: ObservedJob, turn: Admitted) -> Plan:
    """Begin the run, to be held until its moment: it is waited for as it was before."""
    begun = _plan_begin(job, observed, turn, DevicesFree(), Next())
    return replace(begun, waiting=plan_scheduled.wait(job, observed.now).waiting)


def _requirements_not_met(job: Job, runtime: RuntimeReady) -> str:
    memory, least = job.spec.resources.limits.memory_bytes, runtime.min_memory_bytes
    if memory is not None and least is not None and memory < least:
        need, have = quantity.from_bytes(least), job.spec.resources.limits.memory
        return f"{runtime} needs {need} of memory, spec.resources.limits.memory is {have}: raise it"
    return ""


def _plan_unresolved(observed: ObservedJob) -> Plan:
    return Plan.wait(Reason.CONFIG_ERROR, observed.unresolved, _REFERENCES_CHECK_SECONDS)


def _plan_volumes(missing: VolumesMissing) -> Plan:
    wait = Plan.wait(missing.reason, missing.message, _VOLUMES_CHECK_SECONDS)
    return Plan(tuple(RequestVolume(name) for name in missing.requests), wait.waiting, wait.check_again_seconds)


def _plan_network(missing: NetworkMissing) -> Plan:
    wait = Plan.wait(missing.reason, missing.message, _NETWORK_CHECK_SECONDS)
    return Plan((RequestNetwork(missing.request),) if missing.request else (), wait.waiting, wait.check_again_seconds)


def _plan_runtime(missing: RuntimeMissing) -> Plan:
    wait = Plan.wait(missing.reason, missing.message, _RUNTIME_CHECK_SECONDS)
    ask = (RequestRuntime(*missing.request),) if missing.request else ()
    return Plan(ask, wait.waiting, wait.check_again_seconds)


def next_retry(job: Job, runs: tuple[Run, ...]) -> datetime | None:
    """Return when the next run is due after a failure, or None when none failed."""
    failed = [run for run in history.of_present(job, runs) if history.counts_as_failure(run)]
    if not failed or not failed[-1].finished_at:
        return None
    return read_time(failed[-1].finished_at) + history.backoff(job, history.failures(job, runs))


def _remaining(job: Job, now: datetime) -> float | None:
    """Seconds left of activeDeadlineSeconds, which counts from the template's first start."""
    deadline = job.spec.active_deadline_seconds
    if deadline is None:
        return None
    if not job.status.start_time or job.status.template_hash != job.spec.template_hash():
        return deadline
    return max(0.0, deadline - (now - read_time(job.status.start_time)).total_seconds())
