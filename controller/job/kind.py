"""The Job kind, put together from its parts for the engine."""

from typing import Any

from api.kinds import JOB, Kind
from api.types.job import Job, JobStatus
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.job import plan as planning
from controller.job import report as reporting
from controller.job.act import Actor
from controller.job.observe import Observer
from controller.job.observed import ObservedJob
from controller.job.run_spec import RunDefaults, work_bytes


class JobKind:
    """What the engine needs to reconcile jobs."""

    kind: Kind = JOB

    def __init__(self, clock: Clock, observer: Observer, actor: Actor, defaults: RunDefaults) -> None:
        """Look with `observer` and do with `actor`."""
        self._clock = clock
        self._observer = observer
        self._actor = actor
        self._defaults = defaults

    def observe(self, obj: Job) -> ObservedJob:
        """Return what there is of the job on this host."""
        return self._observer.observe(obj)

    def plan(self, obj: Job, observed: ObservedJob) -> Plan:
        """Return what the job needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Job, step: Any) -> None:
        """Carry out one step."""
        self._actor.act(obj, step)

    def report(self, obj: Job, observed: ObservedJob, plan: Plan) -> JobStatus:
        """Return the job's status as observed."""
        return reporting.report(obj, observed, plan, work_bytes=work_bytes(obj, self._defaults))

    def report_failure(self, obj: Job, error: TransientError | TerminalError) -> JobStatus:
        """Return the status of a job that a pass failed for."""
        return reporting.report_failure(obj, error)

    def is_gone(self, observed: ObservedJob) -> bool:
        """Whether nothing of the job is left on this host."""
        return not (observed.runs or observed.logs_present or observed.artifacts_present)
