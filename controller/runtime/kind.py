"""The Runtime kind, put together from its parts for the engine."""

from collections.abc import Mapping
from typing import Any

from api import conditions, runtime_spec
from api.conditions import ConditionStatus
from api.kinds import JOB, RUNTIME, Kind
from api.meta import Document, ObjectKey, read_time
from api.ports import Change, Storage
from api.types.runtime import Runtime, RuntimeReason, RuntimeStatus
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.engine.recorder import Recorder
from controller.runtime import install, origin, tree
from controller.runtime import plan as planning
from controller.runtime import report as reporting
from controller.runtime.install import Host
from controller.runtime.installer import Installer, RuntimeMetrics
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.offers import Offers
from controller.runtime.plan import InstallVersions, RemoveVersion

SOONEST_LOOKUP_SECONDS, LATEST_LOOKUP_SECONDS = 2.0, 60.0


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
    ) -> None:
        """Install on `host` what `offers` has; `storage` says who uses what."""
        self._host = host
        self._storage = storage
        self._offers = offers
        self._recorder = recorder
        self._installer = Installer(host, storage, recorder, metrics)
        self._enabled = enabled

    def observe(self, obj: Runtime) -> ObservedRuntime:
        """Return what there is of the runtime on this host and in its registries."""
        trees = self._trees(obj.meta.name)
        wants = self._enabled and not obj.meta.is_deleting
        wanted = tuple(self._wanted(obj, asked, trees) for asked in obj.spec.versions) if wants else ()
        return ObservedRuntime(trees, wanted, self._in_use(obj.meta.name, trees, wanted), self._enabled)

    def _trees(self, name: str) -> tuple[Tree, ...]:
        root = self._host.root
        return tuple(
            Tree(
                found.version,
                str(found.path),
                origin.read(root, name, found.version)
                if origin.is_ours(root, name, found.version, found.path)
                else None,
                "; ".join(found.problems),
            )
            for found in tree.scan(root)
            if found.name == name and found.version is not None
        )

    def _wanted(self, obj: Runtime, asked: str, trees: tuple[Tree, ...]) -> Wanted:
        is_latest = asked == runtime_spec.LATEST
        usable = [tree.version for tree in trees if not tree.problem]
        if not is_latest and asked in usable:
            return Wanted(asked, asked)
        try:
            package = self._offers.find(obj.meta.name, None if is_latest else asked, obj.spec.registry)
        except TransientError as error:
            # What is installed serves as the latest while no registry can tell of a later one.
            version = runtime_spec.latest(usable) if is_latest else asked
            return Wanted(asked, version, None, error.reason, error.message, self._lookup_seconds(obj))
        version = package.entry.version
        if is_latest:  # Never back to an earlier one: another registry may have had it, and cannot be read now.
            version = runtime_spec.latest([*usable, version]) or version
        if version in usable:
            return Wanted(asked, version)
        failure = self._installer.failure(package, obj.meta.generation)
        if failure is None:
            return Wanted(asked, version, package)
        return Wanted(asked, version, None, failure.reason, failure.message, failure.retry_seconds)

    def _lookup_seconds(self, obj: Runtime) -> float:
        """Ask registries again after as long as it has been in vain already: soon at first, then ever more rarely."""
        ready = conditions.find(obj.status.conditions, "Ready")
        if ready is None or ready.status is ConditionStatus.TRUE or not ready.last_transition_time:
            return SOONEST_LOOKUP_SECONDS
        lasted = (self._host.clock.now() - read_time(ready.last_transition_time)).total_seconds()
        return min(max(lasted, SOONEST_LOOKUP_SECONDS), LATEST_LOOKUP_SECONDS)

    def _in_use(self, name: str, trees: tuple[Tree, ...], wanted: tuple[Wanted, ...]) -> Mapping[str, tuple[str, ...]]:
        """Look for users only where the answer matters: a tree of ours that may have to go or to be replaced."""
        keep = {each.version for each in wanted}
        if not any(tree.origin and (tree.problem or tree.version not in keep) for tree in trees):
            return {}
        return users_by_version(name, self._storage.list(JOB.name).items)

    def plan(self, obj: Runtime, observed: ObservedRuntime) -> Plan:
        """Return what the runtime needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Runtime, step: Any) -> None:
        """Carry out one step."""
        match step:
            case InstallVersions(packages):
                self._installer.install_all(obj, packages)
            case RemoveVersion(version):
                self._remove(obj, version)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _remove(self, obj: Runtime, version: str) -> None:
        name = obj.meta.name
        # Once more, at the last moment: a run may have begun since it was observed.
        if users := users_by_version(name, self._storage.list(JOB.name).items).get(version):
            message = (
                f"cannot remove {name}@{version}: it is in use by {', '.join(users)}: it goes when they have ended"
            )
            raise TransientError(RuntimeReason.IN_USE, message)
        if install.remove(self._host.root, name, version, wait=False):
            self._recorder.record(obj, "Normal", "Removed", f"{name}@{version} was removed")

    def report(self, obj: Runtime, observed: ObservedRuntime, plan: Plan) -> RuntimeStatus:
        """Return the runtime's status as observed."""
        return reporting.report(obj, observed, plan, self._host.clock.now())

    def report_failure(self, obj: Runtime, error: TransientError | TerminalError) -> RuntimeStatus:
        """Return the status of a runtime that a pass failed for."""
        return reporting.report_failure(obj, error, self._host.clock.now())

    def is_gone(self, observed: ObservedRuntime) -> bool:
        """Whether nothing that we installed is left."""
        return all(tree.origin is None for tree in observed.trees)


def users_by_version(name: str, jobs: tuple[Document, ...]) -> dict[str, tuple[str, ...]]:
    """Return the jobs that use each version of the runtime `name`: in a run that has not ended, or for a retry."""
    users: dict[str, list[str]] = {}
    for job in jobs:
        for used in sorted(_runtimes_of(job)):
            runtime, _, version = used.rpartition("@")
            if runtime == name:
                users.setdefault(version, []).append(str(ObjectKey.of(job)))
    return {version: tuple(names) for version, names in users.items()}


def _runtimes_of(job: Document) -> set[str]:
    """Return the runtime versions that a job uses, each as NAME@VERSION."""
    status = job.get("status", {})
    runs = status.get("runs", ())
    used = {run.get("runtime", "") for run in runs if run.get("state") != "Ended"}
    is_over = status.get("phase") in ("Succeeded", "Failed") or "deletionTimestamp" in job["metadata"]
    # A job keeps the version of its first run through all retries.
    return used if is_over or not runs else used | {status.get("resolvedRuntime", "")}


def released_by(change: Change) -> tuple[ObjectKey, ...]:
    """Return the runtimes that a change of a job set free, in whole or in part: one may wait to be removed."""
    before = _runtimes_of(change.previous) if change.previous else _runtimes_of(change.document)
    still = set() if change.type == "DELETED" else _runtimes_of(change.document)
    names = {used.rpartition("@")[0] for used in before - still} - {""}
    return tuple(ObjectKey(RUNTIME.name, "", name) for name in sorted(names))
