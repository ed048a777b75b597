"""The Runtime and Registry kinds with real parts all around: a store, a registry on disk, trees on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from api.kinds import REGISTRY, RUNTIME, RUNTIME_TEMPLATE
from api.meta import API_VERSION, Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.runtime_requests import PREFIX
from controller.daemon.job_asks import JobAsks
from controller.daemon.runtime_requests import PARENTS_MANAGER, AskedInVain, RuntimeRequests
from controller.daemon.runtimes_for_jobs import RuntimesForJobs
from controller.engine.errors import TerminalError, TransientError
from controller.engine.metrics import EngineMetrics
from controller.engine.reconcile import ReconcileLoop, Result
from controller.engine.recorder import Recorder
from controller.registry.cache import CatalogueCache
from controller.registry.kind import RegistryKind
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.health.check import Prober
from controller.runtime.installer import RuntimeMetrics
from controller.runtime.kind import RuntimeKind
from controller.runtime.sources.offers import Offers
from controller.runtime.trees.install import Host
from controller.runtime.trees.installed import InstalledTrees
from state.store import Store
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, a_host


class RuntimeWorld:
    """Reconciles by hand, one pass at a time, on a clock that stands still."""

    def __init__(
        self,
        directory: Path,
        store: Store,
        clock: HandClock,
        host: Host,
        prober: Prober | None = None,
        builds: BuildHost | None = None,
    ) -> None:
        self.directory = directory
        self.store = store
        self.clock = clock
        self.root = host.root
        self.registry = RegistryOnDisk(directory / "registry")
        self.registry.path.mkdir()
        self.registry.write()
        self.verbs = Verbs(store, clock)
        self.cache = CatalogueCache(directory / "cache", host.client, clock)
        self.offers = Offers(store, self.cache)
        self.metrics = RuntimeMetrics(CollectorRegistry())
        recorder = Recorder(store, clock, EngineMetrics(CollectorRegistry()).events)
        self.recorder = recorder
        self.requests = RuntimeRequests(self.verbs, store)
        self.job_asks = JobAsks(store, clock)
        self._told = store.revision()
        parents = RuntimeRequests(self.verbs, store, PARENTS_MANAGER)
        self.kind = RuntimeKind(
            host,
            store,
            self.offers,
            recorder,
            self.metrics,
            enabled=True,
            parents=parents,
            requests=AskedInVain(self.verbs, store, (self.requests, parents), self.job_asks),
            prober=prober,
            builds=builds,
        )
        self._runtimes = ReconcileLoop(self.kind, store)
        self._registries = ReconcileLoop(RegistryKind(self.cache, clock, recorder), store)
        self.jobs = RuntimesForJobs(InstalledTrees(self.root), store, self.offers, enabled=True)

    def declare_registry(self, name: str = "tests", **spec: Any) -> None:
        wanted = {"url": self.registry.url, "cacheSeconds": 1, **spec}
        self._apply(REGISTRY.name, name, wanted)

    def declare(self, name: str, *versions: str, **spec: Any) -> None:
        self._apply(RUNTIME.name, name, {"versions": list(versions), **spec})

    def _apply(self, kind: str, name: str, spec: Document) -> None:
        document = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.verbs.apply(RUNTIME if kind == "Runtime" else REGISTRY, "", name, document, WriteOptions("tests"))

    def pass_over(self, name: str) -> Result | TransientError | TerminalError:
        """One pass for a runtime, again after conflicts as the worker does; a failure is put on record."""
        self._tell_of_jobs()
        key = ObjectKey(RUNTIME.name, "", name)
        for _ in range(5):
            try:
                return self._runtimes.reconcile(key)
            except (TransientError, TerminalError) as error:
                self._runtimes.report_failure(key, error)
                return error
            except Exception as error:
                if type(error).__name__ != "Conflict":
                    raise
        raise AssertionError("it conflicts for ever")

    def _tell_of_jobs(self) -> None:
        changes = self.store.changes(self._told, kind="Job")
        for change in changes:
            self.job_asks.changed(change)
        self._told = self.store.revision()

    def look_at_registry(self, name: str = "tests") -> Document:
        self._registries.reconcile(ObjectKey(REGISTRY.name, "", name))
        return self.get(REGISTRY.name, name).get("status", {})

    def get(self, kind: str, name: str) -> Document:
        return self.store.get(ObjectKey(kind, "", name)) or {}

    def ready(self, name: str) -> Document:
        return self.condition(name, "Ready")

    def condition(self, name: str, kind: str) -> Document:
        conditions = self.get(RUNTIME.name, name)["status"]["conditions"]
        return next((dict(condition) for condition in conditions if condition["type"] == kind), {})

    def states(self, name: str) -> dict[str, str]:
        versions = self.get(RUNTIME.name, name)["status"].get("versions", ())
        return {version["version"]: version["state"] for version in versions}

    def status(self, name: str) -> Document:
        return dict(self.get(RUNTIME.name, name)["status"])

    def means(self, name: str) -> list[tuple[str, str, str]]:
        """Return the history: what was asked, what it meant, and why."""
        return [(e["asked"], e["version"], e["reason"]) for e in self.status(name).get("history", ())]

    def ask(self, name: str, request: str, value: str) -> str:
        """Ask something of a runtime by annotation, make a pass, and return what became of it."""
        annotation = {PREFIX + request: value}
        document = self.get(RUNTIME.name, name)
        annotations = document["metadata"].get("annotations", {}) | annotation
        self.store.update(document | {"metadata": document["metadata"] | {"annotations": annotations}})
        self.pass_over(name)
        status = self.status(name)
        heard = status.get("requestsHeard", {}).get(request) == value
        return str(status.get("requestResults", {}).get(request)) if heard else ""

    def template(self, name: str, **spec: Any) -> None:
        document = {"apiVersion": API_VERSION, "kind": "RuntimeTemplate", "metadata": {"name": name}, "spec": spec}
        self.verbs.apply(RUNTIME_TEMPLATE, "", name, document, WriteOptions("tests"))

    def delete(self, name: str) -> None:
        self.store.delete(ObjectKey(RUNTIME.name, "", name))

    def job_in(self, runtime: str, state: str = "Running", phase: str = "Running", name: str = "etl") -> Document:
        """Store a job with a run in `runtime`, NAME@VERSION."""
        document = {"apiVersion": API_VERSION, "kind": "Job", "metadata": {"name": name, "namespace": "default"}}
        key = ObjectKey("Job", "default", name)
        job = self.store.get(key) or self.store.create(document | {"spec": {"command": ["true"]}})
        status = {
            "phase": phase,
            "resolvedRuntime": runtime,
            "runs": [{"attempt": 1, "state": state, "runtime": runtime}],
        }
        return self.store.update_status(job | {"status": status})

    def job_that_waits(self, runtime: str, name: str = "waits") -> Document:
        """Store a job that asks for `runtime` and has not run."""
        document = {"apiVersion": API_VERSION, "kind": "Job", "metadata": {"name": name, "namespace": "default"}}
        return self.store.create(document | {"spec": {"command": ["true"], "runtime": runtime}})


@contextmanager
def a_runtime_world(
    directory: Path, prober: Prober | None = None, builds: BuildHost | None = None, **host_fields: Any
) -> Iterator[RuntimeWorld]:
    clock = HandClock()
    store = Store.open(directory / "store.db", clock)
    try:
        with a_host(directory / "root", clock=clock, **host_fields) as host:
            yield RuntimeWorld(directory, store, clock, host, prober, builds)
    finally:
        store.close()
