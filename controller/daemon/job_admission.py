"""The host's policy at the two doors that a job goes through: when it is written, and before a run of it is begun.

What is judged, and how, is in `job.policy`. Here: the refusal at the first door, and the words at the second.
"""

from collections.abc import Mapping
from typing import Any

from api.errors import Forbidden
from api.kinds import JOB
from api.objects import admission
from api.types.job import Job
from api.types.job_spec import JobSpec
from controller.job import policy
from controller.job.policy import Policy


class JobAdmission:
    """Refuses jobs that the policy does not allow."""

    def __init__(self, rules: Policy, landlock_abi: int) -> None:
        """Judge by `rules` on a kernel with this version of Landlock; 0 for none."""
        self._rules = rules
        self._lacking = policy.why_not_here(rules, landlock_abi)

    def judge(self, document: Mapping[str, Any]) -> None:
        """Refuse to store a job that the policy does not allow; other kinds have none.

        Raises:
            Forbidden: it names each field, the setting that forbids it, and what to do.
        """
        if document.get("kind") != JOB.name:
            return
        metadata = document["metadata"]
        spec = JobSpec.model_validate(document["spec"])
        causes = policy.judge(self._rules, metadata.get("namespace", ""), spec)
        if causes:
            about = admission.about(JOB, metadata.get("name", ""))
            said = "; ".join(map(str, causes))
            raise Forbidden(f"{about} is forbidden: it violates this host's policy: {said}", about, causes)

    def why_not(self, job: Job) -> str:
        """Return why no run of a job may be begun; empty if one may."""
        causes = policy.judge(self._rules, job.meta.namespace, job.spec)
        return "; ".join((*map(str, causes), *((self._lacking,) if self._lacking else ())))
