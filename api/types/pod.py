"""Pods: a job's runs as core/v1 Pods, a pure projection; nothing is stored twice.

So `kubectl logs`, `kubectl get pods` and every tool that knows pods can look at runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from api.definition import Column, Definition, field
from api.meta import Document, read_time, wire_time
from api.types.job import Job, Run, RunState
from api.types.job_many import FAILURES_ANNOTATION, INDEX_LABEL, INDEX_VARIABLE, is_indexed
from api.types.job_spec import EnvVar
from api.types.pod_fields import Pod
from api.types.references import EnvFromSource

CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")

JOB_NAME_LABEL = "runwright.dev/job-name"
CONTAINER_NAME = "job"
DELETED_PODS_ANNOTATION = "runwright.dev/deleted-pods"
"""On a job: which of its pods were deleted. Such a run is ended, if it has not, and then shown no more."""
_IMAGE_OF_HOST = "host"


@dataclass(frozen=True, slots=True)
class PodDeletion:
    """That a pod was deleted: when that was asked for, and the seconds that its run has to end by itself."""

    at: str
    grace_seconds: int


def deleted_pods(annotations: Mapping[str, str]) -> dict[int, PodDeletion]:
    """Return the deletions of a job's pods by attempt; a text that cannot be read says nothing."""
    try:
        held = json.loads(annotations.get(DELETED_PODS_ANNOTATION, "{}"))
        found = {int(attempt): PodDeletion(str(at), int(grace)) for attempt, (at, grace) in held.items()}
        return {attempt: each for attempt, each in found.items() if read_time(each.at) and each.grace_seconds >= 0}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def deleted_pods_text(deletions: Mapping[int, PodDeletion]) -> str:
    """Return the value of the annotation that says so.

    >>> deleted_pods_text({2: PodDeletion("2026-01-01T00:00:00Z", 30)})
    '{"2":["2026-01-01T00:00:00Z",30]}'
    """
    listed = {str(attempt): [each.at, each.grace_seconds] for attempt, each in sorted(deletions.items())}
    return json.dumps(listed, separators=(",", ":"))


def pod_name(job_name: str, attempt: int, index: int | None = None) -> str:
    """Return the name of the Pod that shows run `attempt` of a job, which has this index if it has any."""
    return f"{job_name}-{attempt}" if index is None else f"{job_name}-{index}-{attempt}"


def pod_uid(job_uid: str, attempt: int) -> str:
    """Return the uid of the Pod that shows run `attempt` of the job with this uid."""
    return f"{job_uid}-{attempt}"


def pod_name_in(job: Document, attempt: int) -> str:
    """Return the name of the Pod that shows run `attempt` of a job as it is stored."""
    runs = job.get("status", {}).get("runs", ()) if is_indexed(job) else ()
    index = next((run.get("index") for run in runs if run["attempt"] == attempt), None)
    return pod_name(job["metadata"]["name"], attempt, index)


def pods_of(job: Job, node_name: str) -> tuple[Document, ...]:
    """Return the job's runs as Pods, oldest first, on the node `node_name`."""
    deletions = deleted_pods(job.meta.annotations)
    shown = (run for run in job.status.runs if run.state is not RunState.ENDED or run.attempt not in deletions)
    return tuple(_deleted(_pod(job, run, node_name), deletions.get(run.attempt)) for run in shown)


def _deleted(pod: Document, deletion: PodDeletion | None) -> Document:
    """Return a pod that says that it is being deleted, if it is."""
    if deletion is None:
        return pod
    ends = wire_time(read_time(deletion.at) + timedelta(seconds=deletion.grace_seconds))
    going = {"deletionTimestamp": ends, "deletionGracePeriodSeconds": deletion.grace_seconds}
    return pod | {"metadata": pod["metadata"] | going}


def _pod(job: Job, run: Run, node_name: str) -> Document:
    meta = job.meta
    owner = {"apiVersion": job.api_version, "kind": job.kind, "name": meta.name, "uid": meta.uid, "controller": True}
    container: Document = {
        "name": CONTAINER_NAME,
        "image": run.runtime or _IMAGE_OF_HOST,
        "command": list(job.spec.command),
    }
    container |= {"args": list(job.spec.args)} if job.spec.args else {}
    container |= _environment(job, run)
    container |= {"stdin": True} if job.spec.stdin else {}
    container |= {"stdinOnce": True} if job.spec.stdin_once else {}
    container["resources"] = _resources(job, run)
    name = job.spec.priority_class_name
    spec: Document = {"containers": [container], "restartPolicy": "Never", "nodeName": node_name}
    spec |= {"priority": run.priority} | ({"priorityClassName": name} if name else {})
    spec |= {"hostNetwork": True} if (run.receipt or {}).get("hostNetwork") else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(meta.name, run.attempt, run.index),
            "namespace": meta.namespace,
            "uid": pod_uid(meta.uid, run.attempt),
            "resourceVersion": meta.resource_version,
            "creationTimestamp": run.started_at or meta.creation_timestamp,
            "labels": {**meta.labels, JOB_NAME_LABEL: meta.name, **_index_of(run)},
            **({"annotations": _index_of(run) | _failures_of(run)} if run.index is not None else {}),
            "ownerReferences": [owner],
        },
        "spec": spec,
        "status": _status(run),
    }


