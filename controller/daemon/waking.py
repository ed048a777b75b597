"""Which objects look again when others change: jobs for what they wait for, runtimes for what registries offer.

Never here: what they find then. Invariant: who could go on is woken; that some are woken for nothing costs a look.
"""

from api.kinds import JOB, RUNTIME
from api.meta import Document, ObjectKey
from api.ports import Change
from controller.daemon.runtimes_for_jobs import concerns_jobs
from controller.job import references
from state.store import Store


class Waking:
    """Answers from the objects in a store."""

    def __init__(self, store: Store) -> None:
        """Look in `store`."""
        self._store = store

    def jobs_that_wait(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when there is news of a runtime, or of what registries offer."""
        if not concerns_jobs(change):
            return ()
        jobs = (job for job in self._store.each(JOB.name) if job["spec"].get("runtime"))
        return tuple(ObjectKey.of(job) for job in jobs if _is_pending(job))

    def jobs_that_lack(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that have not started look again when a Secret or ConfigMap that they refer to comes or changes."""
        waiting = (job for job in self._store.each(JOB.name, change.key.namespace) if _is_pending(job))
        return tuple(ObjectKey.of(job) for job in waiting if references.refers(job, change.key))

    def runtimes_of_registry(self, _change: Change) -> tuple[ObjectKey, ...]:
        """All runtimes look again when a registry changes: it may have what they lack."""
        return tuple(self._store.keys(RUNTIME.name))


def _is_pending(job: Document) -> bool:
    return bool(job.get("status", {}).get("phase", "Pending") == "Pending")
