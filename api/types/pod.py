"""Pods: a job's runs as core/v1 Pods, a pure projection; nothing is stored twice.

So `kubectl logs`, `kubectl get pods` and every tool that knows pods can look at runs.
"""

from api.meta import Document
from api.types.job import Job, Run, RunState

JOB_NAME_LABEL = "runwright.dev/job-name"
CONTAINER_NAME = "job"
_IMAGE_OF_HOST = "host"


def pod_name(job_name: str, attempt: int) -> str:
    """Return the name of the Pod that shows run `attempt` of a job."""
    return f"{job_name}-{attempt}"


def pods_of(job: Job, node_name: str) -> tuple[Document, ...]:
    """Return the job's runs as Pods, oldest first, on the node `node_name`."""
    return tuple(_pod(job, run, node_name) for run in job.status.runs)


def _pod(job: Job, run: Run, node_name: str) -> Document:
    meta = job.meta
    owner = {"apiVersion": job.api_version, "kind": job.kind, "name": meta.name, "uid": meta.uid, "controller": True}
    container = {"name": CONTAINER_NAME, "image": run.runtime or _IMAGE_OF_HOST, "command": list(job.spec.command)}
    container |= {"args": list(job.spec.args)} if job.spec.args else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(meta.name, run.attempt),
            "namespace": meta.namespace,
            "uid": f"{meta.uid}-{run.attempt}",
            "resourceVersion": meta.resource_version,
            "creationTimestamp": run.started_at or meta.creation_timestamp,
            "labels": {**meta.labels, JOB_NAME_LABEL: meta.name},
            "ownerReferences": [owner],
        },
        "spec": {"containers": [container], "restartPolicy": "Never", "nodeName": node_name},
        "status": _status(run),
    }


def _status(run: Run) -> Document:
    running = run.state is RunState.RUNNING
    phase = {RunState.PENDING: "Pending", RunState.RUNNING: "Running"}.get(run.state)
    status: Document = {"phase": phase or ("Succeeded" if run.exit_code == 0 else "Failed")}
    status["conditions"] = [{"type": "Ready", "status": "True" if running else "False"}]
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


def _container_state(run: Run) -> Document:
    if run.state is RunState.PENDING:
        return {"waiting": {"reason": run.reason or "Pending"}}
    if run.state is RunState.RUNNING:
        return {"running": {"startedAt": run.started_at}}
    ended: Document = {"exitCode": 255 if run.exit_code is None else run.exit_code, "reason": run.reason}
    ended |= {"signal": run.signal} if run.signal else {}
    ended |= {"startedAt": run.started_at} if run.started_at else {}
    return {"terminated": ended | {"finishedAt": run.finished_at, "message": run.message}}
