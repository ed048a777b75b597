"""The host's policy at the two doors that a job goes through: when it is written, and before a run of it is begun.

What is judged, and how, is in `job.policy`. Here: the refusal at the first door, and the words at the second. And at
the first door alone, so that what is stored already can still be read: places of volumes where no run could begin.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from api.errors import Cause, Forbidden, Invalid
from api.kinds import CRON_JOB, JOB, PRIORITY_CLASS, Kind
from api.meta import Document, ObjectKey
from api.objects import admission
from api.objects.verbs import Judged
from api.types import volume_places
from api.types.job import Job
from api.types.job_spec import JobSpec
from controller.job import policy
from controller.job.policy import Policy

_TEMPLATE = "spec.jobTemplate.spec."


class JobAdmission:
    """Refuses jobs that the policy does not allow."""

    def __init__(
        self,
        rules: Policy,
        landlock_abi: int,
        look: Callable[[ObjectKey], Document | None],
        quotas: Judged = lambda _new, _live: None,
    ) -> None:
        """Judge by `rules` on a kernel with this version of Landlock, 0 for none; `look` reads what jobs refer to.

        What `quotas` returns has room for what is stored inside of it.
        """
        self._quotas = quotas
        self._rules = rules
        self._look = look
        self._lacking = policy.why_not_here(rules, landlock_abi)

    def judged(self, document: Document, live: Document | None) -> AbstractContextManager[None] | None:
        """Refuse what the policy does not allow; return what has room for it in the quotas of its namespace, if any.

        Raises:
            Forbidden: as `judge` does; where a quota would be exceeded, when what is returned is entered.
        """
        self.judge(document, live)
        return self._quotas(document, live)

    def judge(self, document: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
        """Refuse a job, or what makes jobs, that the policy does not allow, or whose class is not there.

        `live` is what it was. Other kinds have no policy.

        Raises:
            Forbidden: it names each field, the setting that forbids it, and what to do.
            Invalid: a volume is to be where no run could begin with it.
        """
        kind, template = _jobs_in(document)
        if kind is None:
            return
        metadata = document["metadata"]
        spec = JobSpec.model_validate(template)
        if live is None or _jobs_in(live)[1].get("volumeMounts") != template.get("volumeMounts"):
            _refuse_places(kind, metadata.get("name", ""), spec)
        causes = _placed(kind, policy.judge(self._rules, metadata.get("namespace", ""), spec))
        about = admission.about(kind, metadata.get("name", ""))
        name = spec.priority_class_name
        is_new = live is None or _jobs_in(live)[1].get("priorityClassName") != name
        if name and is_new and not self._look(ObjectKey(PRIORITY_CLASS.name, "", name)):
            raise Forbidden(f"{about} is forbidden: no PriorityClass with name {name} was found", about)
        if causes:
            said = "; ".join(map(str, causes))
            raise Forbidden(f"{about} is forbidden: it violates this host's policy: {said}", about, causes)

    def why_not(self, job: Job) -> str:
        """Return why no run of a job may be begun; empty if one may."""
        causes = policy.judge(self._rules, job.meta.namespace, job.spec)
        return "; ".join((*map(str, causes), *((self._lacking,) if self._lacking else ())))


def _refuse_places(kind: Kind, name: str, spec: JobSpec) -> None:
    causes = [
        Cause(
            f"spec.volumeMounts[{index}].mountPath",
            "FieldValueForbidden",
            f"Forbidden: volume {mount.name} cannot be at {mount.place}: {why}: {volume_places.elsewhere(mount.name)}",
        )
        for index, mount in enumerate(spec.volume_mounts)
        if (why := volume_places.why_not(mount.place))
    ]
    if causes:
        raise Invalid.of(admission.about_kind(kind, name), _placed(kind, causes))


def _placed(kind: Kind, causes: list[Cause]) -> list[Cause]:
    """Return what is wrong with a job with the paths that it has in an object of this kind."""
    if kind is not CRON_JOB:
        return causes
    return [Cause(cause.field.replace("spec.", _TEMPLATE, 1), cause.reason, cause.message) for cause in causes]


def _jobs_in(document: Mapping[str, Any]) -> tuple[Kind | None, Mapping[str, Any]]:
    """Return the kind of an object that is a job or makes jobs, and the spec of these; None of any other."""
    if document.get("kind") == JOB.name:
        return JOB, document["spec"]
    if document.get("kind") == CRON_JOB.name:
        return CRON_JOB, document["spec"]["jobTemplate"]["spec"]
    return None, {}
