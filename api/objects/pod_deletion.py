"""The deletion of pods: a pod is a run of a job, so the job is told, and ends the run.

What is put on record is an annotation of the job. A run that is over goes at once, as it is shown no more; one that
lives gets its grace period first. Its job may run again, as after any failure. Never here: ending a run.
"""

from typing import Any

from api.errors import Conflict, NotFound
from api.kinds import JOB, POD, Kind
from api.meta import Document, wire_time
from api.objects import admission, writes
from api.objects.admission import WriteOptions
from api.objects.listing import Page
from api.objects.patch import PatchType
from api.objects.projections import Pods
from api.objects.selectors import EVERYTHING, Selector
from api.objects.verbs import Clock, Deleted, Verbs
from api.ports import Storage
from api.types.pod import DELETED_PODS_ANNOTATION, PodDeletion, deleted_pods, deleted_pods_text

_MOST_TRIES = 10
_WRITER = WriteOptions(field_manager="pods")


class PodVerbs(Verbs):
    """The verbs that pods have besides reading: they are deleted, alone or many at once."""

    def __init__(self, storage: Storage, clock: Clock, pods: Pods) -> None:
        """Tell the jobs of `pods`, which are in `storage`."""
        super().__init__(storage, clock)
        self._pods = pods

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
        grace_seconds: int | None = None,
    ) -> Deleted:
        """Delete a pod; one that is being deleted already may be given less time.

        Raises:
            NotFound.
            Conflict: `uid` or `resource_version` is not its own, or its job is changed by others all the time.
        """
        sent = {"metadata": {"uid": uid, "resourceVersion": resource_version}}
        for _ in range(_MOST_TRIES):
            pod, job = self._pods.get(namespace, name), self._pods.job_of(namespace, name)
            writes.check_preconditions(POD, pod, sent)
            change = self._change(pod, job, grace_seconds)
            if change is None or dry_run:
                return Deleted(pod, gone=False)
            try:
                self.patch(JOB, namespace, job["metadata"]["name"], change, PatchType.MERGE, _WRITER)
            except Conflict:
                continue
            return self._now(namespace, name, pod)
        about = admission.about(POD, name)
        raise Conflict(f"Operation cannot be fulfilled on {about}: its job changed meanwhile: retry", about)

    def delete_collection(self, kind: Kind, namespace: str | None, selector: Selector = EVERYTHING, **how: Any) -> Page:
        """Delete every pod that `selector` takes; return what they were."""
        page = self._pods.list(namespace, selector)
        for pod in page.items:
            metadata = pod["metadata"]
            try:
                self.delete(kind, metadata["namespace"], metadata["name"], uid=metadata["uid"], **how)
            except (NotFound, Conflict):
                continue  # Gone already, or another one by now.
        return page

    def _change(self, pod: Document, job: Document, grace_seconds: int | None) -> Document | None:
        """Return the merge patch that tells the job, or None if it knows."""
        metadata = job["metadata"]
        known = deleted_pods(metadata.get("annotations", {}))
        attempt = int(pod["metadata"]["name"].rpartition("-")[2])
        grace = _grace_of(job) if grace_seconds is None else grace_seconds
        before = known.get(attempt)
        if before is not None and grace >= before.grace_seconds:
            return None
        on_record = {run["attempt"] for run in job.get("status", {}).get("runs", ())}
        kept = {number: each for number, each in known.items() if number in on_record}
        kept[attempt] = PodDeletion(wire_time(self._clock.now()), grace)
        annotations = {DELETED_PODS_ANNOTATION: deleted_pods_text(kept)}
        return {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": annotations}}

    def _now(self, namespace: str, name: str, before: Document) -> Deleted:
        """Return the pod as it is; as it was if it has gone: clients count on a Pod, as Kubernetes answers one."""
        try:
            return Deleted(self._pods.get(namespace, name), gone=False)
        except NotFound:
            return Deleted(before, gone=False)


def _grace_of(job: Document) -> int:
    return int(job["spec"].get("terminationGracePeriodSeconds", 30))
