"""What a job counts for in the quotas of its namespace, by the names that quotas have for it. Pure.

A job that is not over counts as the pods that it has or waits to have at a time, each with its requests and limits. One
that is over counts for nothing but itself.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api.types.job import Job
from controller.capacity.amounts import CPU, MEMORY, RUNS, STORAGE
from controller.capacity.charges import Charge, Nature
from controller.job import requests
from controller.job.requests import RequestDefaults

_OVER = ("Succeeded", "Failed")


def is_over(document: Mapping[str, Any]) -> bool:
    """Whether a job counts no more, as its status says of what it is made of: one that is made otherwise runs again."""
    status = document.get("status", {})
    if status.get("phase") not in _OVER:
        return False
    is_seen = status.get("observedGeneration") == document["metadata"].get("generation")
    return is_seen or not begins_again(document, document)


def begins_again(document: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether a job that is over would run again if it became `document`."""
    template: object = live["status"].get("templateHash")
    try:
        return Job.model_validate({**document, "status": {}}).spec.template_hash() != template
    except ValidationError:
        return False  # Nobody can read it, so nobody begins it.


def of(document: Mapping[str, Any], defaults: RequestDefaults) -> Charge:
    """Return what a job counts for while it is not over; a limit that it does not set is left out.

    One that cannot be read counts as a pod, of which nothing is known: it may have one.
    """
    try:
        job = Job.model_validate({**document, "status": {}})
    except ValidationError:
        return Charge({RUNS: 1}, Nature(best_effort=True))
    limits = job.spec.resources.limits
    wanted = requests.of(job, defaults)
    have = {CPU: limits.millicpu, MEMORY: limits.memory_bytes, STORAGE: limits.storage_bytes}
    each = {
        RUNS: 1,
        **{f"requests.{name}": amount for name, amount in wanted.items() if name != RUNS},
        **{f"limits.{name}": amount for name, amount in have.items() if amount is not None},
    }
    many = job.spec.most_active
    return Charge({name: amount * many for name, amount in each.items()}, _nature(job))


def _nature(job: Job) -> Nature:
    spec = job.spec
    asked = [(of.millicpu, of.memory_bytes) for of in (spec.resources.requests, spec.resources.limits)]
    return Nature(
        terminating=spec.active_deadline_seconds is not None,
        best_effort=not any(amount for amounts in asked for amount in amounts),
        class_name=spec.priority_class_name or "",
    )
