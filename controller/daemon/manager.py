"""The composition root: makes all parts, plugs them into each other, starts and stops them in order.

Here: which part gets which, and the order. Never here: what any part does. Stopping ends the
controller alone: runs and the launcher go on, and the next start finds them.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics

from api import quantity
from api.http.app import Surroundings
from api.http.load import Load
from api.kinds import CRON_JOB, JOB, REGISTRY, RUNTIME, RUNTIME_TEMPLATE, VOLUME
from api.meta import Document, ObjectKey
from api.objects.verbs import Verbs
from api.version import VERSION
from controller.cron_job.starts import settle
from controller.daemon import builds, cron_jobs, first_start, lock
from controller.daemon import host as hosts
from controller.daemon import workflows as workflows_of
from controller.daemon.allocatable import HostAmounts
from controller.daemon.api_here import ApiHere
from controller.daemon.clock_steps import ClockSteps
from controller.daemon.collecting import Collector
from controller.daemon.explaining import Explaining
from controller.daemon.health import DaemonHealth
from controller.daemon.host_devices import open_devices
from controller.daemon.housekeeping import Housekeeping
from controller.daemon.job_admission import JobAdmission
from controller.daemon.job_files import JobFiles
from controller.daemon.metrics import DaemonMetrics, StoreMetrics
from controller.daemon.networking import Networking
from controller.daemon.node import NodeReport
from controller.daemon.order_admission import OrderAdmission
from controller.daemon.package_caches import PackageCaches
from controller.daemon.paths import Paths
from controller.daemon.queueing import open_capacity, open_quotas, watched
from controller.daemon.runs_here import open_runs
from controller.daemon.runtimes_for_jobs import RuntimesForJobs
from controller.daemon.runtimes_here import open_runtimes
from controller.daemon.served_artifacts import ServedArtifacts
from controller.daemon.served_runtimes import ServedBuildLogs, ServedCatalogues
from controller.daemon.settings import Settings
from controller.daemon.volume_admission import VolumeAdmission
from controller.daemon.volumes_here import open_volumes
from controller.daemon.waking import Waking
from controller.engine.clock import SystemClock
from controller.engine.controller import Controller
from controller.engine.log import keys
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.job import advice
from controller.job.act import Actor
from controller.job.announce import Announcer, JobMetrics
from controller.job.early import EarlyStarts
from controller.job.entering import Entering
from controller.job.explain import JobExplainer
from controller.job.kind import JobKind
from controller.job.logs import JobLogs
from controller.job.observe import Observer, is_ended
from controller.job.queue_metrics import QueueCollector
from controller.job.run_spec import log_files
from controller.job.run_watch import RunWatch
from controller.job.sweep import adopt, sweep
from controller.job.usage import RunningJobsCollector
from controller.job.usages import Usages
from controller.job.waiters import Waiters
from controller.linux import landlock
from controller.manifests.directory import DirectoryFeed
from controller.manifests.inbox import InboxFeed
from controller.manifests.loop import ManifestsLoop
from controller.manifests.sources import Feed
from controller.registry.parts import Parts
from controller.resource_quota.kind import ResourceQuotaKind
from controller.resource_quota.names import WATCHED
from controller.runtime.build import sandbox
from controller.runtime.choosing import Dependents
from controller.runtime.trees import install
from controller.runtime.trees.installed import InstalledTrees
from state.store import Store

_log = logging.getLogger(__name__)
_REST_SECONDS = 0.05  # Of those who hear of each status of each job, and whom nobody waits for that long.


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
        self._load = Load()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # A series of its own for when each counter began helps nobody here.
        self._metrics = CollectorRegistry()
        self._make_store()
        self._runs = open_runs(settings, paths, self._host)
        self._make_runtimes()
        self._networking = Networking(
            settings.network, paths, self.store, self.verbs, self._clock, self._runs.dirs, self._look_at, self._metrics
        )  # fmt: skip
        self._networks = self._controller(self._networking.kind, workers=1)
        self._make_jobs()
        self._make_quota_uses()
        parts = cron_jobs.make(self._clock, self.verbs, self._recorder, self._metrics, self._host.cpus)
        self._cron_jobs = self._controller(parts.kind, workers=4, also=((JOB.name, parts.children.woken),))
        self._cron_job_explainer, self._cron_starts = parts.explainer, parts.starts
        self._clock_steps = ClockSteps(self._clock, self._clock_stepped)
        workflows, also = workflows_of.parts(self._clock, self.verbs, self._recorder, self._metrics)
        self._workflows = self._controller(workflows, also=also)
        self._controllers = (
            self._registries, self._runtimes, self._quota_uses, self._volumes, self._snapshots, self._networks,
            self._jobs, self._cron_jobs, self._workflows,
        )  # fmt: skip
        self._api = ApiHere(settings, paths, self._clock)
        self._make_sources()
        self._make_api()

    def start(self) -> None:
        """Clear what nobody knows, start everything, and return when the API answers."""
        self._runs.held_together.why_not()  # If they are not, each job is told.
        with ThreadPoolExecutor(1) as beside:
            launcher = beside.submit(self._runs.launcher.ensure_running)
            self._clear()
            first_start.prepare(self._paths, self.verbs, self._settings)
            launcher.result()
        self._recorder.start()
        self._watch.start()
        for controller in self._controllers:
            controller.watch()
        self._manifests.start()
        self._networking.start()
        self._server.start()
        # What looks at each of very many objects would hold all the rest up: it begins when the rest is there.
        self._manifests.wait_until_synced()
        self._housekeeping.start()
        self._collector.start()
        for controller in self._controllers:
            controller.work()
        self._clock_steps.start()
        _log.info("ready", extra=keys(socket=str(self._paths.api_socket), host=self._host.name, version=VERSION))

    def _clear(self) -> None:
        """End and remove what nobody knows; watch the runs that go on."""
        known = self.store.uids(JOB.name)
        for item in sweep(known, self._runs.dirs, self._runs.cgroups, self._paths.job_logs):
            _log.warning("removed what no job knows", extra=keys(item=item))
        self._files.sweep(known)
        adopt(known, self._runs.dirs, self._watch)
        settle(self.store, self._cron_starts, self._clock.now())
        self._waiters.start_over(self.store)
        for item in self._volumes_here.sweep():
            _log.warning("cleared what a volume left", extra=keys(item=item))
        for item in self._networking.sweep():
            _log.warning("removed a link that nobody knows", extra=keys(item=item))
        for item in sandbox.sweep(builds.cgroup_parent(self._paths, self._settings)):
            _log.warning("ended a build that was cut off", extra=keys(item=item))
        install.clean_staging(self._paths.runtimes)

    def stop(self) -> None:
        """Stop everything in the opposite order; runs and the launcher stay alive. May be called half started."""
        self._clock_steps.stop()
        self._server.stop()
        self._collector.stop()
        self._housekeeping.stop()
        self._manifests.stop()
        self._networking.stop()
        for controller in reversed(self._controllers):
            controller.stop()
        self._runtimes_here.kind.stop()
        self._watch.stop()
        self._recorder.stop()
        self._runs.launcher.close()
        self._caches.close()
        self._volumes_here.backing.close()
        self._runtimes_here.http_client.close()
        self.store.close()
        self._api.audit.close()
        self._lock.close()
        _log.info("ended", extra=keys(host=self._host.name))

    def _make_store(self) -> None:
        self.store = Store.open(self._paths.database, self._clock, on_commit=StoreMetrics(self._metrics))
        self._quotas = open_quotas(self._settings, self.store)
        self._files = JobFiles(self._settings, self._paths, self._clock, self.store, self._host.boot_id)
        policy = self._settings.policy.policy()
        self._admission = JobAdmission(policy, landlock.abi(), self.store.get, self._quotas.charged)
        order = OrderAdmission(self.store.get, self._admission.judge, self._files.judged_inside(self._admission.judged))
        judged = VolumeAdmission(self.store.get, order.judged).judged
        self.verbs = Verbs(self.store, self._clock, judged, lambda new: advice.of(new, self._amounts.for_runs()))
        self.verbs.bootstrap()
        self._waking = Waking(self.store)
        self._engine_metrics = EngineMetrics(self._metrics)
        self._recorder = Recorder(self.store, self._clock, self._engine_metrics.events, host=self._host.name)

    def _make_jobs(self) -> None:
        settings, paths = self._settings, self._paths
        trees = InstalledTrees(paths.runtimes)
        self._caches = PackageCaches(paths.package_caches, quantity.to_bytes(settings.jobs.cache_size))
        runtimes = RuntimesForJobs(
            trees, self.store, self._runtimes_here.offers, self._caches, enabled=settings.runtime.enabled
        )
        self._runtimes_for_jobs = runtimes
        self._watch = RunWatch(self._look_at)
        devices = open_devices(settings, paths.root, self.store, self._runs.dirs, self._look_at)
        self._volumes_here = here = open_volumes(
            settings, paths, self.store, self.verbs, self._runs.dirs, self._clock, self._look_at, self._metrics,
            self._recorder,
        )  # fmt: skip
        volumes = here.for_jobs
        self._volumes = self._controller(here.kind, also=here.also)
        self._snapshots = self._controller(here.snapshots, workers=2, also=here.also_of_snapshots)
        announcer = Announcer(self._recorder, job_metrics := JobMetrics(self._metrics))
        self._amounts = HostAmounts(self._host, settings, paths.runs, devices.counts_of_all)
        capacity = open_capacity(
            settings, self.store, self._runs.dirs, self._clock, self._amounts.for_runs, self._look_at, job_metrics,
            self._host.name,
        )  # fmt: skip
        self._waiters = Waiters(self.store.get)
        defaults, networks = self._runs.defaults, self._networking.networks
        observer = Observer(
            self._clock, self._host.boot_id, self._runs.dirs, paths.job_logs, runtimes, self._watch,
            capacity, devices, volumes, self._runs.unenforceable, self._runs.why_not_held,
            self._admission.why_not, look=self.store.get, waiters=self._waiters, contents=self._files.contents,
            artifacts=self._files.artifacts, host_files=self._files.host_files, networks=networks,
            early=EarlyStarts(self._host.cpus, networks.name_of),
        )  # fmt: skip
        actor = Actor(
            self._clock, self.store, self._runs.launcher, self._runs.cgroups, self._runs.dirs, paths.job_logs, runtimes,
            self._runtimes_here.requests, defaults, job_metrics, devices, capacity, volumes,
            self._files.contents, self._files.artifacts, self._files.host_files, networks, announcer.stopping,
        )  # fmt: skip
        self._jobs = self._controller(
            JobKind(self._clock, observer, actor, defaults),
            workers=settings.jobs.workers,
            also=(
                *self._waking.of_jobs(),
                (JOB.name, announcer.keys),
                (JOB.name, self._waiters.changed),
                *watched(capacity),
            ),
        )
        self._job_explainer = JobExplainer(self.store, observer, actor)
        self._metrics.register(QueueCollector(capacity.pending, capacity.promised))
        self._metrics.register(RunningJobsCollector(self._runs.cgroups, self._watch.active))

    def _make_quota_uses(self) -> None:
        counted = ((kind.name, self._quotas.quotas_of) for kind in WATCHED)
        self._quota_uses = self._controller(
            ResourceQuotaKind(self._quotas), workers=1, also=tuple(counted), rest_seconds=_REST_SECONDS
        )

    def _make_runtimes(self) -> None:
        self._runtimes_here = here = open_runtimes(
            self._settings, self._paths, self._host, self._clock, self.verbs, self._recorder, self._metrics,
            self._runs.held_together.why_not, self._runs.prober(),
        )  # fmt: skip
        dependents = Dependents(self.store)
        self._runtimes = self._controller(
            here.kind,
            workers=4,
            rest_seconds=_REST_SECONDS,
            also=(
                (REGISTRY.name, self._waking.runtimes_of_registry),
                (JOB.name, here.job_asks.changed),
                (RUNTIME.name, dependents.of_runtime),
                (RUNTIME.name, dependents.parents),
                (RUNTIME_TEMPLATE.name, dependents.of_template),
            ),
        )
        self._registries = self._controller(here.registries, workers=2)

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
            Parts.below(self._paths.runtimes, self._clock), self._api.authority, self._files,
        )  # fmt: skip

    def _make_api(self) -> None:
        settings = self._settings
        node = NodeReport(
            self._host, self._clock, self._paths.runs, self._amounts, settings.runtime.disk_used_percent,
            lambda: self._runs.unenforceable,
        )  # fmt: skip
        surroundings = Surroundings(
            verbs=self.verbs,
            storage=self.store,
            clock=self._clock,
            run_logs=JobLogs(
                self._paths.job_logs,
                self._clock,
                self._run_is_over,
                lambda job: log_files(job["metadata"].get("annotations") or {}, self._runs.defaults),
            ),
            run_access=Entering(
                self._runs.dirs,
                self._runs.launcher,
                self._runtimes_for_jobs,
                self._runs.defaults.cgroup_parent,
                self.store.get,
            ),
            run_usages=Usages(
                self._runs.cgroups, self._runs.defaults.cgroup_parent, self._watch.active, self.store, self._clock
            ),
            uploads=self._files.uploads,
            artifacts=ServedArtifacts(self._files.artifacts),
            build_logs=ServedBuildLogs(self._paths.build_logs, self.store),
            catalogues=ServedCatalogues(self._runtimes_here.catalogues, self._runtimes_here.platform),
            explainer=Explaining(self.store, self._job_explainer, self._cron_job_explainer),
            health=DaemonHealth(
                self._controllers, self._manifests, self._runs.launcher, self._api.audit, self._networking
            ),
            exposition=DaemonMetrics(self._metrics),
            manifests=self._manifests.reports,
            host=node,
            node_name=self._host.name,
            version=VERSION,
        )
        self._server = self._api.server(surroundings, self.store, self._metrics, self._load)

    def _controller(self, reconciler: Any, **options: Any) -> Controller:
        parts = reconciler, self.store, self._clock, self._recorder, self._engine_metrics
        seconds = self._settings.engine.resync_seconds
        return Controller(*parts, resync_seconds=seconds, gives_way=self._load.is_much, **options)

    def _look_at(self, key: ObjectKey) -> None:
        others = {VOLUME.name: self._volumes, self._networking.kind.kind.name: self._networks}
        others.get(key.kind, self._jobs).enqueue(key)

    def _clock_stepped(self) -> None:
        for controller, kind in ((self._jobs, JOB), (self._cron_jobs, CRON_JOB)):
            for key in self.store.keys(kind.name):
                controller.enqueue(key)

    def _run_is_over(self, job: Document, attempt: int) -> bool:
        now = self.store.get(ObjectKey.of(job))
        return now is None or now["metadata"]["uid"] != job["metadata"]["uid"] or is_ended(now, attempt)
