"""Telling the world how snapshots go: events, read off the journal, aside from reconciling."""

from api.kinds import VOLUME_SNAPSHOT
from api.meta import Document, ObjectKey
from api.ports import Change
from api.types.volume_snapshot import SnapshotReason
from controller.engine.recorder import EventType, Recorder


class Announcer:
    """An informer's view of snapshots that records events; it enqueues nothing."""

    def __init__(self, recorder: Recorder) -> None:
        """Say it with `recorder`."""
        self._recorder = recorder

    def keys(self, change: Change) -> tuple[ObjectKey, ...]:
        """Tell what is new in one change; no key is due because of it."""
        if change.previous is not None and change.key.kind == VOLUME_SNAPSHOT.name:
            for type_, reason, message in news(change.previous, change.document):
                self._recorder.record(change.document, type_, reason, message)
        return ()


def news(before: Document, after: Document) -> list[tuple[EventType, str, str]]:
    """Return what events should say about the change from `before` to `after`: type, reason, message. Pure."""
    was, now = before.get("status", {}), after.get("status", {})
    if now.get("readyToUse") and not was.get("readyToUse"):
        told = f"it holds {now.get('restoreSize')} of volume {after['spec']['source']['volumeName']}"
        return [(EventType.NORMAL, SnapshotReason.READY_TO_USE, told)]
    reason, message = _ready(now)
    if reason == SnapshotReason.LOST and _ready(was)[0] != reason:
        return [(EventType.WARNING, reason, message)]
    return []


def _ready(status: Document) -> tuple[str, str]:
    found: Document = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
    return found.get("reason", ""), found.get("message", "")
