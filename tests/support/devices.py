"""A host's devices as jobs see them, on a real store, without any real device."""

import stat
from pathlib import Path
from typing import Any

from api.meta import Document, ObjectKey
from api.types.job import Job
from controller.contents.store import Contents
from controller.daemon.volumes_for_jobs import AutoCreate, VolumesForJobs
from controller.devices import cdi
from controller.devices.fitting import HostFile
from controller.devices.inventory import Inventory, merge
from controller.job.capacity import Capacity
from controller.job.devices import Devices
from controller.job.host_files import HostFiles
from controller.job.memory_place import MemoryPlace
from controller.job.observe import Observer
from controller.job.queue_rules import QueueRules
from controller.job.run_dirs import RunDirs
from controller.job.waiters import Waiters
from controller.launcher.host_claims import HostClaims
from state.store import Store
from support.cdi import KIND, a_device, a_node, a_spec
from support.contents import LIMITS, open_artifacts
from support.hand_clock import HandClock


class ZeroesEverywhere:
    """A host with a device of its own at each path, except those that were unplugged, and `same` as another's."""

    def __init__(self) -> None:
        self.unplugged: set[str] = set()
        self.same: dict[str, str] = {}
        self._minors: dict[str, int] = {}

    def look(self, path: str) -> HostFile | None:
        """Return what is there."""
        if path in self.unplugged:
            return None
        minor = self._minors.setdefault(self.same.get(path, path), len(self._minors))
        return HostFile(stat.S_IFCHR | 0o666, 1, minor)

    def soname(self, path: str) -> str:
        """There are no libraries."""
        return ""


class Host:
    """A store with jobs, run directories, and a controller's memory of devices, which `restart` loses."""

    def __init__(self, root: Path, store: Store, *names: str) -> None:
        self.store = store
        self.dirs_root = root
        self.dirs = RunDirs(root, MemoryPlace(()))
        self.claims = HostClaims(str(root.with_name("claims")))
        self.files = ZeroesEverywhere()
        self.woken: list[ObjectKey] = []
        self.given: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.declare(*names)
        self.restart()

    def declare(self, *names: str, kind: str = KIND, **renamed: str) -> None:
        """Have just these devices: each of a node of its name, or `NAME="A B"` of these nodes."""
        behind = {name: name for name in names} | renamed
        nodes = [
            a_device(name, *(a_node(f"/dev/test/{one}", f"/dev/{one}") for one in own.split()))
            for name, own in behind.items()
        ]
        specs = [cdi.parse(a_spec(*nodes, kind=kind), "/etc/cdi/a.json")] if nodes else []
        self.inventory: Inventory = merge([specs], directories=("/etc/cdi",))

    def restart(self) -> None:
        """Forget all that is not on record."""
        self.devices = Devices(
            lambda: self.inventory, self.files, self.store, self.dirs, self.woken.append, self.claims, "/here"
        )

    def observer(self) -> Observer:
        """Return one of jobs without runtimes and without runs that run."""
        room = {"cpu": 10_000, "memory": 1 << 40, "ephemeral-storage": 1 << 40, "pods": 10}
        clock = HandClock()
        capacity = Capacity(lambda: room, self.store, self.dirs, clock, self.woken.append, QueueRules())
        nothing: Any = None  # Neither runtimes nor a watch of runs.
        volumes = VolumesForJobs(self.store, nothing, self.dirs, nothing, {}, AutoCreate(False, 0), nothing)
        return Observer(
            clock,
            "boot",
            self.dirs,
            self.dirs_root,
            nothing,
            nothing,
            capacity,
            self.devices,
            volumes,
            look=self.store.get,
            waiters=Waiters(self.store.get),
            contents=Contents(self.dirs_root.with_name("contents"), clock, LIMITS),
            host_files=HostFiles({}, "boot", 0),
            artifacts=open_artifacts(self.dirs_root.with_name("artifacts")),
        )

    def add(self, name: str, **wanted: int) -> Job:
        """Store a job that wants devices: `zero=2` is two of example.com/zero."""
        limits = {f"example.com/{kind}": count for kind, count in wanted.items()}
        spec: Document = {"command": ["true"], "resources": {"limits": limits}}
        document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "spec": spec}
        metadata = {"name": name, "namespace": "default"}
        return Job.model_validate(self.store.create(document | {"metadata": metadata}))

    def job(self, name: str) -> Job:
        """Return the job as it is stored."""
        document = self.store.get(ObjectKey("Job", "default", name))
        assert document is not None
        return Job.model_validate(document)

    def record(
        self,
        job: Job,
        attempt: int,
        names: tuple[str, ...],
        state: str = "Pending",
        nodes: tuple[str, ...] | None = None,
    ) -> Job:
        """Store that a run of the job, as it was read, has these devices. Raises Conflict."""
        runs = [run.to_document() for run in job.status.runs if run.attempt != attempt]
        recorded = self.given.get(names, ()) if nodes is None else nodes
        runs.append({"attempt": attempt, "state": state, "devices": list(names), "deviceNodes": list(recorded)})
        document: dict[str, Any] = job.to_document() | {"status": {"attempts": attempt, "runs": runs}}
        return Job.model_validate(self.store.update_status(document))

    def begin(self, job: Job, attempt: int = 1) -> tuple[str, ...]:
        """Do what a pass does for a run that is to begin: choose, hold, make its directory."""
        found = self.devices.find(job)
        names: tuple[str, ...] = getattr(found, "names", ())
        nodes: tuple[str, ...] = getattr(found, "nodes", ())
        self.devices.claim(job, attempt, names, nodes)
        self.given[names] = nodes
        self.dirs.make(job.meta.uid, attempt)
        return names
