"""Why a CronJob is where it is: what it waits for, what it would do now, and its next times."""

from dataclasses import asdict
from typing import Any

from api.errors import About, NotFound
from api.kinds import CRON_JOB
from api.meta import ObjectKey, wire_time
from api.ports import Storage
from api.types.cron_job import CronJob
from controller.cron_job import plan as planning
from controller.cron_job.observe import Observer
from controller.cron_job.observed import ObservedCronJob

_SHOWN_TIMES = 5


class CronJobExplainer:
    """Explains CronJobs."""

    def __init__(self, storage: Storage, observer: Observer) -> None:
        """Look with the same observer that reconciling looks with."""
        self._storage = storage
        self._observer = observer

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        """Return {object, summary, reasons, plan, nextTimes} as plain data.

        Raises:
            NotFound: there is no such CronJob.
        """
        document = self._storage.get(key)
        if document is None:
            raise NotFound.of(About(CRON_JOB.group, CRON_JOB.plural, key.name))
        cron_job = CronJob.model_validate(document)
        observed = self._observer.observe(cron_job)
        plan = planning.plan(cron_job, observed)
        reason = plan.waiting.reason if plan.waiting else "Deleting"
        message = plan.waiting.message if plan.waiting else "it is being deleted"
        phase = "Suspended" if cron_job.spec.suspend else "Active" if observed.active else "Waiting"
        return {
            "object": str(key),
            "summary": {"phase": phase, "reason": reason, "message": message},
            "reasons": [message, *self._reasons(cron_job, observed)],
            "plan": [
                {"step": type(step).__name__, **{name: str(value) for name, value in asdict(step).items()}}
                for step in plan.steps
            ],
            "checkAgainSeconds": plan.check_again_seconds,
            "nextTimes": [wire_time(each) for each in _coming(observed)],
            "sandbox": [],
        }

    def _reasons(self, cron_job: CronJob, observed: ObservedCronJob) -> list[str]:
        status, reasons = cron_job.status, []
        if observed.schedule is not None:
            zone = self._observer.zone_of(cron_job)
            shown = [moment.astimezone(zone).isoformat() for moment in _coming(observed)]
            whose = cron_job.spec.time_zone or f"{zone}, which is the host's"
            reasons.append(f"the next times of {cron_job.spec.schedule}, in {whose}: {', '.join(shown) or 'none'}")
        if status.last_schedule_time:
            reasons.append(f"it last started a job for {status.last_schedule_time}")
        if status.last_missed_time:
            reasons.append(f"it was too late for {status.last_missed_time}")
        if observed.active:
            reasons.append(f"jobs that have not ended: {', '.join(child.name for child in observed.active)}")
        return reasons


def _coming(observed: ObservedCronJob) -> list[Any]:
    return observed.schedule.coming(observed.now, _SHOWN_TIMES) if observed.schedule else []
