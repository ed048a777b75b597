"""The CronJob kind, put together from its parts for the engine."""

from typing import Any

from api.kinds import CRON_JOB, Kind
from api.types.cron_job import CronJob, CronJobStatus
from controller.cron_job import plan as planning
from controller.cron_job import report as reporting
from controller.cron_job.act import Actor
from controller.cron_job.observe import Observer
from controller.cron_job.observed import ObservedCronJob
from controller.cron_job.starts import Starts
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan


class CronJobKind:
    """What the engine needs to reconcile CronJobs."""

    kind: Kind = CRON_JOB

    def __init__(self, clock: Clock, observer: Observer, actor: Actor, starts: Starts) -> None:
        """Look with `observer` and do with `actor`."""
        self._clock = clock
        self._observer = observer
        self._actor = actor
        self._starts = starts

    def observe(self, obj: CronJob) -> ObservedCronJob:
        """Return its schedule and its jobs."""
        if obj.meta.is_deleting:
            self._starts.forget(obj.meta.uid)
        return self._observer.observe(obj)

    def plan(self, obj: CronJob, observed: ObservedCronJob) -> Plan:
        """Return what it needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: CronJob, step: Any) -> None:
        """Carry out one step."""
        self._actor.act(obj, step)

    def report(self, obj: CronJob, observed: ObservedCronJob, plan: Plan) -> CronJobStatus:
        """Return its status as observed."""
        return reporting.report(obj, observed, plan)

    def report_failure(self, obj: CronJob, error: TransientError | TerminalError) -> CronJobStatus:
        """Return the status of one that a pass failed for."""
        return reporting.report_failure(obj, error, self._clock.now())

    def is_gone(self, observed: ObservedCronJob) -> bool:
        """Whether it may go: its jobs are collected by their owner references."""
        return True
