"""What a run of a job takes of the host: its requests, or what stands for those that it does not say. Pure.

A request that is not said is the limit, where there is one; but no more than the host has in all: a limit is a ceiling,
and who needs that much says so by a request. Without a limit it is the setting's small default: enough for a run to
be there at all, so that many that want little begin, and none is counted as nothing.
"""

from dataclasses import dataclass

from api.types.job import Job, Run
from controller.capacity import amounts
from controller.capacity.amounts import CPU, MEMORY, RUNS, STORAGE, Amounts, Need


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """What is requested for a run that has neither request nor limit."""

    millicpu: int = 0
    memory_bytes: int = 0
    storage_bytes: int = 0


def of(job: Job, defaults: RequestDefaults) -> dict[str, int]:
    """Return what one run of `job` requests, by name of the resource."""
    wanted, limits = job.spec.resources.requests, job.spec.resources.limits
    return {
        CPU: _first(wanted.millicpu, limits.millicpu, defaults.millicpu),
        MEMORY: _first(wanted.memory_bytes, limits.memory_bytes, defaults.memory_bytes),
        STORAGE: _first(wanted.storage_bytes, limits.storage_bytes, defaults.storage_bytes),
        **limits.devices,
        RUNS: 1,
    }


def need(job: Job, defaults: RequestDefaults, allocatable: Amounts) -> Need:
    """Return what one run of `job` takes on a host that has so much for runs."""
    wanted = job.spec.resources.requests
    said = {CPU: wanted.millicpu, MEMORY: wanted.memory_bytes, STORAGE: wanted.storage_bytes}
    found = of(job, defaults)
    for name, asked in said.items():
        if asked is None:
            found[name] = min(found[name], allocatable.get(name, 0))
    return amounts.need(found)


def recorded(need_: Need) -> dict[str, str]:
    """Return what a run was promised, as it is put on record."""
    return {name: amounts.wire(name, amount) for name, amount in need_}


def promised_to(run: Run) -> Need:
    """Return what a run on record was promised; one that was begun before there were promises, its place alone."""
    return amounts.need({name: amounts.read(name, text) for name, text in run.requests.items()} or {RUNS: 1})


def _first(*given: int | None) -> int:
    return next(amount for amount in given if amount is not None)
