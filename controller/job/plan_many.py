"""What a job of many runs needs next: each of those that go on by itself, and one more if there is room. Pure.

One run is begun at a time, and the next when that has started: so each has its own turn in the queue, and its own
volumes, devices and place in a network, chosen when those before have theirs. Never here: what one run needs
(`plan.py`), and how far the job is (`tally.py`).
"""

from collections.abc import Callable

from api.types.job import Job, Reason, Run, RunState
from controller.engine.plan import Plan
from controller.job import after, tally
from controller.job.observed import ObservedJob
from controller.job.tally import Next, Tally
from controller.job.verdict import Verdict

Why = tuple[str, str]
OfRun = Callable[[Job, ObservedJob, Run, Why | None], Plan]
ToBegin = Callable[[Job, ObservedJob, tuple[Run, ...], Next], Plan]


def plan(
    job: Job,
    observed: ObservedJob,
    runs: tuple[Run, ...],
    of_run: OfRun,
    to_begin: ToBegin,
    finished: Callable[[Verdict], Plan],
) -> Plan:
    """Return the steps for all runs of `job`, of which what has ended is on record and gone from the host.

    `of_run` plans for one that goes on, or for its end, `to_begin` for a further one, `finished` for its end.
    """
    so_far = tally.of(job, runs)
    result = tally.outcome(job, so_far, runs, observed.now, after.never(observed.after))
    if result is not None and not so_far.active:
        return finished(result)
    unwanted = _unwanted(job, observed, so_far, result)
    plans = [of_run(job, observed, run, unwanted.get(run.attempt)) for run in so_far.active]
    chosen = None if result is not None else tally.next_run(job, runs, so_far, observed.now)
    if chosen is not None and any(run.state is RunState.PENDING for run in job.status.runs):
        plans.append(Plan.do(again=True))  # What the next would have is looked at once this one's start is on record.
    elif chosen is not None:
        plans.append(to_begin(job, observed, runs, chosen))
    elif not so_far.active and result is None:
        plans.append(_nothing_wanted(job))
    return together(plans)


def together(plans: list[Plan]) -> Plan:
    """Return one plan that does what all of them do; it waits for what the last of them waits for."""
    soon = [each.check_again_seconds for each in plans if each.check_again_seconds is not None]
    waiting = [each.waiting for each in plans if each.waiting is not None]
    return Plan(
        tuple(step for each in plans for step in each.steps),
        waiting[-1] if waiting else None,
        min(soon, default=None),
        any(each.again for each in plans),
        tuple(step for each in plans for step in each.then),
    )


def _unwanted(job: Job, observed: ObservedJob, so_far: Tally, result: Verdict | None) -> dict[int, Why]:
    """Return which runs are to end, and why, beside what is wrong with each alone."""
    if result is not None:
        if result.reason == Reason.DEADLINE_EXCEEDED:
            return {}  # Each is held to it by its own supervisor, which says so.
        why = f"the job has {'completed' if result.complete else 'failed'}: {result.reason}"
        return {run.attempt: (Reason.JOB_ENDED, why) for run in so_far.active}
    stopping = frozenset(found.attempt for found in observed.runs if found.stop_sent_at is not None)
    lowered = f"parallelism is {job.spec.parallelism}, completions is {job.spec.completions}"
    return {run.attempt: (Reason.SCALED_DOWN, lowered) for run in tally.surplus(job, so_far, stopping)}


def _nothing_wanted(job: Job) -> Plan:
    if job.spec.suspend:
        return Plan.wait(Reason.SUSPENDED, "spec.suspend is true")
    return Plan.wait(Reason.PENDING, "spec.parallelism is 0: no run begins until it is raised")
