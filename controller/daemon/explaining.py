"""Explains any object: jobs in full, others by their conditions."""

from typing import Any

from api import kinds
from api.errors import About, NotFound
from api.kinds import JOB
from api.meta import ObjectKey
from api.ports import Storage
from controller.job.explain import JobExplainer


class Explaining:
    """Implements `api.ports.Explainer`."""

    def __init__(self, storage: Storage, jobs: JobExplainer) -> None:
        """Leave jobs to `jobs`, and read the conditions of others from `storage`."""
        self._storage = storage
        self._jobs = jobs

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        """Return {object, summary, reasons, plan, sandbox}. Raises NotFound."""
        if key.kind == JOB.name:
            return self._jobs.explain(key)
        document = self._storage.get(key)
        if document is None:
            kind = kinds.by_name(key.kind)
            raise NotFound.of(About(kind.group, kind.plural, key.name))
        conditions = document.get("status", {}).get("conditions", [])
        reasons = [f"{c['type']} is {c['status']}: {c.get('reason', '')}: {c.get('message', '')}" for c in conditions]
        summary = {"phase": document.get("status", {}).get("phase", ""), "reason": "", "message": ""}
        return {"object": str(key), "summary": summary, "reasons": reasons, "plan": [], "sandbox": []}
