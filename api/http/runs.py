"""Which run a request about a Pod means, and whether it can be looked at or gone into."""

from starlette.requests import HTTPConnection

from api.errors import BadRequest, NotFound
from api.kinds import POD
from api.meta import Document
from api.objects import admission
from api.objects.projections import Pods
from api.types.pod import CONTAINER_NAME


def run_of(pods: Pods, asked: HTTPConnection, namespace: str, name: str) -> tuple[Document, int]:
    """Return the job of a Pod and the number of its run, which has begun.

    Raises:
        NotFound: there is no such run.
        BadRequest: it has not begun, or has no such container.
    """
    pod, job = pods.get(namespace, name), pods.job_of(namespace, name)
    container = asked.query_params.get("container") or CONTAINER_NAME
    if container != CONTAINER_NAME:
        raise BadRequest(f"container {container[:60]} is not valid for pod {name}")
    waiting = pod["status"]["containerStatuses"][0]["state"].get("waiting")
    if waiting is not None:
        reason = waiting.get("reason", "Pending")
        raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    attempt = name.rpartition("-")[2]
    if str(int(attempt)) != attempt:
        raise NotFound.of(admission.about(POD, name))
    return job, int(attempt)


def refuse_ended(pods: Pods, namespace: str, name: str) -> None:
    """Refuse to go into a run that has ended.

    Raises:
        BadRequest: it has.
    """
    phase = pods.get(namespace, name)["status"]["phase"]
    if phase != "Running":
        raise BadRequest(f"cannot go into pod {name}: it has ended ({phase})")
