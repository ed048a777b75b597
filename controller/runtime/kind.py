"""The Runtime kind, put together from its parts for the engine."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from api import runtime_spec
from api.errors import ApiError
from api.kinds import JOB, RUNTIME, Kind
from api.meta import ObjectKey
from api.ports import Storage
from api.types.runtime import Runtime, RuntimeStatus
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.engine.recorder import Recorder
from controller.runtime import install, origin, tree
from controller.runtime import plan as planning
from controller.runtime import report as reporting
from controller.runtime.install import Host, Package
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.offers import Offers
from controller.runtime.plan import InstallVersions, RemoveVersion

_PROGRESS_SECONDS = 0.25


class RuntimeMetrics:
    """Counters of installs; every series starts at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`."""
        self.installs = Counter(
            "runwright_runtime_installs", "Installs of a version, by outcome.", ["outcome"], registry=registry
        )
        self.seconds = Histogram(
            "runwright_runtime_install_seconds", "Duration of an install that worked.", registry=registry,
            buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
        )  # fmt: skip
        for outcome in ("installed", "failed"):
            self.installs.labels(outcome)


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
        self._metrics = metrics
        self._enabled = enabled

    def observe(self, obj: Runtime) -> ObservedRuntime:
        """Return what there is of the runtime on this host and in its registries."""
        name = obj.meta.name
        trees = tuple(
            Tree(
                found.version,
                str(found.path),
                origin.read(self._host.root, name, found.version),
                "; ".join(found.problems),
            )
            for found in tree.scan(self._host.root)
            if found.name == name and found.version is not None
        )
        wanted = () if obj.meta.is_deleting else tuple(self._wanted(obj, asked, trees) for asked in obj.spec.versions)
        return ObservedRuntime(trees, wanted, self._in_use(name), self._enabled)

    def _wanted(self, obj: Runtime, asked: str, trees: tuple[Tree, ...]) -> Wanted:
        version = None if asked == runtime_spec.LATEST else asked
        usable = [tree.version for tree in trees if not tree.problem]
        if version in usable:
            return Wanted(asked, version)
        try:
            package = self._offers.find(obj.meta.name, version, obj.spec.registry)
        except TransientError as error:
            # What is installed serves as the latest while no registry can tell of a later one.
            return Wanted(asked, version or runtime_spec.latest(usable), None, error.reason, error.message)
        return Wanted(asked, package.entry.version, package)

    def _in_use(self, name: str) -> frozenset[str]:
        jobs = self._storage.list(JOB.name).items
        runs = [run for job in jobs for run in job.get("status", {}).get("runs", ()) if run.get("state") != "Ended"]
        specs = [run.get("runtime", "").rpartition("@") for run in runs]
        return frozenset(version for runtime, _, version in specs if runtime == name)

    def plan(self, obj: Runtime, observed: ObservedRuntime) -> Plan:
        """Return what the runtime needs next."""
        return planning.plan(obj, observed)

    def act(self, obj: Runtime, step: Any) -> None:
        """Carry out one step."""
        match step:
            case InstallVersions(packages):
                self._install_all(obj, packages)
            case RemoveVersion(version):
                install.remove(self._host.root, obj.meta.name, version, wait=False)
                self._recorder.record(obj, "Normal", "Removed", f"{obj.meta.name}@{version} was removed")
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _install_all(self, obj: Runtime, packages: tuple[Package, ...]) -> None:
        failed: TransientError | TerminalError | None = None
        for package in packages:
            try:
                self._install(obj, package)
            except (TransientError, TerminalError) as error:
                self._metrics.installs.labels("failed").inc()
                failed = failed or error
        if failed is not None:
            raise failed

    def _install(self, obj: Runtime, package: Package) -> None:
        started = self._host.clock.monotonic()
        progress = _Progress(self._storage, obj.key, package, self._host)
        progress(0, package.entry.size_bytes)
        done = install.install(package, self._host, progress=progress)
        self._metrics.installs.labels("installed").inc()
        self._metrics.seconds.observe(self._host.clock.monotonic() - started)
        self._recorder.record(obj, "Normal", "Installed", f"{done.message}, from registry/{package.registry}")

    def report(self, obj: Runtime, observed: ObservedRuntime, plan: Plan) -> RuntimeStatus:
        """Return the runtime's status as observed."""
        return reporting.report(obj, observed, plan, self._host.clock.now())

    def report_failure(self, obj: Runtime, error: TransientError | TerminalError) -> RuntimeStatus:
        """Return the status of a runtime that a pass failed for."""
        return reporting.report_failure(obj, error, self._host.clock.now())

    def is_gone(self, observed: ObservedRuntime) -> bool:
        """Whether nothing that we installed is left."""
        return all(tree.origin is None for tree in observed.trees)


class _Progress:
    """Tells how far an install is, in the runtime's status, a few times a second."""

    def __init__(self, storage: Storage, key: ObjectKey, package: Package, host: Host) -> None:
        self._storage = storage
        self._key = key
        self._entry = package.entry
        self._clock = host.clock
        self._told_at = float("-inf")

    def __call__(self, done_bytes: int, size_bytes: int | None) -> None:
        """Note that `done_bytes` of the archive's `size_bytes` were read."""
        if self._clock.monotonic() - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = self._clock.monotonic()
        document = self._storage.get(self._key)
        if document is None:
            return
        status = reporting.with_progress(
            Runtime.model_validate(document), self._entry.version, done_bytes, size_bytes or self._entry.size_bytes
        )
        try:
            self._storage.update_status(document | {"status": status.to_document()})
        except ApiError:
            return  # Somebody wrote at the same moment: the next note will tell.
