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


@dataclass(frozen=True, slots=True)
class Parts:
    """What others of the same process, and tests, may reach."""

    store: Store
    verbs: Verbs
    jobs: Controller
    launcher: LauncherClient


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
