"""Which runs of a job are to be copied next, as its status told of them, and whose output is gone before it was.

Of a job of many runs the last that ended stay on record, each with its log. Invariant: a run whose output may be
missing is counted, so that nobody takes a part for the whole.
"""

from api import kinds
from api.cli import finished
from api.client import Client
from api.errors import NotFound
from api.meta import Document

_MOST_NAMED = 5


class RunsSeen:
    """The runs of one job in the order in which they began, as far as its changes were seen."""

    def __init__(self, *, from_now: bool = False) -> None:
        """Have seen none; `from_now`, those that are off the record at the first look are nobody's to miss."""
        self._from_now = from_now
        self._waiting: list[tuple[int, str]] = []
        self._begun: set[int] = set()
        self._recorded: set[int] = set()
        self._lost: set[int] = set()
        self._attempts = 0

    def learn(self, job: Document) -> None:
        """Know what the status of a job says of its runs."""
        attempts = int(job.get("status", {}).get("attempts") or 0)
        if self._from_now:
            self._recorded |= set(range(1, attempts + 1))
            self._from_now = False
        for run in finished.runs_of(job):
            attempt = int(run["attempt"])
            self._recorded.add(attempt)
            if finished.has_begun(run) and attempt not in self._begun:
                self._begun.add(attempt)
                self._waiting.append((attempt, finished.pod_of(job, run)))
        self._attempts = max(self._attempts, attempts)

    @property
    def are_waiting(self) -> bool:
        """Whether there are runs that have begun and were not taken."""
        return bool(self._waiting)

    def take(self) -> tuple[int, str]:
        """Return the attempt and the pod of the run that began first of those that wait. Raises IndexError."""
        return self._waiting.pop(0)

    def lose(self, attempt: int) -> None:
        """Know that the output of a run is gone."""
        self._lost.add(attempt)

    def missing(self) -> str:
        """Say whose output is missing and what to do about it; nothing if none is known to be."""
        lost = sorted(self._lost | set(range(1, self._attempts + 1)) - self._recorded)
        if not lost:
            return ""
        named = ", ".join(map(str, lost[:_MOST_NAMED])) + (" and others" if len(lost) > _MOST_NAMED else "")
        who = f"the output of {len(lost)} run{'' if len(lost) == 1 else 's'} is not here: {named}"
        return f"{who}: they went off the record before they were copied: a smaller parallelism is copied in time"


def is_gone(client: Client, namespace: str, name: str, attempt: int) -> bool:
    """Whether a run is on record no more, and its log with it. Raises ApiError, Unreachable."""
    try:
        job = client.get(kinds.JOB, namespace, name)
    except NotFound:
        return False  # That the job is gone is told by itself.
    return all(int(run["attempt"]) != attempt for run in finished.runs_of(job))
