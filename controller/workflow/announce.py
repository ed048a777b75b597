"""Telling the world how workflows go: events and a counter, read off the journal, aside from reconciling.

What is news is decided by a pure function. Of a job there are events of its own: here is only what it has none of.
"""

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter

from api.kinds import WORKFLOW
from api.meta import Document, ObjectKey
from api.ports import Change
from api.types.workflow import WorkflowReason
from controller.engine.recorder import EventType, Recorder


class WorkflowOutcome(StrEnum):
    """How a workflow ended, as it is counted."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


_OUTCOMES = frozenset(outcome.value for outcome in WorkflowOutcome)


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened to a workflow, as an event says it."""

    type: str
    reason: str
    message: str


class WorkflowMetrics:
    """The counter of workflows; every series starts at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register it with `registry`."""
        self.finished = Counter(
            "runwright_workflows_finished", "Workflows that ended, by outcome.", ["outcome"], registry=registry
        )
        for outcome in WorkflowOutcome:
            self.finished.labels(outcome.value)


class Announcer:
    """An informer's view of workflows that records events and counts outcomes; it enqueues nothing."""

    def __init__(self, recorder: Recorder, metrics: WorkflowMetrics) -> None:
        """Say it with `recorder` and count it in `metrics`."""
        self._recorder = recorder
        self._metrics = metrics

    def keys(self, change: Change) -> tuple[ObjectKey, ...]:
        """Tell what is new in one change; no key is due because of it."""
        if change.previous is None or change.key.kind != WORKFLOW.name:
            return ()
        for item in news(change.previous, change.document):
            self._recorder.record(change.document, item.type, item.reason, item.message)
        before, after = (each.get("status", {}).get("phase") for each in (change.previous, change.document))
        if before != after and after in _OUTCOMES:
            self._metrics.finished.labels(after).inc()
        return ()


def news(before: Document, after: Document) -> list[News]:
    """Return what events should say about the change from `before` to `after`. Pure."""
    was, now = before.get("status", {}), after.get("status", {})
    known = {each["name"]: each["phase"] for each in was.get("jobs", ())}
    skipped = [each for each in now.get("jobs", ()) if each["phase"] == "Skipped" != known.get(each["name"])]
    found = []
    if skipped:  # One for all of them: an object may say so much at once and no more.
        more = f"; {', '.join(each['name'] for each in skipped[1:])} too" if skipped[1:] else ""
        found.append(
            News(EventType.NORMAL, "JobSkipped", f"{skipped[0]['name']}: {skipped[0].get('message', '')}{more}")
        )
    if now.get("phase") != was.get("phase") and now.get("phase") in ("Suspended", *_OUTCOMES):
        type_ = EventType.WARNING if now["phase"] == WorkflowOutcome.FAILED else EventType.NORMAL
        found.append(News(type_, now.get("reason", ""), now.get("message", "")))
    elif now.get("reason") != was.get("reason") and now.get("reason") in ("NameTaken", "JobRefused"):
        found.append(News(EventType.WARNING, now["reason"], now.get("message", "")))
    elif now.get("reason") != was.get("reason") and now.get("reason") == WorkflowReason.JOB_WAITS:
        found.append(News(EventType.NORMAL, now["reason"], now.get("message", "")))  # As of a job that waits.
    return found
