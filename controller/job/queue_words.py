"""Why a job waits for its turn, in words: its place, what is missing, who comes first. Pure."""

from api.types.job import Reason
from controller.capacity import amounts
from controller.capacity.amounts import CPU, MEMORY, RUNS, STORAGE, Amounts, Need
from controller.capacity.line import Waiting

_REASONS = {
    RUNS: Reason.HOST_BUSY,
    CPU: Reason.INSUFFICIENT_CPU,
    MEMORY: Reason.INSUFFICIENT_MEMORY,
    STORAGE: Reason.INSUFFICIENT_STORAGE,
}


def reason(need: Need, free: Amounts) -> Reason:
    """Return the one word for what is missing: what nobody can have first."""
    lacking = amounts.lacking(need, free)
    if not lacking:
        return Reason.QUEUED
    if RUNS in lacking:
        return Reason.HOST_BUSY
    return next((_REASONS[name] for name in (CPU, MEMORY, STORAGE) if name in lacking), Reason.DEVICES_UNAVAILABLE)


def missing(one: Waiting, free: Amounts, allocatable: Amounts, ahead: int, kept_for: Waiting | None) -> str:
    """Return what a person is told of why one waits."""
    parts = [_missing(name, one.need, free, allocatable) for name in amounts.lacking(one.need, free)]
    if not parts and kept_for is not None and kept_for.key != one.key:
        parts = [f"what it needs is free, and is kept for {named(kept_for, one.key.namespace)}, which comes first"]
    elif not parts:
        parts = ["it is about to begin" if not ahead else "others come first"]
    return "; ".join(parts)


def named(one: Waiting, namespace: str) -> str:
    """Return what somebody of a namespace is told of a job: of another's, not its name."""
    return str(one.key) if one.key.namespace == namespace else "a job of another namespace"


def place(one: Waiting, ahead: int, length: int) -> str:
    """Return what a person is told of where one is in the queue."""
    of_class = f" of class {one.class_name}" if one.class_name else ""
    return f"place {ahead + 1} of {length} in the queue, priority {one.priority}{of_class}"


def never(need: Need, allocatable: Amounts) -> str:
    """Return why a run can never begin on this host; empty if it can."""
    over = amounts.lacking(need, allocatable)
    if not over:
        return ""
    wanted = dict(need)
    parts = [
        f"it requests {amounts.told(name, wanted[name])} of {name}, and this host has "
        f"{amounts.told(name, allocatable.get(name, 0))} for runs in all"
        for name in over
    ]
    fields = " and ".join(f"spec.resources.{'limits' if '/' in name else 'requests'}.{name}" for name in over)
    return f"it can never run here: {'; '.join(parts)}: lower {fields}"


def _missing(name: str, need: Need, free: Amounts, allocatable: Amounts) -> str:
    have, all_ = free.get(name, 0), allocatable.get(name, 0)
    if name == RUNS:
        return f"{all_ - have} runs are active on this host, jobs.max_active is {all_}"
    wanted = amounts.told(name, dict(need)[name])
    return f"it requests {wanted} of {name}, and {amounts.told(name, have)} of {amounts.told(name, all_)} are free"
