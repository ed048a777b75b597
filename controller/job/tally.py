"""How far a job of many runs is: what has succeeded and failed, which run comes next, and how it ended. Pure.

What has ended for good is counted in the status, and what ended since is added: so runs may fall off the record.
Invariants: of an index there is one run at a time, and none once it has succeeded or failed for good; there are never
more runs than `parallelism`.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from api.conditions import ConditionStatus, find
from api.indexes import Indexes
from api.meta import read_time, wire_time
from api.types.job import Job, Reason, Run, RunState
from api.types.job_after import AfterStatus
from api.types.job_many import CompletionMode
from controller.job import history, verdict
from controller.job.verdict import Verdict

KEPT_RUNS = 50
"""So many that have ended stay on record: each is in every version of the job that is stored, and sent to watchers."""
_KEPT_RECEIPTS = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """What there is of a job's runs of its present template, and which go on, of whichever template."""

    active: tuple[Run, ...]
    succeeded: int
    failed: int
    completed: Indexes
    failed_indexes: Indexes


@dataclass(frozen=True, slots=True)
class Next:
    """The run to be begun next, and from when on; `failures` is how often its index failed before, if that counts."""

    index: int | None = None
    failures: int | None = None
    due: datetime | None = None


def is_indexed(job: Job) -> bool:
    """Whether each run of the job has an index."""
    return job.spec.completion_mode is CompletionMode.INDEXED


def of(job: Job, runs: tuple[Run, ...]) -> Tally:
    """Return how far the job is, by what is on record and `runs`, which are as they are now."""
    template = job.spec.template_hash()
    is_same = job.status.template_hash == template
    open_before = {run.attempt for run in history.active(job.status.runs)}
    fresh = [
        run
        for run in runs
        if run.attempt in open_before and run.state is RunState.ENDED and run.template_hash == template
    ]
    done = [run for run in fresh if history.succeeded(run)]
    failed = (job.status.failed if is_same else 0) + sum(1 for run in fresh if history.counts_as_failure(run))
    active = history.active(runs)
    if not is_indexed(job):
        return Tally(active, (job.status.succeeded if is_same else 0) + len(done), failed, Indexes(), Indexes())
    completions = job.spec.completions or 0
    completed = Indexes.parse(job.status.completed_indexes if is_same else "") | _indexes(done)
    given_up = Indexes.parse(job.status.failed_indexes if is_same else "")
    given_up |= _indexes([run for run in fresh if _is_given_up(job, run)])
    completed, given_up = completed.below(completions), given_up.below(completions)
    return Tally(active, len(completed), failed, completed, given_up)


def _indexes(runs: list[Run]) -> Indexes:
    return Indexes.of(run.index for run in runs if run.index is not None)


def _failures_of(run: Run) -> int:
    """Return how often the index of a run has failed, that run included."""
    return (run.index_failures or 0) + (1 if history.counts_as_failure(run) else 0)


def _is_given_up(job: Job, run: Run) -> bool:
    limit = job.spec.backoff_limit_per_index
    return limit is not None and history.counts_as_failure(run) and _failures_of(run) > limit


def wanted(job: Job, tally: Tally) -> int:
    """Return how many runs there should be at this moment."""
    spec = job.spec
    parallelism = 1 if spec.parallelism is None else spec.parallelism
    if spec.completions is None:  # One success is enough: those that are there go on, and no other begins.
        return parallelism if not tally.succeeded else min(parallelism, len(tally.active))
    return min(parallelism, max(0, spec.completions - tally.succeeded - len(tally.failed_indexes)))


def surplus(job: Job, tally: Tally, stopping: frozenset[int]) -> tuple[Run, ...]:
    """Return the runs that are too many: first those that are being stopped or have not started, then the youngest."""
    beyond = tuple(run for run in tally.active if run.index is not None and run.index >= (job.spec.completions or 0))
    gone = {run.attempt for run in beyond}
    rest = [run for run in tally.active if run.attempt not in gone]
    if job.spec.completions is None and tally.succeeded:
        return ()

    def last_to_stay(run: Run) -> tuple[bool, bool, int]:
        number = run.attempt if run.index is None else run.index
        return run.attempt not in stopping, run.state is not RunState.PENDING, -number

    excess = max(0, len(rest) - wanted(job, tally))
    return (*beyond, *sorted(rest, key=last_to_stay)[:excess])


