"""What became of every manifest: for `rnx get manifests`, for metrics, and as events on what it concerns.

Invariant: a report is news once; `since` is when it first read as it does.
"""

import threading
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from api.meta import Document, ObjectKey, wire_time
from api.ports import Storage
from api.types.manifest import ManifestState as State
from controller.engine.clock import Clock
from controller.engine.recorder import EventType, Recorder
from controller.manifests.sources import FeedKind

_WHOLE_FEED = "*"


_REASONS = {
    State.INVALID: "InvalidManifest",
    State.CONFLICT: "ManifestConflict",
    State.UNREADABLE: "UnreadableManifest",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One object that a manifest declares, or one thing that is wrong with it."""

    feed: FeedKind
    source: str
    file: str
    line: int
    state: State
    message: str = ""
    key: ObjectKey | None = None


class ManifestMetrics:
    """Manifests by source and state, each combination there from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`."""
        labels = ["source", "state"]
        self.manifests = Gauge(
            "runwright_manifests", "Declared objects, by what became of them.", labels, registry=registry
        )
        self.invalid = Counter(
            "runwright_manifests_invalid", "Manifests that turned out wrong.", ["source"], registry=registry
        )
        self.pruned = Counter(
            "runwright_manifests_pruned", "Objects that nothing declared any more.", ["source"], registry=registry
        )
        for feed in FeedKind:
            self.invalid.labels(feed.value)
            self.pruned.labels(feed.value)
            for state in State:
                self.manifests.labels(feed.value, state.value)


class Reports:
    """The newest reports of all feeds; implements `api.ports.ManifestReports`."""

    def __init__(self, storage: Storage, recorder: Recorder, clock: Clock, metrics: ManifestMetrics) -> None:
        """Tell `recorder` of what is wrong, about objects that are in `storage`."""
        self._storage = storage
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._since: dict[FeedKind, dict[Report, str]] = {}

    def reports(self) -> Sequence[Document]:
        """Return one document a manifest: source, file, line, object, state, message, since."""
        with self._lock:
            every = [(report, since) for feed in FeedKind for report, since in self._since.get(feed, {}).items()]
        return [_document(report, since) for report, since in every]

    def replace(self, feed: FeedKind, reports: Iterable[Report]) -> None:
        """Take `reports` as all there is to say of `feed`, and tell of what is news."""
        now = wire_time(self._clock.now())
        before = self._since.get(feed, {})
        after = {report: before.get(report, now) for report in reports}
        with self._lock:
            self._since[feed] = after
        tally = Tally(report.state for report in after)
        for state in State:
            self._metrics.manifests.labels(feed.value, state.value).set(tally[state])
        for report in after:
            reason = _REASONS.get(report.state)
            if report not in before and reason is not None:
                self._metrics.invalid.labels(feed.value).inc()
                self._recorder.record(self._about(report), EventType.WARNING, reason, report.message)

    def feed_failed(self, feed: FeedKind, message: str) -> None:
        """Say that all of `feed` cannot be read; what it declared before stays as it is."""
        kept = [report for report in self._since.get(feed, {}) if report.file != _WHOLE_FEED]
        self.replace(feed, [Report(feed, feed.value, _WHOLE_FEED, 0, State.UNREADABLE, message), *kept])

    def _about(self, report: Report) -> Document:
        document = self._storage.get(report.key) if report.key is not None else None
        if document is not None:
            return document
        metadata = {"name": f"{report.source}/{report.file}", "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Manifest", "metadata": metadata}


def _document(report: Report, since: str) -> Document:
    return {
        "source": report.source,
        "file": report.file,
        "line": report.line,
        "object": str(report.key or ""),
        "state": report.state.value,
        "message": report.message,
        "since": since,
    }
