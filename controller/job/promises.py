"""What runs on record were promised, read from the documents of their jobs. Pure: what of it still counts, the book of
promises knows (`capacity.py`).
"""

from collections.abc import Iterator

from api.meta import Document, ObjectKey, read_time
from api.types.job import Run, RunState
from controller.capacity.amounts import RUNS
from controller.capacity.turns import Promised
from controller.job import requests
from controller.job.moments import micros


def on_record(document: Document, now: int) -> Iterator[tuple[Promised, bool]]:
    """Yield what each run of a job was promised, and whether the run has ended; `now` in microseconds."""
    for each in document.get("status", {}).get("runs", ()):
        try:
            run = Run.model_validate(each)
            promise = _of(document, run, now)
        except ValueError:  # Nobody can read it, so nobody will end it: it may be there, as runs without requests.
            attempt = each.get("attempt") if isinstance(each, dict) else None
            run = Run(attempt=attempt if isinstance(attempt, int) else 0)
            promise = Promised(ObjectKey.of(document), run.attempt, ((RUNS, 1),), 0, now, now)
        yield promise, run.state is RunState.ENDED


def _of(document: Document, run: Run, now: int) -> Promised:
    """Return what a run was promised. Raises ValueError: its record cannot be read."""
    queued = document["status"].get("queuedAt")
    has_deadline = document["spec"].get("activeDeadlineSeconds") is not None
    since = micros(read_time(run.started_at)) if run.started_at else now
    came = micros(read_time(queued)) if queued else since
    key, need = ObjectKey.of(document), requests.promised_to(run)
    return Promised(key, run.attempt, need, run.priority, came, since, has_deadline)