def next_run(job: Job, runs: tuple[Run, ...], tally: Tally, now: datetime) -> Next | None:
    """Return the run that is to be begun next; None if there are enough, or one is about to start."""
    room = wanted(job, tally) - len(tally.active)
    if room <= 0 or any(run.state is RunState.PENDING for run in tally.active):
        return None
    if not is_indexed(job):
        return Next(due=_due(job, runs))
    candidates = list(islice(_open_indexes(job, tally), room))
    if job.spec.backoff_limit_per_index is None:
        return Next(candidates[0], due=_due(job, runs)) if candidates else None
    last = last_by_index(job, runs)
    found = [_next_of_index(job, index, last.get(index)) for index in candidates]
    return min(found, key=lambda one: max(one.due or now, now), default=None)


def _open_indexes(job: Job, tally: Tally) -> Iterator[int]:
    taken = {run.index for run in tally.active}
    over = tally.completed | tally.failed_indexes
    return (index for index in over.lacking(job.spec.completions or 0) if index not in taken)


def waiting(job: Job, tally: Tally) -> Indexes:
    """Return the indexes that have neither ended for good nor a run."""
    return Indexes.of(_open_indexes(job, tally)) if is_indexed(job) else Indexes()


def last_by_index(job: Job, runs: tuple[Run, ...]) -> dict[int, Run]:
    """Return the last run of each index, of the present template and on record."""
    return {run.index: run for run in history.of_present(job, runs) if run.index is not None}


def _next_of_index(job: Job, index: int, last: Run | None) -> Next:
    failures = 0 if last is None else _failures_of(last)
    if last is None or not history.counts_as_failure(last) or not last.finished_at:
        return Next(index, failures)
    return Next(index, failures, read_time(last.finished_at) + history.backoff(job, failures))


def _due(job: Job, runs: tuple[Run, ...]) -> datetime | None:
    """Return when the next run is due, after failures since the last success; None without any."""
    failed: list[Run] = []
    for run in _by_end(run for run in history.of_present(job, runs) if run.finished_at):
        failed = [] if history.succeeded(run) else [*failed, run] if history.counts_as_failure(run) else failed
    if not failed:
        return None
    return read_time(failed[-1].finished_at or "") + history.backoff(job, len(failed))


def kept(job: Job, runs: tuple[Run, ...], tally: Tally, on_host: Collection[int] = ()) -> tuple[Run, ...]:
    """Return the runs that stay on record: what goes on, what retries depend on, and what ended last.

    What has just ended is among them, and so is what has something left on the host, which `on_host` has.
    """
    open_before = {run.attempt for run in history.active(job.status.runs)}
    keep = {run.attempt for run in tally.active} | open_before | set(on_host)
    ended = _by_end(run for run in runs if run.state is RunState.ENDED)
    keep |= {run.attempt for run in ended[-KEPT_RUNS:]}
    if job.spec.backoff_limit_per_index is not None:
        over = tally.completed | tally.failed_indexes
        keep |= {run.attempt for index, run in last_by_index(job, runs).items() if index not in over}
    shown = [run for run in runs if run.attempt in keep]
    receipts = _by_end(run for run in shown if run.receipt is not None and run.state is RunState.ENDED)
    whole = {run.attempt for run in receipts[-_KEPT_RECEIPTS:]}
    return tuple(
        run if run.attempt in whole or run.receipt is None else run.model_copy(update={"receipt": None})
        for run in shown
    )


def _by_end(runs: Iterable[Run]) -> list[Run]:
    """Return these, the one that ended last at the end: of many at a time, that need not be the highest attempt."""
    return sorted(runs, key=lambda run: (run.finished_at or "", run.attempt))


