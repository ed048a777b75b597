"""What the entries of a spec.versions are to mean now, from what is installed, what is offered and what is made here.

Invariants: what is installed serves while nobody can tell of anything later; an entry is never taken back to an
earlier version because a registry has only that; a source that failed is not tried before its time.
"""

from api import conditions, runtime_spec
from api.conditions import ConditionStatus
from api.meta import read_time
from api.runtime_requests import Request, version_in
from api.types.runtime import Runtime, RuntimeReason, UpdatePolicy
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.runtime import meaning
from controller.runtime.choosing import ParentMissingError, Sources
from controller.runtime.installer import Installer
from controller.runtime.meaning import Hold
from controller.runtime.observed import Tree, Wanted
from controller.runtime.sources.offers import Offers
from controller.runtime.trees.source import TreeSource
from controller.runtime.trees.tree import InstalledRuntime

SOONEST_LOOKUP_SECONDS, LATEST_LOOKUP_SECONDS = 2.0, 60.0
HELD_BACK_SECONDS = 60.0
"""How soon to look whether builds may begin; as long as jobs wait for the same."""


class Wants:
    """Says what is wanted of one Runtime after another."""

    def __init__(self, offers: Offers, sources: Sources, installer: Installer, clock: Clock) -> None:
        """Ask `offers` and `sources` how to get what `installer` did not fail at just now."""
        self._offers = offers
        self._sources = sources
        self._installer = installer
        self._clock = clock

    def of(
        self, runtime: Runtime, trees: tuple[Tree, ...], installed: tuple[InstalledRuntime, ...]
    ) -> tuple[Wanted, ...]:
        """Return what each entry is to mean; `trees` are those of the runtime, `installed` are all there are."""
        if runtime.spec.made_by and runtime.spec.versions:
            return (self._made(runtime, trees, installed),)
        held = () if meaning.is_updating(runtime) else meaning.holds(runtime.spec, runtime.status.history)
        return tuple(self._offered(runtime, asked, trees, held) for asked in runtime.spec.versions)

    def known(self, runtime: Runtime) -> frozenset[str] | None:
        """Return what registries offer of it, if a rollback to a certain version was asked for; None if none says."""
        to = version_in(meaning.unheard(runtime).get(Request.ROLLBACK, ""))
        if to is None or runtime.spec.made_by:
            return None
        try:
            return frozenset(self._offers.versions(runtime.meta.name, runtime.spec.registry))
        except (TransientError, TerminalError):
            return None

    def healing(self, runtime: Runtime, tree: Tree, installed: tuple[InstalledRuntime, ...]) -> TreeSource | None:
        """Return how to get the version of `tree` again, which drifted; None if that cannot be tried now."""
        try:
            if runtime.spec.made_by:
                source = self._sources.of(runtime, installed)
            else:
                source = self._offers.find(runtime.meta.name, tree.version, runtime.spec.registry)
        except (TransientError, TerminalError):
            return None
        is_same = source.version == tree.version
        is_tried = is_same and self._installer.failure(source, runtime.meta.generation) is None
        return source if is_tried and not self._sources.why_not_built(source) else None

    def _offered(self, runtime: Runtime, asked: str, trees: tuple[Tree, ...], held: tuple[Hold, ...]) -> Wanted:
        usable = tuple(tree.version for tree in trees if not tree.problem)
        settled = self._settled(runtime, asked, usable, held)
        if settled is not None and settled in usable:
            return Wanted(asked, settled)
        own = tuple(hold for hold in held if hold.asked == asked)

        def is_meant(version: str) -> bool:
            return runtime_spec.matches(asked, version) and not any(hold.excludes(version) for hold in own)

        exactly = settled or (asked if runtime_spec.is_version(asked) else None)
        anything = asked == runtime_spec.LATEST and not own
        try:
            package = self._offers.find(
                runtime.meta.name, exactly or (None if anything else is_meant), runtime.spec.registry, asked
            )
        except TransientError as error:
            # What is installed serves while no registry can tell of a later one.
            version = exactly or meaning.target(asked, usable, held)
            return Wanted(asked, version, None, error.reason, error.message, self._lookup_seconds(runtime))
        # Never back to an earlier one: another registry may have had it, and cannot be read now.
        version = meaning.target(asked, [*usable, package.version], held) or package.version
        return Wanted(asked, version) if version in usable else self._tried(runtime, asked, package)

    def _settled(self, runtime: Runtime, asked: str, usable: tuple[str, ...], held: tuple[Hold, ...]) -> str | None:
        """Return the version that an entry means whatever is offered; None if that has to be looked up."""
        if asked in usable:
            return asked
        hold = next((hold for hold in held if hold.asked == asked), None)
        if hold is None:
            return None
        is_fixed = runtime.spec.update_policy is UpdatePolicy.MANUAL or hold.version not in usable
        return hold.version if is_fixed else None

    def _tried(self, runtime: Runtime, asked: str, source: TreeSource, *, outdated: bool = False) -> Wanted:
        failure = self._installer.failure(source, runtime.meta.generation)
        if failure is None and (why := self._sources.why_not_built(source)):
            reason = RuntimeReason.LIMIT_UNENFORCEABLE
            return Wanted(asked, source.version, None, reason, why, HELD_BACK_SECONDS, outdated=outdated)
        if failure is None:
            return Wanted(asked, source.version, source, outdated=outdated)
        return Wanted(
            asked, source.version, None, failure.reason, failure.message, failure.retry_seconds, outdated=outdated
        )

    def _made(self, runtime: Runtime, trees: tuple[Tree, ...], installed: tuple[InstalledRuntime, ...]) -> Wanted:
        version = runtime.spec.versions[0]
        there = next((tree for tree in trees if tree.version == version and not tree.problem), None)
        try:
            source = self._sources.of(runtime, installed)
        except TransientError as error:
            parent = (error.name, error.wanted) if isinstance(error, ParentMissingError) and error.is_unasked else None
            retry_seconds = self._lookup_seconds(runtime)
            return Wanted(version, version, None, error.reason, error.message, retry_seconds, parent=parent)
        except TerminalError as error:
            return Wanted(version, version, None, error.reason, error.message)
        if there is None:
            return self._tried(runtime, version, source)
        if there.origin is None or not source.fingerprint or there.origin.fingerprint == source.fingerprint:
            return Wanted(version, version)
        return self._tried(runtime, version, source, outdated=True)

    def _lookup_seconds(self, runtime: Runtime) -> float:
        """Ask registries again after as long as it has been in vain already: soon at first, then ever more rarely."""
        ready = conditions.find(runtime.status.conditions, "Ready")
        if ready is None or ready.status is ConditionStatus.TRUE or not ready.last_transition_time:
            return SOONEST_LOOKUP_SECONDS
        lasted = (self._clock.now() - read_time(ready.last_transition_time)).total_seconds()
        return min(max(lasted, SOONEST_LOOKUP_SECONDS), LATEST_LOOKUP_SECONDS)
