"""Explains any object: jobs and CronJobs in full, others by their conditions."""

from typing import Any

from api import kinds
from api.errors import About, NotFound
from api.kinds import CRON_JOB, JOB, WORKFLOW
from api.meta import Document, ObjectKey
from api.ports import Storage
from controller.cron_job.explain import CronJobExplainer
from controller.job.explain import JobExplainer


class Explaining:
    """Implements `api.ports.Explainer`."""

    def __init__(self, storage: Storage, jobs: JobExplainer, cron_jobs: CronJobExplainer) -> None:
        """Leave jobs to `jobs` and `cron_jobs`, and read the conditions of others from `storage`."""
        self._storage = storage
        self._jobs = jobs
        self._cron_jobs = cron_jobs

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        """Return {object, summary, reasons, plan, sandbox}. Raises NotFound."""
        if key.kind == JOB.name:
            return self._jobs.explain(key)
        if key.kind == CRON_JOB.name:
            return self._cron_jobs.explain(key)
        document = self._storage.get(key)
        if document is None:
            kind = kinds.by_name(key.kind)
            raise NotFound.of(About(kind.group, kind.plural, key.name))
        conditions = document.get("status", {}).get("conditions", [])
        reasons = [f"{c['type']} is {c['status']}: {c.get('reason', '')}: {c.get('message', '')}" for c in conditions]
        status = document.get("status", {})
        reasons += [_part(each) for each in status.get("jobs", ()) if key.kind == WORKFLOW.name]
        summary = {
            "phase": document.get("status", {}).get("phase", ""),
            "reason": status.get("reason", ""),
            "message": status.get("message", ""),
        }
        return {"object": str(key), "summary": summary, "reasons": reasons, "plan": [], "sandbox": []}


def _part(job: Document) -> str:
    told = ": ".join(filter(None, (job.get("reason"), job.get("message"))))
    return f"{job['name']} is {job['phase']}{f': {told}' if told else ''}"
