"""What the sender of a job should know of it though it is taken: limits that this host cannot fill. Pure.

Such a limit is no mistake by itself: it is a ceiling. But it stands for a request that is not said, which is then all
that runs can have here: the run has the host to itself. Never here: what is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from api import quantity
from api.kinds import CRON_JOB, JOB, WORKFLOW
from controller.capacity.amounts import CPU, MEMORY, STORAGE, Amounts, told

_READ = {CPU: quantity.to_millicpu, MEMORY: quantity.to_bytes, STORAGE: quantity.to_bytes}


def of(document: Mapping[str, Any], allocatable: Amounts) -> tuple[str, ...]:
    """Return what to tell of an object that passed validation, on a host that has so much for runs.

    >>> job = {"kind": "Job", "spec": {"resources": {"limits": {"cpu": "64"}}}}
    >>> of(job, {"cpu": 2000})
    ('spec.resources.limits.cpu: 64 is more than runs can have on this host (2): each run requests all of that, so no \
other runs beside it: say resources.requests.cpu to request less',)
    """
    return tuple(line for where, spec in _jobs_in(document) for line in _of_job(where, spec, allocatable))


def _jobs_in(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    spec = document.get("spec") or {}
    match document.get("kind"):
        case JOB.name:
            yield "spec", spec
        case CRON_JOB.name:
            yield "spec.jobTemplate.spec", spec["jobTemplate"]["spec"]
        case WORKFLOW.name:
            for name, job in spec["jobs"].items():
                yield f"spec.jobs[{name}].template.spec", job.get("template", {}).get("spec", {})


def _of_job(where: str, spec: Mapping[str, Any], allocatable: Amounts) -> Iterator[str]:
    resources = spec.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, read in _READ.items():
        limit, most = limits.get(name), allocatable.get(name)
        if limit is not None and name not in requests and most is not None and read(str(limit)) > most:
            yield (
                f"{where}.resources.limits.{name}: {limit} is more than runs can have on this host "
                f"({told(name, most)}): each run requests all of that, so no other runs beside it: say "
                f"resources.requests.{name} to request less"
            )
