"""Order between jobs: how far those are that a job runs after, and what follows from it. Pure.

It is decided from how the others are now, and from what is on record: what was met once is met for good, so that the
others may be deleted after that. Never here: finding who waits for whom (`waiters.py`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from api import cycles
from api.meta import Document, read_time, wire_time
from api.types.job import Job, Reason
from api.types.job_after import After, AfterCondition, AfterState, AfterStatus, outcome

MISSING_SECONDS = 600.0
"""How long a job waits for one that is not there."""
_SOONEST_CHECK_SECONDS = 0.1
_TO = {
    AfterCondition.COMPLETE: "to complete",
    AfterCondition.FAILED: "to fail",
    AfterCondition.FINISHED: "to end",
}


def settle(
    job: Job, others: Mapping[str, Document | None], cycle: Sequence[str], now: datetime
) -> tuple[AfterStatus, ...]:
    """Return how far each of the job's `spec.after` is; `cycle` are the jobs that wait for each other with it."""
    before = {(each.job, each.condition): each for each in job.status.after}
    is_same = job.status.observed_generation == job.meta.generation
    found = []
    for wanted in job.spec.after:
        known = before.get((wanted.job, wanted.condition))
        if known is not None and (known.state is AfterState.MET or (is_same and known.state is AfterState.NEVER)):
            found.append(known)
        elif cycle:
            message = f"these jobs wait for each other: {cycles.told(cycle)}: take one of them out of a spec.after"
            found.append(_never(wanted, Reason.DEPENDENCY_CYCLE, message))
        else:
            found.append(_look(wanted, others.get(wanted.job), known, now))
    return tuple(found)


def _look(wanted: After, other: Document | None, known: AfterStatus | None, now: datetime) -> AfterStatus:
    if other is None:
        return _look_for(wanted, known, now)
    uid = other["metadata"]["uid"]
    ended = outcome(other)
    if ended is None:
        message = f"job/{wanted.job} {_TO[wanted.condition]}"
        return _status(wanted, AfterState.WAITING, uid=uid, message=message)
    if wanted.condition in (ended, AfterCondition.FINISHED):
        return _status(wanted, AfterState.MET, uid=uid)
    did = "failed" if ended is AfterCondition.FAILED else "completed"
    told = _last_words(other) if ended is AfterCondition.FAILED else ""
    message = f"it was to run after job/{wanted.job} {_TO[wanted.condition]}, and that {did}{told}"
    return _never(wanted, Reason.DEPENDENCY_FAILED, message, uid)


def _look_for(wanted: After, known: AfterStatus | None, now: datetime) -> AfterStatus:
    """Look at one that is not there: it may come, but for one that was there already."""
    if known is not None and known.uid:
        message = f"it was to run after job/{wanted.job} {_TO[wanted.condition]}, and that was deleted before"
        return _never(wanted, Reason.DEPENDENCY_FAILED, message, known.uid)
    since = read_time(known.missing_since) if known is not None and known.missing_since else now
    if now - since >= timedelta(seconds=MISSING_SECONDS):
        message = f"it was to run after job/{wanted.job}, and for {MISSING_SECONDS:g} s there was none"
        return _never(wanted, Reason.DEPENDENCY_FAILED, message)
    message = f"job/{wanted.job} {_TO[wanted.condition]}, which is not there so far"
    return _status(wanted, AfterState.WAITING, missing_since=wire_time(since), message=message)


def _never(wanted: After, reason: Reason, message: str, uid: str = "") -> AfterStatus:
    return _status(wanted, AfterState.NEVER, uid=uid, reason=reason.value, message=message)


def _status(wanted: After, state: AfterState, **said: str) -> AfterStatus:
    return AfterStatus(job=wanted.job, condition=wanted.condition, state=state, **said)


def _last_words(job: Document) -> str:
    status = job.get("status", {})
    return f": {': '.join(filter(None, (status.get('reason'), status.get('message'))))}" if status.get("reason") else ""


def never(after: Sequence[AfterStatus]) -> AfterStatus | None:
    """Return the one that can never be met any more, if there is one."""
    return next((each for each in after if each.state is AfterState.NEVER), None)


def waiting(after: Sequence[AfterStatus]) -> str:
    """Say what is waited for; empty if all was met."""
    awaited = [each.message for each in after if each.state is AfterState.WAITING]
    more = f", and {len(awaited) - _TOLD} more" if len(awaited) > _TOLD else ""
    return f"waits for {', '.join(awaited[:_TOLD])}{more}" if awaited else ""


_TOLD = 5


def check_again_seconds(after: Sequence[AfterStatus], now: datetime) -> float | None:
    """Return in how long one that is not there will have been waited for long enough; None without any."""
    since = [read_time(each.missing_since) for each in after if each.missing_since and each.state is AfterState.WAITING]
    if not since:
        return None
    left = (min(since) + timedelta(seconds=MISSING_SECONDS) - now).total_seconds()
    return max(left, _SOONEST_CHECK_SECONDS)
