"""What a job that is to start at a moment to come waits for, and whether a run that is held is held for it. Pure.

Never here: what begins its run, ahead of that moment or at it (`plan.py`), and which runs are begun ahead (`early.py`).
"""

from dataclasses import replace
from datetime import datetime

from api.meta import read_rfc3339, wire_time
from api.types.job import Job, Reason
from controller.engine.ahead import LONGEST_SECONDS
from controller.engine.plan import Plan, Waiting
from controller.job.observed import ObservedJob, ObservedRun
from controller.launcher.records import Running

_LONGEST_SECONDS = 86_400.0  # Longer waits are no use: a step of the host's clock wakes it sooner.
_SOONEST_SECONDS = 0.05
_SLACK_SECONDS = 5.0


def is_held(found: ObservedRun) -> bool:
    """Whether a run is ready, and has not begun as it waits for its moment."""
    return isinstance(found.record, Running) and found.record.is_held


def is_for_its_moment(job: Job, found: ObservedRun, now: datetime) -> bool:
    """Whether a run that is held waits for the moment that its job is to start at, which is not far ahead."""
    held, moment = found.record, job.spec.starts_at
    is_its = isinstance(held, Running) and moment is not None and read_rfc3339(held.not_before) == moment
    return is_its and not is_far_ahead(job, now)


def is_far_ahead(job: Job, now: datetime) -> bool:
    """Whether a run of the job is not to be ready so soon: the clock was set back, or the moment put off."""
    moment = job.spec.starts_at
    return moment is not None and (moment - now).total_seconds() > LONGEST_SECONDS + _SLACK_SECONDS


def wait(job: Job, now: datetime, later_seconds: float = 0.0) -> Plan:
    """Wait for spec.startAt, by the wall clock, and look again so long after it."""
    start = job.spec.starts_at or now
    left = max(0.0, (start - now).total_seconds()) + later_seconds
    return Plan.wait(Reason.SCHEDULED, f"it starts at {wire_time(start)}", min(left, _LONGEST_SECONDS))


def wait_for_all(job: Job, observed: ObservedJob, obstacle: Plan | None) -> Plan:
    """Wait likewise, or until its run is to be made ready; and have what that will need made meanwhile."""
    start = job.spec.starts_at or observed.now
    seconds = min((start - observed.now).total_seconds(), _LONGEST_SECONDS)
    if obstacle is not None and obstacle.waiting is not None:
        why = f"{obstacle.waiting.reason}: {obstacle.waiting.message}"
        said = f"it starts at {wire_time(start)}; not ready for it so far: {why}"
        sooner = min(seconds, obstacle.check_again_seconds or seconds)
        return Plan(obstacle.steps, Waiting(Reason.SCHEDULED, said), sooner)
    if observed.ready_from is not None and not observed.may_be_early:
        seconds = min(seconds, max(_SOONEST_SECONDS, (observed.ready_from - observed.now).total_seconds()))
    return replace(wait(job, observed.now), check_again_seconds=seconds)
