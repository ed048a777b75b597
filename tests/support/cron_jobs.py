"""CronJobs for tests: documents, what is observed of them, and a small world: a real store, the real kind, a clock by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from api import cron
from api.errors import Forbidden
from api.kinds import CRON_JOB, JOB
from api.meta import API_VERSION, Document, ObjectKey, wire_micro_time
from api.objects.verbs import Verbs
from api.types.cron_job import CronJob
from controller.cron_job.act import Actor
from controller.cron_job.children import Children
from controller.cron_job.kind import CronJobKind
from controller.cron_job.metrics import CronMetrics
from controller.cron_job.observe import Observer
from controller.cron_job.observed import Child, ObservedCronJob
from controller.cron_job.starts import Starts, settle
from controller.engine.ahead import Ahead
from controller.engine.metrics import EngineMetrics
from controller.engine.reconcile import ReconcileLoop
from controller.engine.recorder import Recorder
from state.store import Store
from support.objects import by

CREATED = datetime(2026, 1, 2, 3, 0, 30, tzinfo=UTC)
UID = "0b0a1ea8-6f4d-4a52-9a5f-0f6c5a1f00c1"


def a_cron_job_document(name: str = "tick", /, **spec: Any) -> Document:
    """A CronJob as a user writes it."""
    wanted = {"schedule": "* * * * *", "timeZone": "Etc/UTC", "jobTemplate": {"spec": {"command": ["true"]}}} | spec
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": API_VERSION, "kind": "CronJob", "metadata": metadata, "spec": wanted}


def a_cron_job(
    name: str = "tick", /, *, status: Document | None = None, meta: Document | None = None, **spec: Any
) -> CronJob:
    """A CronJob as the store has it."""
    document = a_cron_job_document(name, **spec)
    document["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "1"}
    document["metadata"] |= {"creationTimestamp": wire_micro_time(CREATED), **(meta or {})}
    return CronJob.model_validate(document | {"status": status or {}})


def observed(cron_job: CronJob, now: datetime, *children: Child, **fields: Any) -> ObservedCronJob:
    """What there is of it."""
    schedule = cron.schedule(cron_job.spec.schedule, cron.zone(cron_job.spec.time_zone or "Etc/UTC"))
    return ObservedCronJob(**{"now": now, "schedule": schedule, "children": children, **fields})


def a_child(name: str, **fields: Any) -> Child:
    """A job of it."""
    return Child(**{"name": name, "uid": f"uid-of-{name}", "created": CREATED, **fields})


class MovedClock:
    """A wall clock that is set by hand, and a monotonic one that never goes back."""

    def __init__(self, now: datetime = CREATED) -> None:
        self._now, self._monotonic = now, 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += max(seconds, 0.0)


class CronWorld:
    """The CronJob kind over a real store, pass by pass; jobs end and go when a test says so.

    With `crowd` others that are due at each minute, their jobs are made a tenth of a second each ahead of it.
    """

    def __init__(self, directory: Path, crowd: int = 0) -> None:
        self.crowd, self.allows_jobs = crowd, True
        self.clock = MovedClock()
        self.store = Store.open(directory / "store.db", self.clock)
        self.verbs = Verbs(self.store, self.clock, self._judge)
        self.verbs.bootstrap()
        self.metrics = CollectorRegistry()
        self.recorder = Recorder(self.store, self.clock, EngineMetrics(self.metrics).events)
        self.begin_process()

    def begin_process(self) -> None:
        """Begin as a daemon does: what was killed with the one before is forgotten."""
        self.children, self.starts = Children(self.store, self.clock), Starts()
        settle(self.store, self.starts, self.clock.now())
        self.ahead = Ahead(cpus=1)
        observer = Observer(self.clock, self.store, self.children, self.starts, UTC, self.ahead)
        self.observer = observer
        self.cron_metrics = CollectorRegistry()
        actor = Actor(self.clock, self.verbs, self.starts, self.recorder, CronMetrics(self.cron_metrics))
        self.kind = CronJobKind(self.clock, observer, actor, self.starts)
        self.loop: ReconcileLoop[Any, Any] = ReconcileLoop(self.kind, self.store)
        self._seen = self.store.revision()

    def apply(self, name: str = "tick", /, **spec: Any) -> Document:
        """Make a CronJob, and make one pass for it."""
        made = self.verbs.create(CRON_JOB, "default", a_cron_job_document(name, **spec), by("me")).document
        self.reconcile(name)
        return made

    def change(self, name: str = "tick", /, **spec: Any) -> None:
        """Change fields of its spec."""
        patch = {"spec": spec}
        self.verbs.patch(CRON_JOB, "default", name, patch, "application/merge-patch+json", by("me"))

    def reconcile(self, name: str = "tick") -> float | None:
        """Make a pass, after what the journal tells; return when it asks for another."""
        self.read_journal()
        self.come_together()
        return self.loop.reconcile(ObjectKey(CRON_JOB.name, "default", name)).requeue_after_seconds

    def _judge(self, new: Document, _live: Document | None) -> None:
        if new["kind"] == JOB.name and not self.allows_jobs:
            raise Forbidden("no jobs are allowed now")

    def come_together(self) -> None:
        """Have the others be due at the next minute."""
        now = self.clock.now()
        minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for number in range(self.crowd):
            self.ahead.begins_at((number, minute), minute, now)

    def read_journal(self) -> list[ObjectKey]:
        """Learn what changed, as the informer does; return who is woken by it."""
        changes = self.store.changes(self._seen, kind=JOB.name)
        self._seen = self.store.revision()
        return [key for change in changes for key in self.children.woken(change)]

    def advance(self, seconds: float) -> None:
        """Move the clock on and make a pass."""
        self.clock.advance(seconds)
        self.reconcile()

    def get(self, name: str = "tick") -> Document:
        """Return a CronJob."""
        return self.verbs.get(CRON_JOB, "default", name)

    def jobs(self) -> list[str]:
        """Return the names of all jobs."""
        return [key.name for key in self.store.keys(JOB.name)]

    def made(self) -> list[str]:
        """Return the names of all jobs that were ever made, in that order."""
        changes = self.store.changes(0, kind=JOB.name)
        return [change.key.name for change in changes if change.type.value == "ADDED"]

    def end(self, name: str, how: str = "Complete") -> None:
        """Have a job end, now."""
        job = self.verbs.get(JOB, "default", name)
        now = wire_micro_time(self.clock.now())
        condition = {"type": how, "status": "True", "reason": "x", "message": "", "lastTransitionTime": now}
        status = {"conditions": [condition], "startTime": now} | ({"completionTime": now} if how == "Complete" else {})
        self.store.update_status(job | {"status": status})

    def remove(self, name: str) -> None:
        """Have a job go, as the Job kind does when nothing of it is left."""
        self.verbs.delete(JOB, "default", name)
        live = self.store.get(ObjectKey(JOB.name, "default", name))
        if live is not None:
            self.store.update(live | {"metadata": live["metadata"] | {"finalizers": []}})

    def close(self) -> None:
        """Close the store."""
        self.store.close()
