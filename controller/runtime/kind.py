"""The Runtime kind, put together from its parts for the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from api import runtime_spec
from api.kinds import JOB, RUNTIME, Kind
from api.meta import read_time
from api.ports import Storage
from api.types.runtime import Runtime, RuntimeReason, RuntimeStatus
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.engine.recorder import Recorder
from controller.runtime import meaning, requests
from controller.runtime import plan as planning
from controller.runtime import report as reporting
from controller.runtime.bound import BoundBySource
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.choosing import Sources
from controller.runtime.health.check import Prober
from controller.runtime.health.of_runtimes import HealthOfRuntimes
from controller.runtime.inspections import DEFAULT_PACE, Inspections, Pace
from controller.runtime.installer import Installer, RuntimeMetrics
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.plan import (
    AcceptContent,
    CollectStore,
    HealVersions,
    Inspect,
    InstallVersions,
    RemoveRetired,
    RemoveVersion,
    RequestParents,
    WithdrawRequests,
)
from controller.runtime.pressure import DEFAULT_LIMITS, DiskLimits, Pressure
from controller.runtime.sources.offers import Offers
from controller.runtime.trees import install, locks, origin, records, remembered, retired, store
from controller.runtime.trees.install import Host
from controller.runtime.trees.records import Records
from controller.runtime.trees.retired import Retired
from controller.runtime.trees.scans import Scans
from controller.runtime.trees.tree import InstalledRuntime
from controller.runtime.users import released_by, running_since, users_by_version
from controller.runtime.wants import Wants

__all__ = ["RuntimeKind", "RuntimeRequests", "released_by", "users_by_version"]

PREPARING = timedelta(minutes=10)
"""How much later than it took hold of its tree the command of a run may start, at the very most."""

TEST_AGAIN_SECONDS = 3600.0
"""How soon a version that does not work is looked at again, with nobody asking: it may have been the host."""


class RuntimeRequests(Protocol):
    """Declares runtimes that others are made of and nobody declared."""

    def request(self, name: str, version: str) -> None:
        """Ask for this version of a runtime, beside all that was asked for before."""
        ...


class Requests(Protocol):
    """Knows which versions were asked for in passing, for jobs or runtimes, and takes back what nobody wants."""

    def unwanted(self, runtime: Runtime, entries: Sequence[str]) -> tuple[str, ...]:
        """Return those of `entries`, of its spec.versions, that were asked for in passing alone, and in vain by now."""
        ...

    def withdraw(self, name: str, entries: Sequence[str]) -> None:
        """Ask for these no longer; a Runtime that is there for nothing else goes with them."""
        ...


class RuntimeKind:
    """What the engine needs to reconcile runtimes."""

    kind: Kind = RUNTIME

    def __init__(
        self,
        host: Host,
        storage: Storage,
        offers: Offers,
        recorder: Recorder,
        metrics: RuntimeMetrics,
        *,
        enabled: bool,
        parents: RuntimeRequests | None = None,
        requests: Requests | None = None,
        prober: Prober | None = None,
        builds: BuildHost | None = None,
        pace: Pace = DEFAULT_PACE,
        limits: DiskLimits = DEFAULT_LIMITS,
    ) -> None:
        """Install on `host` what `offers` has, and what is made in `builds`; `storage` says who uses what.

        `prober` tells whether trees work, `parents` are asked for what others are made of. Without `requests`
        what jobs ask for is never taken back.
        """
        host = replace(host, bound=BoundBySource(host.root))
        self._host = host
        self._scans = Scans(host.root)
        self._storage = storage
        self._recorder = recorder
        self._enabled = enabled
        self._parents = parents
        self._requests = requests
        self._pace = pace
        self._is_probing = prober is not None
        health = HealthOfRuntimes(host, prober)
        self._installer = Installer(host, storage, recorder, metrics, health)
        self._inspections = Inspections(host, health, pace, recorder)
        sources = Sources(storage, Records(host.root), offers, builds)
        self._wants = Wants(offers, sources, self._installer, host.clock)
        self._pressure = Pressure(host.root, storage, limits, host.clock, self._idle)

    def observe(self, obj: Runtime) -> ObservedRuntime:
        """Return what there is of the runtime on this host and in its registries."""
        name = obj.meta.name
        installed = self._scans.scan()
        trees = self._trees(name, installed)
        wants = self._enabled and not obj.meta.is_deleting
        wanted = self._wants.of(obj, trees, installed) if wants else ()
        drifted = [t for t in trees if wants and t.drift and not t.problem]
        healing = [source for t in drifted if (source := self._wants.healing(obj, t, installed)) is not None]
        free, held = self._aside(name)
        used = self._in_use(obj, trees, wanted)
        unseen = self._inspections.unseen(name)
        observed = ObservedRuntime(
            trees, wanted, used, self._enabled, self._host.clock.now(),
            healing=tuple(healing),
            pressed=self._pressure.on(obj, trees),
            retired=len(free),
            retired_in_use=len(held),
            due=self._due(trees, unseen),
            untested=self._untested(trees, unseen),
            going=self._inspections.going(name),
            inspected=self._inspections.done(name),
            unseen=unseen,
            known=self._wants.known(obj),
            asked_in_vain=self._asked_in_vain(obj),
        )  # fmt: skip
        return observed

    def _asked_in_vain(self, obj: Runtime) -> tuple[str, ...]:
        if self._requests is None or obj.meta.is_deleting or obj.spec.made_by:
            return ()
        return self._requests.unwanted(obj, obj.spec.versions)

    def _idle(self, obj: Runtime) -> tuple[str, ...]:
        """Return the versions that entries mean which nobody wants any more, and no other entry."""
        in_vain = self._asked_in_vain(obj)
        means = {asked: meaning.meant(obj.status.history, asked) or asked for asked in obj.spec.versions}
        kept = {version for asked, version in means.items() if asked not in in_vain}
        return tuple(means[asked] for asked in in_vain if means[asked] not in kept)

    def _trees(self, name: str, installed: tuple[InstalledRuntime, ...]) -> tuple[Tree, ...]:
        return tuple(
            self._tree(found, found.version) for found in installed if found.name == name and found.version is not None
        )

    def _tree(self, found: InstalledRuntime, version: str) -> Tree:
        root = self._host.root
        is_ours = origin.is_ours(root, found.name, version, found.path)
        return Tree(
            version,
            str(found.path),
            origin.read(root, found.name, version) if is_ours else None,
            "; ".join(found.problems),
            records.last_used(root, found.name, version),
            self._pressure.shared_bytes(found.path) if is_ours else None,
            remembered.read(root, found.name, version) if is_ours else None,
        )

    def _due(self, trees: tuple[Tree, ...], unseen: Mapping[str, str]) -> tuple[str, ...]:
        """Return the versions whose content was not compared for too long, and not `unseen` just now."""
        if not self._pace.verify_seconds:
            return ()
        before = self._host.clock.now() - timedelta(seconds=self._pace.verify_seconds)
        ours = [(tree.version, tree.origin) for tree in trees if tree.origin and tree.version not in unseen]
        return tuple(version for version, known in ours if _time(known.verified_at or known.installed_at) < before)

    def _untested(self, trees: tuple[Tree, ...], unseen: Mapping[str, str]) -> tuple[str, ...]:
        """Return the versions whose health was looked at on another kernel, or that did not work a while ago."""
        if not self._pace.verify_seconds or not self._is_probing:
            return ()
        before = self._host.clock.now() - timedelta(seconds=TEST_AGAIN_SECONDS)
        kernel = origin.kernel()
        ours = [(tree.version, tree.origin) for tree in trees if tree.origin and tree.version not in unseen]
        return tuple(
            version
            for version, known in ours
            if known.checked_on
            and (known.checked_on != kernel or (known.health == origin.UNHEALTHY and _time(known.checked_at) < before))
        )

    def _in_use(
        self, obj: Runtime, trees: tuple[Tree, ...], wanted: tuple[Wanted, ...]
    ) -> Mapping[str, tuple[str, ...]]:
        """Look for users only where the answer matters: a tree of ours that may have to go or to be replaced."""
        keep = {each.version for each in wanted if not each.outdated}
        if not any(t.origin and (t.problem or t.version not in keep) for t in trees):
            return {}
        return users_by_version(obj.meta.name, self._storage.each(JOB.name))

    def plan(self, obj: Runtime, observed: ObservedRuntime) -> Plan:
        """Return what the runtime needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Runtime, step: Any) -> None:
        """Carry out one step."""
        match step:
            case InstallVersions(sources, over):
                self._installer.install_all(obj, sources, over=over)
            case HealVersions(sources):
                self._installer.install_all(obj, sources, over=True)
            case RemoveVersion(version):
                self._remove(obj, version)
            case RemoveRetired():
                self._remove_retired(obj)
            case CollectStore():
                store.collect(self._host.root)
            case AcceptContent(versions):
                self._accept(obj.meta.name, versions)
            case Inspect():
                self._inspections.start(obj, step)
            case RequestParents(wanted):
                self._request(wanted)
            case WithdrawRequests(entries):
                self._withdraw(obj, entries)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _request(self, wanted: tuple[tuple[str, str], ...]) -> None:
        if self._parents is not None:
            for name, version in wanted:
                self._parents.request(name, version)

    def _withdraw(self, obj: Runtime, entries: tuple[str, ...]) -> None:
        if self._requests is not None:
            self._requests.withdraw(obj.meta.name, entries)
            told = f"{', '.join(entries)} was asked for only by jobs or runtimes that have gone"
            self._recorder.record(obj, "Normal", "Withdrawn", told)

    def _accept(self, name: str, versions: tuple[str, ...]) -> None:
        for version in versions:
            with locks.exclusive(self._host.root, origin.key(name, version), wait=False):
                remembered.accept(self._host.root, name, version)

    def _remove(self, obj: Runtime, version: str) -> None:
        name = obj.meta.name
        # Once more, at the last moment: a run may have begun since it was observed.
        if users := users_by_version(name, self._storage.each(JOB.name)).get(version):
            message = (
                f"cannot remove {name}@{version}: it is in use by {', '.join(users)}: it goes when they have ended"
            )
            raise TransientError(RuntimeReason.IN_USE, message)
        if install.remove(self._host.root, name, version, wait=False):
            records.forget_use(self._host.root, name, version)
            self._recorder.record(obj, "Normal", "Removed", f"{name}@{version} was removed")
            store.collect(self._host.root)

    def _remove_retired(self, obj: Runtime) -> None:
        free, _ = self._aside(obj.meta.name)
        for each in free:
            retired.remove(each)
        store.collect(self._host.root)

    def _aside(self, name: str) -> tuple[list[Retired], list[Retired]]:
        """Return the replaced trees of the runtime `name`: those of no run that goes on, and those that may be."""
        found = [(each, version) for each in retired.find(self._host.root) if (version := _version_of(each.key, name))]
        if not found:
            return [], []
        since = running_since(name, self._storage.each(JOB.name))
        held = [each for each, version in found if version in since and since[version] <= each.at + PREPARING]
        return [each for each, _ in found if each not in held], held

    def report(self, obj: Runtime, observed: ObservedRuntime, plan: Plan) -> RuntimeStatus:
        """Return the runtime's status as observed."""
        status = reporting.report(obj, observed, plan, self._host.clock.now())
        for reason, message in requests.told(obj.status, status):
            self._recorder.record(obj, "Normal", reason, message)
        for message in reporting.newly_sick(obj, observed, status):
            self._recorder.record(obj, "Warning", RuntimeReason.UNHEALTHY, message)
        return status

    def report_failure(self, obj: Runtime, error: TransientError | TerminalError) -> RuntimeStatus:
        """Return the status of a runtime that a pass failed for."""
        return reporting.report_failure(obj, error, self._host.clock.now())

    def is_gone(self, observed: ObservedRuntime) -> bool:
        """Whether nothing that we installed is left."""
        aside = observed.retired + observed.retired_in_use
        return all(tree.origin is None for tree in observed.trees) and not aside

    def stop(self) -> None:
        """Give up what is being looked at in the background."""
        self._inspections.stop()


def _version_of(key: str, name: str) -> str | None:
    version = key.removeprefix(f"{name}-")
    return version if version != key and runtime_spec.is_version(version) else None


def _time(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