def _environment(job: Job, run: Run) -> Document:
    """What the job says of its run's environment: values as they are written, and of others where they come from.

    What those are is nowhere but in the run: nobody who may see pods sees a Secret by it.
    """
    said: Document = {}
    env = [{"name": INDEX_VARIABLE, "value": str(run.index)}] if run.index is not None else []
    if _is_of_present(job, run):
        env = [_as_written(variable) for variable in job.spec.env] + env
        said = {"envFrom": [_as_written(source) for source in job.spec.env_from]} if job.spec.env_from else {}
    return ({"env": env} if env else {}) | said


def _as_written(value: EnvVar | EnvFromSource) -> Document:
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _is_of_present(job: Job, run: Run) -> bool:
    """Whether the run is of what the spec says now; another was of one that nobody has any more."""
    return run.template_hash == job.spec.template_hash()


def _index_of(run: Run) -> dict[str, str]:
    return {} if run.index is None else {INDEX_LABEL: str(run.index)}


def _failures_of(run: Run) -> dict[str, str]:
    return {} if run.index_failures is None else {FAILURES_ANNOTATION: str(run.index_failures)}


def _resources(job: Job, run: Run) -> Document:
    """What the run was promised, and the limits of it that pods have too."""
    requests = {name: amount for name, amount in run.requests.items() if name != "pods"}
    limits = job.spec.resources.limits
    have = {"cpu": limits.cpu, "memory": limits.memory, "ephemeral-storage": limits.ephemeral_storage}
    told = {name: amount for name, amount in have.items() if amount is not None}
    told |= {kind: str(count) for kind, count in limits.devices.items()}
    return ({"limits": told} if told and _is_of_present(job, run) else {}) | (
        {"requests": requests} if requests else {}
    )


def _status(run: Run) -> Document:
    running = run.state is RunState.RUNNING
    phase = {RunState.PENDING: "Pending", RunState.RUNNING: "Running"}.get(run.state)
    status: Document = {"phase": phase or ("Succeeded" if run.exit_code == 0 else "Failed")}
    status["conditions"] = list(_conditions(run))
    status |= {"startTime": run.started_at} if run.started_at else {}
    status |= {"reason": run.reason, "message": run.message} if run.reason else {}
    status["containerStatuses"] = [
        {
            "name": CONTAINER_NAME,
            "image": run.runtime or _IMAGE_OF_HOST,
            "imageID": "",
            "ready": running,
            "started": running,
            "restartCount": 0,
            "state": _container_state(run),
            "lastState": {},
        }
    ]
    return status


def _conditions(run: Run) -> Iterator[Document]:
    """Yield the conditions that every Pod has; there are clients who wait for each of them."""
    running, pending = run.state is RunState.RUNNING, run.state is RunState.PENDING
    is_over = run.state is RunState.ENDED
    since = run.finished_at if is_over else run.started_at
    why_not = {"reason": "PodCompleted"} if is_over and run.exit_code == 0 else {"reason": "ContainersNotReady"}
    for type_, holds in zip(CONDITIONS, (True, not pending, running, running), strict=True):
        condition: Document = {"type": type_, "status": "True" if holds else "False"}
        condition |= {"lastTransitionTime": since} if since else {}
        yield condition | ({} if holds else why_not)


def _container_state(run: Run) -> Document:
    if run.state is RunState.PENDING:
        return {"waiting": {"reason": run.reason or "Pending"}}
    if run.state is RunState.RUNNING:
        return {"running": {"startedAt": run.started_at}}
    ended: Document = {"exitCode": 255 if run.exit_code is None else run.exit_code, "reason": run.reason}
    ended |= {"signal": run.signal} if run.signal else {}
    ended |= {"startedAt": run.started_at} if run.started_at else {}
    return {"terminated": ended | {"finishedAt": run.finished_at, "message": run.message}}


def _pod_ready(document: Document) -> str:
    statuses = document["status"].get("containerStatuses", [])
    return f"{sum(1 for status in statuses if status['ready'])}/{len(statuses)}"


def _pod_status(document: Document) -> str:
    return str(document["status"].get("reason") or document["status"].get("phase", ""))


DEFINITION = Definition(
    type=Pod,
    conditions=CONDITIONS,
    columns=(
        Column("Ready", _pod_ready, description="Whether its container runs."),
        Column("Status", _pod_status, description="Its phase, or why it ended."),
        Column("Restarts", lambda _document: "0", description="Always 0: each retry is a pod of its own."),
        Column("Node", field("spec.nodeName"), wide=True, description="The host."),
    ),
)
