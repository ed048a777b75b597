"""What became of a job's runs: what is on record joined with what is on the host. Pure.

The record (status.runs) says which runs were begun; the host says how far they are. A run that is
on record and cannot be found is lost, and said so: it is never started a second time.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import takewhile

from api.meta import read_rfc3339, read_time, wire_micro_time
from api.types.job import Job, Reason, Run, RunState, Usage
from controller.job.observed import ObservedJob, ObservedRun
from controller.launcher.records import Exited, Lost, Running, Unclaimed

KEPT_RUNS = 10
LONGEST_BACKOFF_SECONDS = 360.0
_MOST_DOUBLINGS = 20
_UNCOUNTED = {Reason.SUPERSEDED.value, Reason.DEVICES_GONE.value, Reason.PREEMPTED.value}
_UNCOUNTED |= {Reason.RESCHEDULED.value, Reason.JOB_ENDED.value, Reason.SCALED_DOWN.value, Reason.POLICY_FORBIDS.value}


def runs(job: Job, observed: ObservedJob) -> tuple[Run, ...]:
    """Return the runs of the job as they really are, oldest first."""
    return tuple(_now(run, observed.run(run.attempt), observed) for run in job.status.runs)


def _now(run: Run, found: ObservedRun | None, observed: ObservedJob) -> Run:
    if run.state is RunState.ENDED:
        return run
    match found.record if found else None:
        case Exited() as exited:
            return _for_whom(_ended(run, exited), found)
        case Running() as running if running.is_held:
            return run  # On record, and not begun: it is ready, and waits for its moment.
        case Running() as running:
            update = {"state": RunState.RUNNING, "pid": running.pid, "started_at": _wire(running.started_at)}
            return _with_receipt(run, found).model_copy(update=update)
        case Lost() as lost:
            return _lost_on_its_way(_with_receipt(run, found), lost, observed)
        case Unclaimed() if run.boot_id == observed.boot_id:
            return run
        case None if run.boot_id == observed.boot_id and run.state is RunState.PENDING:
            return run
        case Unclaimed():
            return _lost(run, "the host was restarted before it was known to have started", observed)
        case None:
            return _lost(run, "nothing of it is left on the host", observed)


def _with_receipt(run: Run, found: ObservedRun | None) -> Run:
    """Say what it is held to as soon as that is told, and not again."""
    if found is None or found.receipt is None:
        return run
    return run.model_copy(update={"receipt": dict(found.receipt)})


def _lost_on_its_way(run: Run, lost: Lost, observed: ObservedJob) -> Run:
    if lost.not_before and not lost.started_at and read_rfc3339(lost.not_before) > observed.now:
        why = f"it waited for its moment, which has not come: {lost.reason}"
        return _lost(run, why, observed, Reason.RESCHEDULED)
    return _lost(run, lost.reason, observed)


def _lost(run: Run, why: str, observed: ObservedJob, reason: Reason = Reason.RUN_LOST) -> Run:
    message = f"run {run.attempt} left no exit record: {why}"
    finished = wire_micro_time(observed.now)
    update = {"state": RunState.ENDED, "reason": reason.value, "message": message, "finished_at": finished}
    return run.model_copy(update=update)


def _ended(run: Run, exited: Exited) -> Run:
    record = exited.record
    usage = Usage(
        cpu_seconds=round(record.usage.get("cpu_seconds", 0.0), 3),
        memory_peak_bytes=int(record.usage.get("memory_peak_bytes") or 0),
        throttled_seconds=round(record.usage.get("cpu_throttled_seconds", 0.0), 3),
        read_bytes=int(record.usage.get("read_bytes") or 0),
        written_bytes=int(record.usage.get("written_bytes") or 0),
    )
    return run.model_copy(
        update={
            "state": RunState.ENDED,
            "started_at": _wire(record.started_at) or run.started_at,
            "finished_at": _wire(record.finished_at),
            "exit_code": record.exit_code,
            "signal": record.signal,
            "reason": record.reason,
            "message": record.message,
            "usage": usage,
            "receipt": dict(record.receipt),
        }
    )


def _for_whom(run: Run, found: ObservedRun | None) -> Run:
    """Say of a run that gave way what only the queue knows; what stopped it was told no more than that."""
    if run.reason != Reason.PREEMPTED or found is None or not found.gives_way:
        return run
    return run.model_copy(update={"message": f"it gave way {found.gives_way}"})


def _wire(moment: str) -> str | None:
    """Records count nanoseconds, the API microseconds."""
    return wire_micro_time(read_time(moment)) if moment else None


def active(runs_: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs that were begun and have not ended."""
    return tuple(run for run in runs_ if run.state is not RunState.ENDED)


def succeeded(run: Run) -> bool:
    """Whether the run ended well."""
    return run.state is RunState.ENDED and run.reason == Reason.COMPLETED.value


def counts_as_failure(run: Run) -> bool:
    """Whether the run ended in a way that uses up a retry; being replaced does not."""
    if run.reason == Reason.RESCHEDULED.value and run.started_at:
        return True  # It began while it was taken back, and was killed.
    return run.state is RunState.ENDED and not succeeded(run) and run.reason not in _UNCOUNTED


def of_present(job: Job, runs_: Iterable[Run]) -> tuple[Run, ...]:
    """Return the newest runs that are of the job's present template.

    Those before a run of another template do not count: who changes a template back wants it run again.
    """
    template = job.spec.template_hash()
    newest_first = takewhile(lambda run: run.template_hash == template, reversed(tuple(runs_)))
    return tuple(reversed(tuple(newest_first)))


def failures(job: Job, now: Iterable[Run]) -> int:
    """Return how many runs of the present template failed: those on record and those new since.

    Counted rather than listed, as only the last runs are kept on record.
    """
    template = job.spec.template_hash()
    recorded = job.status.failed if job.status.template_hash == template else 0
    open_before = {run.attempt for run in active(job.status.runs)}
    fresh = [run for run in now if run.attempt in open_before and run.template_hash == template]
    return recorded + sum(1 for run in fresh if counts_as_failure(run))


def backoff(job: Job, failures_: int) -> timedelta:
    """Return how long the job waits after so many failures: backoffSeconds, doubled with each, as in batch/v1."""
    doublings = min(max(failures_ - 1, 0), _MOST_DOUBLINGS)
    return timedelta(seconds=min(job.spec.backoff_seconds * 2**doublings, LONGEST_BACKOFF_SECONDS))


def titled(attempt: int, index: int | None) -> str:
    """Return what a person is told of which run it is.

    >>> titled(7, 3)
    'run 7 of index 3'
    """
    return f"run {attempt}" if index is None else f"run {attempt} of index {index}"


def replaced_by(job: Job, attempt: int) -> frozenset[int] | None:
    """Return the runs that are of no use once run `attempt` is over; None is all before it.

    Of a job of many runs, that is those of its index: what the others made is theirs.
    """
    if not job.has_many_runs:
        return None
    index = index_of(job, attempt)
    earlier = (run for run in job.status.runs if run.index == index and run.attempt < attempt)
    return frozenset(run.attempt for run in earlier) if index is not None else frozenset()


def index_of(job: Job, attempt: int) -> int | None:
    """Return the index of run `attempt`, as it is on record; None of a job without."""
    return next((run.index for run in job.status.runs if run.attempt == attempt), None)
