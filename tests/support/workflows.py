"""Workflows and what there is of their jobs."""

from typing import Any

from api.meta import API_VERSION, Document
from api.types.job_after import AfterCondition
from api.types.workflow import Workflow
from controller.workflow.observed import Child, ObservedWorkflow
from controller.workflow.report import report
from support.builders import NOW

WORKFLOW_UID = "0b0a1ea8-6f4d-4a52-9a5f-0f6c5a1f0002"


def a_workflow_document(*, metadata: Document | None = None, suspend: bool = False, **jobs: Document) -> Document:
    """A Workflow called etl; of a job `spec` and `metadata` are its template's, the rest its own."""
    wanted = {}
    for name, said in jobs.items():
        own = {key: value for key, value in said.items() if key not in ("spec", "metadata")}
        template = {"spec": {"command": ["true"], **said.get("spec", {})}}
        template |= {"metadata": said["metadata"]} if "metadata" in said else {}
        wanted[name] = own | {"template": template}
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {"name": "etl", "namespace": "default", "uid": WORKFLOW_UID, "generation": 1, **(metadata or {})},
        "spec": {"jobs": wanted} | ({"suspend": True} if suspend else {}),
    }


def a_workflow(**fields: Any) -> Workflow:
    """A Workflow as the store has it."""
    return Workflow.model_validate(a_workflow_document(**fields))


def a_child(ended: str | None = None, **fields: Any) -> Child:
    """A Job of it that has ended so, or runs."""
    phase = {"Complete": "Succeeded", "Failed": "Failed"}.get(ended or "", "Running")
    return Child(**{"uid": "job-uid", "phase": phase, "ended": AfterCondition(ended) if ended else None, **fields})


def with_children(**children: Child) -> ObservedWorkflow:
    """What there is of a workflow."""
    return ObservedWorkflow(NOW, children)


def as_reported(workflow: Workflow, observed: ObservedWorkflow) -> Workflow:
    """The workflow with the status that it has after a look."""
    return workflow.model_copy(update={"status": report(workflow, observed)})
