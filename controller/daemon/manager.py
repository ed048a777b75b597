"""The composition root: makes all parts, plugs them into each other, starts and stops them in order.

Here: which part gets which, and the order. Never here: what any part does. Stopping ends the
controller alone: runs and the launcher go on, and the next start finds them.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics

from api import quantity
from api.http.app import Surroundings, build_app
from api.http.authorization import Access
from api.http.server import ApiServer, Tls
from api.kinds import CONFIG_MAP, JOB, REGISTRY, RUNTIME, RUNTIME_TEMPLATE, SECRET
from api.meta import Document, ObjectKey
from api.objects.verbs import Verbs
from api.types.job import Job
from api.version import VERSION
from controller.cgroup import choose
from controller.cgroup import slice as slices
from controller.cgroup.absent import AbsentCgroups
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.daemon import builds, first_start, lock
from controller.daemon import host as hosts
from controller.daemon.api_settings import split_listen
from controller.daemon.audit_file import AuditFiles
from controller.daemon.authority import HostAuthority
from controller.daemon.collecting import Collector
from controller.daemon.explaining import Explaining
from controller.daemon.health import DaemonHealth
from controller.daemon.held_together import HeldTogether
from controller.daemon.host_devices import open_devices
from controller.daemon.host_users import HostUsers
from controller.daemon.housekeeping import Housekeeping
from controller.daemon.job_admission import JobAdmission
from controller.daemon.metrics import DaemonMetrics, HttpMetrics, StoreMetrics
from controller.daemon.node import NodeReport
from controller.daemon.package_caches import PackageCaches
from controller.daemon.paths import Paths
from controller.daemon.probing import RuntimeProber
from controller.daemon.runtimes_for_jobs import (
    PARENTS_MANAGER,
    InstalledTrees,
    RuntimeRequests,
    RuntimesForJobs,
)
from controller.daemon.served_runtimes import ServedBuildLogs, ServedCatalogues
from controller.daemon.settings import Settings, share_of_cpu, share_of_memory
from controller.daemon.waking import Waking
from controller.devices.fitting import Fitting
from controller.engine.clock import SystemClock
from controller.engine.controller import Controller
from controller.engine.log import keys
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.job import host_limits
from controller.job.act import Actor
from controller.job.announce import Announcer, JobMetrics
from controller.job.crowd import Crowd
from controller.job.entering import Entering
from controller.job.explain import JobExplainer
from controller.job.kind import JobKind
from controller.job.logs import JobLogs
from controller.job.memory_place import MemoryPlace
from controller.job.observe import Observer, is_ended
from controller.job.observed import RuntimeReady
from controller.job.run_dirs import RunDirs
from controller.job.run_spec import RunDefaults
from controller.job.run_watch import RunWatch
from controller.job.sweep import adopt, sweep
from controller.job.usage import RunningJobsCollector
from controller.job.usages import Usages
from controller.launcher.client import LauncherClient
from controller.linux import landlock
from controller.manifests.directory import DirectoryFeed
from controller.manifests.inbox import InboxFeed
from controller.manifests.loop import ManifestsLoop
from controller.manifests.sources import Feed
from controller.registry import fetch, platforms
from controller.registry.cache import CatalogueCache
from controller.registry.kind import RegistryKind
from controller.registry.parts import Parts
from controller.runtime.build import sandbox
from controller.runtime.build.recipe import RecipeBuilder
from controller.runtime.choosing import Dependents
from controller.runtime.inspections import Pace
from controller.runtime.installer import RuntimeMetrics
from controller.runtime.kind import RuntimeKind, released_by
from controller.runtime.pressure import DiskLimits
from controller.runtime.sources.offers import Offers
from controller.runtime.trees import install
from controller.sandbox.legacy import legacy_binds
from state.store import Store

_log = logging.getLogger(__name__)


class Manager:
    """All of the daemon but its command line."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        """Make the parts for this host; nothing runs yet.

        Raises:
            HostError: this host cannot run sandboxes.
            AlreadyRunning: another daemon serves this root.
            StoreFileError: the store cannot be used.
        """
        self._settings = settings
        self._paths = paths
        self._host = hosts.look()
        hosts.require(self._host)
        paths.make()
        self._lock = lock.take(paths.daemon_lock)
        self._clock = SystemClock()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # A series of its own for when each counter began helps nobody here.
        self._metrics = CollectorRegistry()
        self._make_store()
        self._make_runs()
        self._make_runtimes()
        self._make_jobs()
        self._controllers = (self._registries, self._runtimes, self._jobs)
        self._make_access()
        self._make_sources()
        self._make_api()

    def start(self) -> None:
        """Clear what nobody knows, start everything, and return when the API answers."""
        self._held_together.why_not()  # If they are not, each job is told.
        with ThreadPoolExecutor(1) as beside:
            launcher = beside.submit(self.launcher.ensure_running)
            self._clear()
            first_start.prepare(self._paths, self.verbs, self._settings)
            launcher.result()
        self._recorder.start()
        self._watch.start()
        for controller in self._controllers:
            controller.watch()
        self._manifests.start()
        self._housekeeping.start()
        self._collector.start()
        self._server.start()
        # A pass over each of very many objects would hold all the rest up: it begins when the rest is there.
        self._manifests.wait_until_synced()
        for controller in self._controllers:
            controller.work()
        _log.info("ready", extra=keys(socket=str(self._paths.api_socket), host=self._host.name, version=VERSION))

    def _clear(self) -> None:
        """End and remove what nobody knows; watch the runs that go on."""
        known = {job["metadata"]["uid"]: ObjectKey.of(job) for job in self.store.each(JOB.name)}
        for item in sweep(known, self._run_dirs, self._cgroups, self._paths.job_logs):
            _log.warning("removed what no job knows", extra=keys(item=item))
        adopt(known, self._run_dirs, self._watch)
        for item in sandbox.sweep(builds.cgroup_parent(self._paths, self._settings)):
            _log.warning("ended a build that was cut off", extra=keys(item=item))
        install.clean_staging(self._paths.runtimes)

    def stop(self) -> None:
        """Stop everything in the opposite order; runs and the launcher stay alive. May be called half started."""
        self._server.stop()
        self._collector.stop()
        self._housekeeping.stop()
        self._manifests.stop()
        for controller in reversed(self._controllers):
            controller.stop()
        self._runtime_kind.stop()
        self._watch.stop()
        self._recorder.stop()
        self.launcher.close()
        self._caches.close()
        self._http_client.close()
        self.store.close()
        self._audit.close()
        self._lock.close()
        _log.info("ended", extra=keys(host=self._host.name))

    def _make_store(self) -> None:
        self.store = Store.open(self._paths.database, self._clock, on_commit=StoreMetrics(self._metrics))
        self._admission = JobAdmission(self._settings.policy.policy(), landlock.abi())
        self.verbs = Verbs(self.store, self._clock, self._admission.judge)
        self.verbs.bootstrap()
        self._waking = Waking(self.store)
        self._engine_metrics = EngineMetrics(self._metrics)
        self._recorder = Recorder(self.store, self._clock, self._engine_metrics.events, host=self._host.name)

    def _make_runs(self) -> None:
        settings, paths = self._settings, self._paths
        self._run_dirs = RunDirs(paths.runs, MemoryPlace(paths.memory_places))
        launcher_cgroup = f"{paths.cgroup_slice(settings)}/{slices.LAUNCHER}"
        self.launcher = LauncherClient(paths.launcher_socket, paths.launcher_dir, paths.launcher_log, launcher_cgroup)
        self._cgroups, self._unenforceable = _open_cgroups(paths.cgroup_parent(settings))
        slice_name = paths.cgroup_slice(settings)
        whole = None if self._unenforceable else slices.Slice(choose.hierarchies_of_host(), slice_name)
        self._held_together = HeldTogether(whole, settings.cgroup, self._host)
        self._run_defaults = _run_defaults(settings, paths, self._host)

    def _make_jobs(self) -> None:
        settings, paths = self._settings, self._paths
        trees = InstalledTrees(paths.runtimes)
        self._caches = PackageCaches(paths.package_caches, quantity.to_bytes(settings.jobs.cache_size))
        runtimes = RuntimesForJobs(trees, self.store, self._offers, self._caches, enabled=settings.runtime.enabled)
        self._runtimes_for_jobs = runtimes
        self._watch = RunWatch(self._a_run_ended)
        self._crowd = Crowd(lambda: len(self._watch.active()), settings.jobs.max_active)
        devices = open_devices(settings, paths.root, self.store, self._run_dirs, lambda key: self._jobs.enqueue(key))
        job_metrics = JobMetrics(self._metrics)
        defaults = self._run_defaults
        observer = Observer(
            self._clock, self._host.boot_id, self._run_dirs, paths.job_logs, runtimes, self._watch,
            self._crowd, devices, self._unenforceable, self._why_not_held,
            self._admission.why_not, look=self.store.get,
        )  # fmt: skip
        actor = Actor(
            self._clock, self.store, self.launcher, self._cgroups, self._run_dirs, paths.job_logs, runtimes,
            RuntimeRequests(self.verbs, self.store), defaults, job_metrics, devices,
        )  # fmt: skip
        self._jobs = self._controller(
            JobKind(self._clock, observer, actor, defaults),
            workers=settings.jobs.workers,
            also=(
                (RUNTIME.name, self._waking.jobs_that_wait),
                (REGISTRY.name, self._waking.jobs_that_wait),
                (JOB.name, Announcer(self._recorder, job_metrics).keys),
                *((kind.name, self._waking.jobs_that_lack) for kind in (SECRET, CONFIG_MAP)),
            ),
        )
        self._job_explainer = JobExplainer(self.store, observer, actor)
        self._metrics.register(RunningJobsCollector(self._cgroups, self._watch.active))

    def _make_runtimes(self) -> None:
        settings = self._settings
        self._http_client = fetch.new_client(self._paths.credentials)
        self._cache = cache = CatalogueCache(self._paths.registry_cache, self._http_client, self._clock)
        release = Path("/etc/os-release")
        self._platform = platforms.host_platform(release.read_text() if release.exists() else "", self._host.machine)
        build_host = builds.build_host(self._paths, settings, self._host.memory_bytes, self._held_together.why_not)
        host = install.Host(
            self._paths.runtimes,
            self._platform,
            self._clock,
            self._http_client,
            quantity.to_bytes(settings.runtime.minimum_free),
            build_recipe=RecipeBuilder(build_host, self._platform, self._clock),
        )
        self._offers = Offers(self.store, cache)
        self._runtime_kind = kind = RuntimeKind(
            host, self.store, self._offers, self._recorder, RuntimeMetrics(self._metrics),
            enabled=settings.runtime.enabled, parents=RuntimeRequests(self.verbs, self.store, PARENTS_MANAGER),
            builds=build_host, prober=self._prober(),
            pace=Pace(settings.runtime.verify_seconds, quantity.to_bytes(settings.runtime.verify_rate)),
            limits=DiskLimits(settings.runtime.disk_used_percent),
        )  # fmt: skip
        dependents = Dependents(self.store)
        self._runtimes = self._controller(
            kind,
            workers=4,
            also=(
                (REGISTRY.name, self._waking.runtimes_of_registry),
                (JOB.name, released_by),
                (RUNTIME.name, dependents.of_runtime),
                (RUNTIME_TEMPLATE.name, dependents.of_template),
            ),
        )
        self._registries = self._controller(RegistryKind(cache, self._clock), workers=2)

    def _why_not_held(self, job: Job, runtime: RuntimeReady, devices: Fitting) -> str:
        return self._held_together.why_not() or host_limits.why_not(job, runtime, devices, self._run_defaults)

    def _prober(self) -> RuntimeProber | None:
        """Return what tries runtimes out; nobody can where no run could be held to its limits."""
        if self._unenforceable:
            return None
        return RuntimeProber(
            self.launcher, self._cgroups, self._run_dirs, self._run_defaults, self._held_together.why_not
        )

    def _make_access(self) -> None:
        settings = self._settings.api
        listen = split_listen(settings.listen) if settings.listen else None
        self._authority = HostAuthority(self._paths.authority, self._clock, settings.names, listen)
        size, paths = quantity.to_bytes(settings.audit_size), self._paths
        self._audit = AuditFiles(paths.audit_log, paths.audit_log_of_unknown, size, settings.audit_files)
        self._host_users = HostUsers(settings.socket_groups)
        if self._host_users.are_many:
            self._paths.run.chmod(0o711)  # For them to reach the socket; what else is in there is closed to them.
        self._tls = None if listen is None else Tls(*listen, self._authority.context())

    def _make_sources(self) -> None:
        rescan_seconds = self._settings.manifests.rescan_seconds
        feeds: list[Feed] = [
            DirectoryFeed(self._paths.manifests, self._clock, rescan_seconds),
            InboxFeed(self._paths.inbox),
        ]
        self._manifests = ManifestsLoop.over(
            feeds, self.verbs, self.store, self._recorder, self._clock, self._metrics, rescan_seconds
        )
        self._collector = Collector(self.store, self.verbs)
        self._housekeeping = Housekeeping(
            self.store, self.verbs, self._clock, self._settings, self._caches,
            Parts.below(self._paths.runtimes, self._clock), self._authority,
        )  # fmt: skip

    def _make_api(self) -> None:
        settings = self._settings
        node = NodeReport(
            self._host, self._clock, self._paths.runs, settings.jobs.max_active, settings.runtime.disk_used_percent,
            lambda: self._unenforceable,
        )  # fmt: skip
        surroundings = Surroundings(
            verbs=self.verbs,
            storage=self.store,
            clock=self._clock,
            run_logs=JobLogs(self._paths.job_logs, self._clock, self._run_is_over),
            run_access=Entering(
                self._run_dirs, self.launcher, self._runtimes_for_jobs, self._run_defaults.cgroup_parent, self.store.get
            ),
            run_usages=Usages(
                self._cgroups, self._run_defaults.cgroup_parent, self._watch.active, self.store, self._clock
            ),
            build_logs=ServedBuildLogs(self._paths.build_logs, self.store),
            catalogues=ServedCatalogues(self._cache, self._platform),
            explainer=Explaining(self.store, self._job_explainer),
            health=DaemonHealth(self._controllers, self._manifests, self.launcher, self._audit),
            exposition=DaemonMetrics(self._metrics),
            manifests=self._manifests.reports,
            host=node,
            node_name=self._host.name,
            version=VERSION,
        )
        access = Access(self._host_users.user, self._audit, self._authority, self.store)
        app = build_app(surroundings, HttpMetrics(self._metrics), access)
        self._server = ApiServer(app, self._paths.api_socket, self._tls, is_shared=self._host_users.are_many)

    def _controller(self, reconciler: Any, **options: Any) -> Controller:
        parts = reconciler, self.store, self._clock, self._recorder, self._engine_metrics
        return Controller(*parts, resync_seconds=self._settings.engine.resync_seconds, **options)

    def _a_run_ended(self, key: ObjectKey) -> None:
        for job in (key, *self._crowd.woken()):
            self._jobs.enqueue(job)

    def _run_is_over(self, job: Document, attempt: int) -> bool:
        now = self.store.get(ObjectKey.of(job))
        return now is None or is_ended(now, attempt)


def _open_cgroups(parent: str) -> tuple[Lifecycle, str]:
    """Return the cgroups of our runs, or why runs cannot be held to their limits here, which is told to each job."""
    try:
        return choose.open_lifecycle(choose.hierarchies_of_host(), parent), ""
    except CgroupError as error:
        _log.error("cannot limit runs on this host, so none is started", extra=keys(problem=str(error)))
        return AbsentCgroups(str(error)), str(error)


def _run_defaults(settings: Settings, paths: Paths, host: hosts.Host) -> RunDefaults:
    binds, symlinks = legacy_binds(_links(Path("/")), _links(Path("/etc")))
    jobs = settings.jobs
    return RunDefaults(
        pids=jobs.pids,
        memory_bytes=share_of_memory(jobs.memory, host.memory_bytes),
        work_bytes=quantity.to_bytes(jobs.work_size),
        tmp_bytes=quantity.to_bytes(jobs.tmp_size),
        shm_bytes=quantity.to_bytes(jobs.shm_size),
        log_max_bytes=quantity.to_bytes(settings.logs.max_size),
        log_max_files=settings.logs.max_files,
        cgroup_parent=paths.cgroup_parent(settings),
        legacy_binds=binds,
        legacy_symlinks=symlinks,
        needs_landlock=settings.policy.require_landlock,
        cpu_cap_millicpu=share_of_cpu(settings.cgroup.cpu, host.cpus),
    )


def _links(directory: Path) -> dict[str, str | None]:
    """Return the names in a directory, each with what it points to if it is a symbolic link."""
    return {entry.name: os.readlink(entry) if entry.is_symlink() else None for entry in directory.iterdir()}
