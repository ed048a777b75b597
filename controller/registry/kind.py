"""The Registry kind: keeps a catalogue at hand for installs and says how it is.

The catalogue is what is observed. A registry that cannot be reached is its own condition and nobody's
failure: installs use what is kept of it, or another registry.
"""

import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from api import conditions
from api.conditions import Condition, ConditionStatus
from api.kinds import REGISTRY, Kind
from api.meta import wire_time
from api.types.registry import CONDITIONS, Registry, RegistryReason, RegistryStatus
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.engine.log import keys
from controller.engine.plan import Plan
from controller.engine.recorder import EventType, Recorder
from controller.registry.cache import Cached, CatalogueCache
from controller.registry.upstream import upstream_of

_log = logging.getLogger(__name__)

_SOONEST_RETRY_SECONDS = 1.0
_SOONEST_REFRESH_SECONDS = 60.0  # Each one is a status written, whatever cacheSeconds is.


@dataclass(frozen=True, slots=True)
class ForgetCatalogue:
    """Drop what is kept of the catalogue."""


@dataclass(frozen=True, slots=True)
class ObservedRegistry:
    """The catalogue, or why there is none, and in how long the registry may be asked again after a failure."""

    cached: Cached | None = None
    reason: str = ""
    error: str = ""
    retry_seconds: float | None = None


class RegistryKind:
    """What the engine needs to reconcile registries."""

    kind: Kind = REGISTRY

    def __init__(self, cache: CatalogueCache, clock: Clock, recorder: Recorder) -> None:
        """Keep catalogues in `cache`."""
        self._cache = cache
        self._clock = clock
        self._recorder = recorder

    def observe(self, obj: Registry) -> ObservedRegistry:
        """Return the catalogue: the one that is kept while it is fresh, else as the registry has it now."""
        if obj.meta.is_deleting or not obj.spec.enabled:
            return ObservedRegistry()
        try:
            where = upstream_of(obj.spec)
        except TerminalError as error:
            return ObservedRegistry(None, error.reason, error.message)
        try:
            cached = self._cache.get(where, ttl_seconds=obj.spec.cache_seconds)
        except TransientError as error:
            return ObservedRegistry(None, error.reason, error.message, self._cache.retry_seconds(where))
        retry_seconds = self._cache.retry_seconds(where) if cached.is_stale else None
        return ObservedRegistry(cached, retry_seconds=retry_seconds)

    def plan(self, obj: Registry, observed: ObservedRegistry) -> Plan:
        """Return what the registry needs next: to be looked at again, mostly."""
        if obj.meta.is_deleting:
            return Plan.do(ForgetCatalogue())
        if not obj.spec.enabled:
            return Plan.nothing()
        if observed.retry_seconds is not None:
            return Plan.nothing(check_again_seconds=max(observed.retry_seconds, _SOONEST_RETRY_SECONDS))
        if observed.cached is None:
            return Plan.nothing()  # Its URL says nothing, until somebody changes it.
        left = obj.spec.cache_seconds - observed.cached.age_seconds
        return Plan.nothing(check_again_seconds=max(left, _SOONEST_REFRESH_SECONDS))

    def act(self, obj: Registry, step: Any) -> None:
        """Carry out one step."""
        match step:
            case ForgetCatalogue():
                with contextlib.suppress(TerminalError):  # Nothing can be kept of a URL that says nothing.
                    self._cache.forget(upstream_of(obj.spec))
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def report(self, obj: Registry, observed: ObservedRegistry, plan: Plan) -> RegistryStatus:
        """Return the registry's status as observed."""
        ready = _ready(obj, observed)
        entries = observed.cached.catalogue.entries if observed.cached else {}
        if observed.cached is not None:
            self._tell_of_mirrors(obj, observed.cached)
        return RegistryStatus(
            observed_generation=obj.meta.generation,
            conditions=conditions.merge(obj.status.conditions, [ready], self._clock.now(), ours=CONDITIONS),
            last_fetch_time=wire_time(observed.cached.fetched_at) if observed.cached else None,
            fetched_from=observed.cached.url if observed.cached else "",
            runtimes=len(entries),
            versions=sum(len(versions) for versions in entries.values()),
        )

    def _tell_of_mirrors(self, obj: Registry, cached: Cached) -> None:
        """Tell when the catalogue comes from a mirror that it did not come from before, or does not any more."""
        before = obj.status.fetched_from
        if cached.url == before:
            return
        if cached.passed_over:
            self._recorder.record(obj, EventType.WARNING, "MirrorUsed", _fetched(cached))
            _log.warning("catalogue comes from a mirror", extra=keys(url=cached.url, error=cached.passed_over))
        elif before in {mirror.url for mirror in upstream_of(obj.spec).mirrors}:
            told = f"its catalogue was fetched from {cached.url} again, and not from the mirror {before}"
            self._recorder.record(obj, EventType.NORMAL, "MirrorLeft", told)
            _log.info("catalogue comes from its registry again", extra=keys(url=cached.url))

    def report_failure(self, obj: Registry, error: TransientError | TerminalError) -> RegistryStatus:
        """Return the status of a registry that a pass failed for."""
        failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=error.reason, message=error.message)
        merged = conditions.merge(obj.status.conditions, [failed], self._clock.now(), ours=CONDITIONS)
        return obj.status.model_copy(update={"conditions": merged, "observed_generation": obj.meta.generation})

    def is_gone(self, observed: ObservedRegistry) -> bool:
        """Whether nothing is kept: asked only of one being deleted, after its plan was carried out."""
        return observed.cached is None


def _ready(obj: Registry, observed: ObservedRegistry) -> Condition:
    def say(status: ConditionStatus, reason: str, message: str) -> Condition:
        return Condition(type="Ready", status=status, reason=reason, message=message)

    if not obj.spec.enabled:
        return say(ConditionStatus.FALSE, RegistryReason.DISABLED, "spec.enabled is false")
    if observed.cached is None:
        return say(ConditionStatus.FALSE, observed.reason, observed.error)
    if observed.cached.is_stale:
        # The time, not the age: an age would be news with every look, and each status written wakes the runtimes.
        of = wire_time(observed.cached.fetched_at)
        message = f"its catalogue of {of} is used: {observed.cached.error}"
        is_forged = observed.cached.reason == RegistryReason.SIGNATURE_INVALID
        return say(
            ConditionStatus.TRUE, RegistryReason.SIGNATURE_INVALID if is_forged else RegistryReason.STALE, message
        )
    problems, message = observed.cached.catalogue.problems, _fetched(observed.cached)
    if problems:
        unusable = f"{len(problems)} entries cannot be used: {'; '.join(problems[:3])}"
        message = f"{unusable}; {message}" if observed.cached.passed_over else unusable
    return say(ConditionStatus.TRUE, RegistryReason.FETCHED, message)


def _fetched(cached: Cached) -> str:
    if not cached.passed_over:
        return "its catalogue was fetched"
    return f"its catalogue was fetched from the mirror {cached.url}: {cached.passed_over}"
