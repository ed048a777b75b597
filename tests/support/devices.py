"""A host's devices as jobs see them, on a real store, without any real device."""

import stat
from pathlib import Path
from typing import Any

from api.meta import Document, ObjectKey
from api.types.job import Job
from controller.devices import cdi
from controller.devices.fitting import HostFile
from controller.devices.inventory import Inventory, merge
from controller.job.devices import Devices
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from state.store import Store
from support.cdi import KIND, a_device, a_node, a_spec


class ZeroesEverywhere:
    """A host with a device node at each path below /dev, except those that were unplugged."""

    def __init__(self) -> None:
        self.unplugged: set[str] = set()

    def look(self, path: str) -> HostFile | None:
        """Return what is there."""
        return None if path in self.unplugged else HostFile(stat.S_IFCHR | 0o666, 1, 5)

    def soname(self, path: str) -> str:
        """There are no libraries."""
        return ""


class Host:
    """A store with jobs, run directories, and a controller's memory of devices, which `restart` loses."""

    def __init__(self, root: Path, store: Store, *names: str) -> None:
        self.store = store
        self.dirs = RunDirs(root, MemoryPlace(()))
        self.files = ZeroesEverywhere()
        self.woken: list[ObjectKey] = []
        self.declare(*names)
        self.restart()

    def declare(self, *names: str, kind: str = KIND) -> None:
        """Have just these devices."""
        nodes = [a_device(name, a_node(f"/dev/test/{name}", f"/dev/{name}")) for name in names]
        specs = [cdi.parse(a_spec(*nodes, kind=kind), "/etc/cdi/a.json")] if nodes else []
        self.inventory: Inventory = merge([specs], directories=("/etc/cdi",))

    def restart(self) -> None:
        """Forget all that is not on record."""
        self.devices = Devices(lambda: self.inventory, self.files, self.store, self.dirs, self.woken.append)

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

    def record(self, job: Job, attempt: int, names: tuple[str, ...], state: str = "Pending") -> Job:
        """Store that a run of the job, as it was read, has these devices. Raises Conflict."""
        runs = [run.to_document() for run in job.status.runs if run.attempt != attempt]
        runs.append({"attempt": attempt, "state": state, "devices": list(names)})
        document: dict[str, Any] = job.to_document() | {"status": {"attempts": attempt, "runs": runs}}
        return Job.model_validate(self.store.update_status(document))

    def begin(self, job: Job, attempt: int = 1) -> tuple[str, ...]:
        """Do what a pass does for a run that is to begin: choose, hold, make its directory."""
        found = self.devices.find(job)
        names: tuple[str, ...] = getattr(found, "names", ())
        self.devices.claim(job, attempt, names)
        self.dirs.make(job.meta.uid, attempt)
        return names
