"""How soon jobs come: what their PriorityClasses say, read from the store when somebody asks.

Classes are looked up each time and their values never change; of a class that is gone, and of one that became the
default since, the job's status knows better: a job keeps the priority that it came with.
"""

from dataclasses import dataclass

from api.kinds import PRIORITY_CLASS
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.job import Job
from api.types.priority_class import PreemptionPolicy


@dataclass(frozen=True, slots=True)
class Priority:
    """A job's priority, the class that says so, and whether its runs may take the place of others."""

    value: int = 0
    class_name: str = ""
    preempts: bool = True


class Priorities:
    """Knows the classes in a store."""

    def __init__(self, storage: Storage) -> None:
        """Look in `storage`."""
        self._storage = storage

    def of(self, job: Job) -> Priority:
        """Return the priority of a job."""
        name = job.spec.priority_class_name
        if name:
            found = self._storage.get(ObjectKey(PRIORITY_CLASS.name, "", name))
            return _said_by(found) if found else Priority(job.status.priority or 0, name, preempts=False)
        defaults = [each for each in self._storage.each(PRIORITY_CLASS.name) if each.get("globalDefault")]
        known = job.status.priority
        said = (one for one in map(_said_by, defaults) if known is None or one.value == known)
        # Of several, Kubernetes takes the lowest.
        return min(said, key=lambda one: (one.value, one.class_name), default=Priority(known or 0))

    def default_name(self) -> str:
        """Return the name of the class of jobs that name none; empty if there is none. Of several, as `of` does."""
        defaults = (each for each in self._storage.each(PRIORITY_CLASS.name) if each.get("globalDefault"))
        return min(((one.value, one.class_name) for one in map(_said_by, defaults)), default=(0, ""))[1]

    def values(self) -> tuple[int, ...]:
        """Return all priorities that jobs can have."""
        return tuple(sorted({0, *(int(each["value"]) for each in self._storage.each(PRIORITY_CLASS.name))}))


def _said_by(document: Document) -> Priority:
    may = document.get("preemptionPolicy", PreemptionPolicy.PREEMPT_LOWER_PRIORITY.value)
    return Priority(int(document["value"]), document["metadata"]["name"], may != PreemptionPolicy.NEVER.value)
