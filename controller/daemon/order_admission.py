"""Refuses jobs that could never begin: those that would wait for each other in a ring; and workflows of such jobs.

Two that are written at the same moment may slip through here; they are found when they are looked at. Never here: what
else may keep a job from running.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from api import cycles
from api.errors import Cause, Invalid
from api.kinds import JOB, WORKFLOW
from api.meta import Document, ObjectKey
from api.objects import admission, names
from api.objects.verbs import Judged
from api.types.workflow import job_documents, job_name
from controller.job.waiters import awaited_by

Get = Callable[[ObjectKey], Document | None]


class OrderAdmission:
    """Refuses what could never begin, and hands the rest on to who judges it for the host's policy and quotas."""

    def __init__(self, get: Get, judge_job: Callable[[Document, Document | None], None], judged: Judged) -> None:
        """Read jobs with `get`; `judge_job` raises Forbidden for one of a workflow that the policy does not allow.

        `judged` is asked about each object after that: the jobs of a workflow count when they are made.
        """
        self._get = get
        self._judge_job = judge_job
        self._judged = judged

    def judged(self, document: Document, live: Document | None) -> AbstractContextManager[None] | None:
        """Judge an object that was `live`, of a workflow also its jobs; return what it is to be stored inside of.

        Raises:
            Invalid: it names the jobs that would wait for each other, or could not have their names.
            Forbidden: the policy does not allow a job, or there is no room for it.
        """
        if document.get("kind") == WORKFLOW.name:
            _judge_names(document)
            before = {each["metadata"]["name"]: each for each in job_documents(live)} if live else {}
            for each in job_documents(document):
                self._judge_job(each, before.get(each["metadata"]["name"]))
        if document.get("kind") == JOB.name and document["spec"].get("after"):
            self._judge_order(document)
            # Alone: of two in one commit neither would be seen by the other's look.
            return self._judged(document, live) or nullcontext()
        return self._judged(document, live)

    def _judge_order(self, document: Document) -> None:
        mine, fresh = ObjectKey.of(document), {**document, "status": {}}  # What it was says nothing of what it becomes.

        def waits_for(name: str) -> list[str]:
            job = fresh if name == mine.name else self._get(ObjectKey(JOB.name, mine.namespace, name))
            return sorted(key.name for key in awaited_by(job)) if job is not None else []

        cycle = cycles.through(mine.name, waits_for, cycles.MOST_STEPS)
        if cycle:
            why = f"Invalid value: these jobs would wait for each other: {cycles.told(cycle)}: take one of them out"
            raise Invalid.of(admission.about_kind(JOB, mine.name), [Cause("spec.after", "FieldValueInvalid", why)])


def _judge_names(workflow: Document) -> None:
    name = workflow["metadata"]["name"]
    for part in workflow["spec"]["jobs"]:
        job = job_name(name, part)
        if problem := names.problem_with_name(JOB, job):
            why = f'Invalid value: "{part}": its Job would be called {job}: {problem}'
            raise Invalid.of(admission.about_kind(WORKFLOW, name), [Cause("spec.jobs", "FieldValueInvalid", why)])
