"""The Workflow kind on this daemon: its parts, and whose changes wake it."""

from prometheus_client import CollectorRegistry

from api.kinds import JOB, WORKFLOW
from api.objects.verbs import Verbs
from controller.engine.clock import Clock
from controller.engine.controller import Also
from controller.engine.recorder import Recorder
from controller.workflow.act import Actor
from controller.workflow.announce import Announcer, WorkflowMetrics
from controller.workflow.kind import WorkflowKind, of_job
from controller.workflow.observed import Observer


def parts(
    clock: Clock, verbs: Verbs, recorder: Recorder, metrics: CollectorRegistry
) -> tuple[WorkflowKind, tuple[Also, ...]]:
    """Return what reconciles workflows, and the other kinds' changes that make them due."""
    kind = WorkflowKind(Observer(clock, verbs.storage.get), Actor(clock, verbs))
    return kind, ((JOB.name, of_job), (WORKFLOW.name, Announcer(recorder, WorkflowMetrics(metrics)).keys))