def outcome(
    job: Job, tally: Tally, runs: tuple[Run, ...], now: datetime, never: AfterStatus | None = None
) -> Verdict | None:
    """Return how the job ends, though runs of it may go on; None while there is something to do. As `verdict.of`."""
    if complete := _recorded_success(job):
        return complete
    if _is_complete(job, tally):
        return Verdict.good(Reason.COMPLETED, told(job, tally), _last_end(runs, now))
    if recorded := verdict.recorded(job):
        return recorded
    if verdict.stop_requested(job):
        last = runs[-1] if runs else None
        return verdict.stopped(job, last, now, _last_end(runs, now))
    if late := _too_late(job, runs, now):
        return late
    if never is not None and not tally.active:
        return Verdict.bad(never.reason, never.message, wire_time(now))
    return _failed(job, tally, runs, now)


def _recorded_success(job: Job) -> Verdict | None:
    """A job that has completed stays so, whatever becomes of its numbers, until its template changes."""
    found = find(job.status.conditions, "Complete")
    if found is None or found.status is not ConditionStatus.TRUE:
        return None
    if job.status.template_hash != job.spec.template_hash():
        return None
    return Verdict.good(found.reason, found.message, job.status.completion_time)


def _is_complete(job: Job, tally: Tally) -> bool:
    if job.spec.completions is None:
        return tally.succeeded > 0 and not tally.active
    return tally.succeeded >= job.spec.completions


def _too_late(job: Job, runs: tuple[Run, ...], now: datetime) -> Verdict | None:
    late = [run for run in history.of_present(job, runs) if run.reason == Reason.DEADLINE_EXCEEDED]
    if not late and not verdict.deadline_passed(job, now):
        return None
    return Verdict.bad(Reason.DEADLINE_EXCEEDED, verdict.too_late(job), _last_end(tuple(late), now))


def _failed(job: Job, tally: Tally, runs: tuple[Run, ...], now: datetime) -> Verdict | None:
    spec, ended_at = job.spec, _last_end(runs, now)
    failed, limit = tally.failed_indexes, spec.most_failures
    if spec.max_failed_indexes is not None and len(failed) > spec.max_failed_indexes:
        message = f"{_named(failed)} failed, maxFailedIndexes is {spec.max_failed_indexes}"
        return Verdict.bad(Reason.MAX_FAILED_INDEXES_EXCEEDED, message, ended_at)
    if limit is not None and tally.failed > limit:
        return Verdict.bad(Reason.BACKOFF_LIMIT_EXCEEDED, _too_often(job, tally, runs), ended_at)
    if failed and tally.succeeded + len(failed) >= (spec.completions or 0):
        message = f"{_named(failed)} failed for good, backoffLimitPerIndex is {spec.backoff_limit_per_index}"
        return Verdict.bad(Reason.FAILED_INDEXES, message, ended_at)
    return None


def _named(indexes: Indexes) -> str:
    return f"{'index' if len(indexes) == 1 else 'indexes'} {indexes}"


def _too_often(job: Job, tally: Tally, runs: tuple[Run, ...]) -> str:
    many = "1 run" if tally.failed == 1 else f"{tally.failed} runs"
    failed = [run for run in history.of_present(job, runs) if history.counts_as_failure(run)]
    last = max(failed, key=lambda run: run.finished_at or "", default=None)
    of_index = "" if last is None or last.index is None else f" of index {last.index}"
    whose = "" if last is None else f"; the last{of_index}: {last.reason}: {last.message}"
    return f"{many} failed, backoffLimit is {job.spec.backoff_limit}{whose}"


def _last_end(runs: tuple[Run, ...], now: datetime) -> str:
    return max((run.finished_at for run in runs if run.finished_at), default=wire_time(now))


def told(job: Job, tally: Tally) -> str:
    """Say how far the job is."""
    completions = job.spec.completions
    if completions is None:
        return f"{tally.succeeded} succeeded, 1 is enough" if tally.succeeded else "none has succeeded so far"
    which = f" ({tally.completed})" if tally.completed.ranges else ""
    failed = f", {tally.failed_indexes} failed" if tally.failed_indexes.ranges else ""
    return f"{tally.succeeded} of {completions} completed{which}{failed}"
