"""Makes the store hold what the sources declare: apply, and prune what none of them declares any more.

Every source applies as its own field manager, so that fields belong to who wrote them. Without force:
where somebody else owns a field, the manifest is a Conflict and says so. Ownership is read from the
objects, so a prune that a crash cut short is done by the next start. Invariant: nothing is pruned that
something unreadable might still declare.
"""

import logging
from dataclasses import dataclass, field

from api import kinds
from api.errors import ApiError, Conflict, NotFound, ServiceUnavailable, TooManyRequests
from api.meta import Document
from api.objects.verbs import Verbs, WriteOptions
from api.ports import Storage
from api.types.manifest import ManifestState as State
from controller.engine.clock import Clock
from controller.engine.log import keys
from controller.manifests import owned
from controller.manifests.declare import Declared, Mistake, Wanted, declared, why_kept
from controller.manifests.owned import Ownership
from controller.manifests.reports import ManifestMetrics, Report
from controller.manifests.sources import FORCE_ANNOTATION, Entry, Feed, Reading

_log = logging.getLogger(__name__)
_RELIST_SECONDS = 600.0
_RETRY_SECONDS = 1.0
_GOING_SECONDS = 0.25  # An object that is wanted again waits for its own deletion.

_Footprint = tuple[str, str, int, str]
"""Digest of the manifest, uid, generation and metadata of the object: unchanged, there is nothing to apply."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of a feed: all of it can be found again in the store."""

    owned: dict[Ownership, str] | None = None
    listed_at: float = 0.0
    applied: dict[Ownership, _Footprint] = field(default_factory=dict)
    missing_since: dict[Ownership, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a reading, and when it is worth trying again."""

    reports: tuple[Report, ...]
    retry_seconds: float | None


class Applier:
    """Applies the readings of one feed. Used by one thread."""

    def __init__(self, feed: Feed, verbs: Verbs, storage: Storage, clock: Clock, metrics: ManifestMetrics) -> None:
        """Write through `verbs`, as everybody does."""
        self._feed = feed
        self._verbs = verbs
        self._storage = storage
        self._clock = clock
        self._metrics = metrics
        self._memory = _Memory()

    def apply(self, reading: Reading, *, thoroughly: bool = True) -> Applied:
        """Apply what `reading` declares, then prune; say what became of each.

        Thoroughly is also looking at what was applied before and others may have changed since.

        Raises:
            ServiceUnavailable: the store cannot be read.
        """
        said = declared(reading)
        self._recall()
        reports = [self._mistake(mistake) for mistake in said.mistakes]
        retries = []
        for wanted in said.wanted:
            report, retry_seconds = self._apply(wanted, thoroughly=thoroughly)
            reports.append(report)
            retries.append(retry_seconds)
        pruned, retry_seconds = self._prune(reading, said)
        retries.append(retry_seconds)
        reports.sort(key=lambda report: (report.source, report.file, report.line))
        return Applied((*reports, *pruned), min((r for r in retries if r is not None), default=None))

    def _recall(self) -> None:
        now = self._clock.monotonic()
        if self._memory.owned is None or now - self._memory.listed_at >= _RELIST_SECONDS:
            self._memory.owned = owned.listed(self._storage, self._feed.kind)
            self._memory.listed_at = now

    def _mistake(self, mistake: Mistake) -> Report:
        state = State.UNREADABLE if mistake.is_unreadable else State.INVALID
        source = str(mistake.source)
        return Report(self._feed.kind, source, mistake.file, mistake.line, state, mistake.message, mistake.key)

    def _apply(self, wanted: Wanted, *, thoroughly: bool) -> tuple[Report, float | None]:
        this = (wanted.source, wanted.key)
        before = self._memory.applied.get(this)
        if not thoroughly and before is not None and before[0] == wanted.digest:
            return self._report(wanted, State.APPLIED), None
        live = self._storage.get(wanted.key)
        if live is not None and "deletionTimestamp" in live["metadata"]:
            self._memory.applied.pop(this, None)
            message = f"{wanted.place}: {wanted.key} is being deleted: it is made again when it is gone"
            return self._report(wanted, State.PENDING, message), _GOING_SECONDS
        if live is not None and before == _footprint(wanted, live):
            return self._report(wanted, State.APPLIED), None
        options = WriteOptions(wanted.source.manager, force=wanted.is_forced, field_validation="Strict")
        try:
            written = self._verbs.apply(wanted.kind, wanted.key.namespace, wanted.key.name, wanted.document, options)
        except ApiError as error:
            self._memory.applied.pop(this, None)
            return self._refused(wanted, error)
        self._memory.applied[this] = _footprint(wanted, written.document)
        if self._memory.owned is not None:
            self._memory.owned[this] = wanted.entry.name
        return self._report(wanted, State.APPLIED), None

    def _refused(self, wanted: Wanted, error: ApiError) -> tuple[Report, float | None]:
        match error:
            case ServiceUnavailable() | TooManyRequests():
                return self._report(wanted, State.PENDING, f"{wanted.place}: {error.message}"), _RETRY_SECONDS
            case Conflict() if error.causes:
                fix = f'leave that to them, or take it over with the annotation {FORCE_ANNOTATION}: "true"'
                listed = ", ".join(f"{cause.field} ({cause.message})" for cause in error.causes)
                what = f"others own fields of {wanted.key}: {listed}: {fix}"
                return self._report(wanted, State.CONFLICT, f"{wanted.place}: {what}"), None
            case Conflict():
                return self._report(wanted, State.PENDING, f"{wanted.place}: {error.message}"), _RETRY_SECONDS
        line, message = _located(wanted, error)
        return self._report(wanted, State.INVALID, message, line), None

    def _report(self, wanted: Wanted, state: State, message: str = "", line: int | None = None) -> Report:
        line = wanted.parsed.line if line is None else line
        return Report(self._feed.kind, str(wanted.source), wanted.entry.name, line, state, message, wanted.key)

    def _prune(self, reading: Reading, said: Declared) -> tuple[list[Report], float | None]:
        memory, now = self._memory, self._clock.monotonic()
        wanted = {(one.source, one.key) for one in said.wanted}
        missing = {this: file for this, file in (memory.owned or {}).items() if this not in wanted}
        memory.missing_since = {this: memory.missing_since.get(this, now) for this in missing}
        reports, retries = [], []
        for this, file in missing.items():
            if why_kept(reading, said, *this, file):
                memory.missing_since[this] = now  # The waiting begins when everything can be read again.
                continue
            left = memory.missing_since[this] + self._feed.prune_after_seconds - now
            if left > 0:
                retries.append(left)
                continue
            report, retry_seconds = self._prune_one(this, file)
            reports += report
            retries += retry_seconds
        return reports, min(retries, default=None)

    def _prune_one(self, this: Ownership, file: str) -> tuple[list[Report], list[float]]:
        """Take away what a source no longer declares, or say why that is not possible and when to try again."""
        source, key = this
        document = self._storage.get(key)
        try:
            if document is not None and source in owned.sources_of(document):
                self._let_go(this, document)
        except NotFound:
            pass  # Somebody else was faster.
        except (Conflict, ServiceUnavailable):
            return [], [_RETRY_SECONDS]  # It changed this moment.
        except ApiError as error:
            message = f"{Entry(source, file).place}: cannot prune {key}: {error.message}"
            return [Report(self._feed.kind, str(source), file, 0, State.CONFLICT, message, key)], []
        self._forget(this)
        return [], []

    def _let_go(self, this: Ownership, document: Document) -> None:
        source, key = this
        kind, metadata = kinds.by_name(key.kind), document["metadata"]
        if "deletionTimestamp" in metadata:
            return
        if not owned.is_last(document, source):
            # Another applier declares it too: only our fields go. An empty apply is how one lets go.
            nothing = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": key.name}}
            self._verbs.apply(kind, key.namespace, key.name, nothing, WriteOptions(source.manager))
            _log.info("let go of an object", extra=keys(object=key, source=source))
            return
        self._verbs.delete(
            kind, key.namespace, key.name, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
        )
        self._metrics.pruned.labels(self._feed.kind.value).inc()
        _log.info("pruned an object", extra=keys(object=key, source=source))

    def _forget(self, this: Ownership) -> None:
        if self._memory.owned is not None:
            self._memory.owned.pop(this, None)
        self._memory.applied.pop(this, None)
        self._memory.missing_since.pop(this, None)


def _footprint(wanted: Wanted, live: Document) -> _Footprint:
    metadata = live["metadata"]
    said = {name: metadata.get(name) for name in ("labels", "annotations", "ownerReferences")}
    return (wanted.digest, metadata["uid"], int(metadata.get("generation", 0)), repr(said))


def _located(wanted: Wanted, error: ApiError) -> tuple[int, str]:
    """Return the line of the first field at fault, and all that is wrong, each with its line."""
    parsed, place = wanted.parsed, wanted.entry.place
    found = [(parsed.line_of(cause.field), f"{cause}") for cause in error.causes]
    found = found or [(parsed.line, error.message)]
    found.sort()
    return found[0][0], "; ".join(f"{place}:{line}: {message}" for line, message in found)
