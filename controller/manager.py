"""The composition root: makes all parts, plugs them into each other, starts and stops them in order.

Here: which part gets which, and the order. Never here: what any part does. Stopping ends the
controller alone: runs and the launcher go on, and the next start finds them.
"""

import fcntl
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from api import quantity
from api.errors import About, NotFound
from api.http.app import build_app
from api.http.server import ApiServer
from api.kinds import JOB, REGISTRY, RUNTIME
from api.meta import ObjectKey
from api.objects.verbs import Verbs
from controller import host as hosts
from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.engine.clock import SystemClock
from controller.engine.controller import Controller
from controller.engine.log import keys
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.job.act import Actor
from controller.job.announce import Announcer, JobMetrics
from controller.job.explain import JobExplainer
from controller.job.kind import JobKind
from controller.job.logs import JobLogs
from controller.job.observe import Observer, is_ended
from controller.job.run_dirs import RunDirs
from controller.job.run_spec import RunDefaults
from controller.job.run_watch import RunWatch
from controller.job.sweep import sweep
from controller.job.usage import RunningJobsCollector
from controller.launcher.client import LauncherClient
from controller.paths import Paths
from controller.runtimes_for_jobs import InstalledTrees, RuntimeRequests, RuntimesForJobs
from controller.sandbox.legacy import legacy_binds
from controller.settings import Settings
from state.store import Store

_log = logging.getLogger(__name__)


class AlreadyRunning(Exception):
    """Another daemon serves this root."""


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
        self._lock = _lock(paths.daemon_lock)
        self._clock = SystemClock()
        self._metrics = CollectorRegistry()
        self._stopping = threading.Event()
        self._make_store()
        self._make_jobs()
        self._make_runtimes()
        self._make_sources()
        self._make_api()

    def _make_store(self) -> None:
        registry = self._metrics
        writes = Counter("runwright_store_writes", "Rows written to the store's journal.", registry=registry)
        commits = Histogram("runwright_store_commit_seconds", "Duration of a commit, durable.", registry=registry)

        def on_commit(seconds: float, rows: int) -> None:
            writes.inc(rows)
            commits.observe(seconds)

        self.store = Store.open(self._paths.database, self._clock, on_commit=on_commit)
        self.verbs = Verbs(self.store, self._clock)
        self.verbs.bootstrap()
        self._engine_metrics = EngineMetrics(registry)
        self._recorder = Recorder(self.store, self._clock, self._engine_metrics.events, host=self._host.name)

    def _make_jobs(self) -> None:
        settings, paths = self._settings, self._paths
        self._run_dirs = RunDirs(paths.runs)
        self.launcher = LauncherClient(paths.launcher_socket, paths.slots, paths.logs / "launcher.log")
        self._cgroups, unenforceable = _open_cgroups(paths.cgroup_parent(settings))
        self._trees = InstalledTrees(paths.runtimes)
        runtimes = RuntimesForJobs(self._trees, self.store, enabled=settings.runtime.enabled)
        self._watch = RunWatch(lambda key: self.jobs.enqueue(key))
        job_metrics = JobMetrics(self._metrics)
        defaults = _run_defaults(settings, paths)
        self._observer = Observer(
            self._clock, self._host.boot_id, self._run_dirs, paths.job_logs, runtimes, self._watch,
            settings.jobs.max_active, unenforceable,
        )  # fmt: skip
        self._actor = Actor(
            self._clock, self.store, self.launcher, self._cgroups, self._run_dirs, paths.job_logs, runtimes,
            RuntimeRequests(self.verbs, self.store), defaults, job_metrics,
        )  # fmt: skip
        self.jobs = self._controller(
            JobKind(self._clock, self._observer, self._actor, defaults),
            workers=settings.jobs.workers,
            also=((RUNTIME.name, self._jobs_of_runtime), (JOB.name, Announcer(self._recorder, job_metrics).keys)),
        )
        self._metrics.register(RunningJobsCollector(self._cgroups, self._watch.active))

    def _controller(self, reconciler: Any, **options: Any) -> Controller:
        return Controller(
            reconciler, self.store, self._clock, self._recorder, self._engine_metrics,
            resync_seconds=self._settings.engine.resync_seconds, **options,
        )  # fmt: skip

    def _jobs_of_runtime(self, change: Change) -> tuple[ObjectKey, ...]:
        """Jobs that wait for a runtime look again when any runtime changes; there are few of either."""
        waiting = ("Pending",)
        jobs = self.store.list(JOB.name).items
        return tuple(ObjectKey.of(job) for job in jobs if job.get("status", {}).get("phase", "Pending") in waiting)
