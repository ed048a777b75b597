"""Which objects look again when others change: jobs for what they wait for, runtimes for what registries offer.

Never here: what they find then. Invariant: who could go on is woken; that some are woken for nothing costs a look. A
change that can matter to no job, such as who has a volume now, costs none: there are as many of those as of runs.
"""

from collections.abc import Iterator, Sequence

from api.kinds import CONFIG_MAP, JOB, NETWORK, REGISTRY, RUNTIME, SECRET, VOLUME
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType
from api.types.job import Reason
from controller.engine.controller import Also
from controller.job import references
from state.store import Store


class Waking:
    """Answers from the objects in a store."""

    def __init__(self, store: Store) -> None:
        """Look in `store`."""
        self._store = store

    def of_jobs(self) -> tuple[Also, ...]:
        """Return the kinds whose changes make jobs due, each with whom it wakes."""
        return (
            (RUNTIME.name, self._jobs_that_wait),
            (REGISTRY.name, self._jobs_that_wait),
            (NETWORK.name, self._jobs_of_network),
            (VOLUME.name, self._jobs_of_volume),
            (SECRET.name, self._jobs_that_lack),
            (CONFIG_MAP.name, self._jobs_that_lack),
        )

    def _jobs_that_wait(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when there is news of a runtime, or of what registries offer."""
        if not concerns_jobs(change):
            return ()
        jobs = (job for job in self._store.each(JOB.name) if job["spec"].get("runtime"))
        return tuple(ObjectKey.of(job) for job in jobs if _is_pending(job))

    def _jobs_that_lack(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when a Secret or ConfigMap that they refer to comes or changes."""
        waiting = self._waiting(change, (change.key.name,))
        return tuple(ObjectKey.of(job) for job in waiting if references.refers(job, change.key))

    def _jobs_of_network(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when a network of their namespace comes or changes."""
        if not concerns_jobs(change):
            return ()
        reasons = (Reason.NETWORK_NOT_FOUND, Reason.NETWORK_NOT_READY)
        waiting = self._waiting(change, reasons)  # They need not name it: it may be the default.
        return tuple(ObjectKey.of(job) for job in waiting if job["status"].get("reason") in reasons)

    def _jobs_of_volume(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when there is news of a volume that they name."""
        if not concerns_jobs(change):
            return ()
        name = change.key.name
        return tuple(
            ObjectKey.of(job)
            for job in self._waiting(change, (name,))
            if any(mount["name"] == name for mount in job["spec"].get("volumeMounts", ()))
        )

    def _waiting(self, change: Change, words: Sequence[str]) -> Iterator[Document]:
        """Yield the jobs beside what changed that may wait for it, of those that have one of these words."""
        quoted = [f'"{word}"' for word in words]
        jobs = self._store.each(JOB.name, change.key.namespace, words=quoted)
        return (job for job in jobs if _is_pending(job))

    def runtimes_of_registry(self, _change: Change) -> tuple[ObjectKey, ...]:
        """All runtimes look again when a registry changes: it may have what they lack."""
        return tuple(self._store.keys(RUNTIME.name))


def concerns_jobs(change: Change) -> bool:
    """Whether a change may matter to jobs that wait: how far an install is does not, nor who uses it."""
    if change.previous is None or change.type is ChangeType.DELETED:
        return True
    return _told(change.previous) != _told(change.document)


def _told(document: Document) -> tuple[object, ...]:
    """Return what may matter: what is wanted, what is usable or how much is offered, and why it is not ready."""
    status = document.get("status", {})
    versions = status.get("versions")
    if isinstance(versions, list):
        versions = sorted(version["version"] for version in versions if version.get("state") == "Installed")
    said = [(c.get("status"), c.get("reason"), c.get("message")) for c in status.get("conditions", ())]
    return document["metadata"].get("deletionTimestamp"), document.get("spec"), versions, status.get("runtimes"), said


def _is_pending(job: Document) -> bool:
    """Whether a run of it may be waited for: of a job of many runs, others may run meanwhile."""
    status = job.get("status", {})
    return status.get("phase", "Pending") == "Pending" or ("ready" in status and status["phase"] == "Running")
