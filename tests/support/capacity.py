"""A host that promises room to jobs, on a real store and run directories, without any process."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.meta import SCHEDULING_GROUP, Document, ObjectKey, wire_micro_time
from api.types.job import Job
from controller.capacity.amounts import CPU, MEMORY, RUNS, STORAGE, Need, need
from controller.capacity.line import Waiting
from controller.capacity.turns import Promised
from controller.job import requests
from controller.job.capacity import Capacity
from controller.job.memory_place import MemoryPlace
from controller.job.moments import moment
from controller.job.observed import Admitted, Queued
from controller.job.queue_rules import QueueRules
from controller.job.run_dirs import RunDirs
from state.store import Store
from support.hand_clock import HandClock

MiB = 1 << 20
ROOM = {CPU: 4000, MEMORY: 1024 * MiB, STORAGE: 1024 * MiB, RUNS: 10}


def key(name: str, namespace: str = "default") -> ObjectKey:
    """Return the key of a job."""
    return ObjectKey("Job", namespace, name)


def waiting(name: str, since: int = 0, priority: int = 0, namespace: str = "default", **amounts: Any) -> Waiting:
    """Return a job that waits for so much, and a place."""
    preempts = amounts.pop("preempts", True)
    return Waiting(key(name, namespace), name, priority, since, need({RUNS: 1, **amounts}), preempts)


def promised(name: str, since: int = 0, priority: int = 0, queued: int = 0, **amounts: Any) -> Promised:
    """Return what a run of a job has."""
    has_deadline = amounts.pop("has_deadline", False)
    return Promised(key(name), 1, need({RUNS: 1, **amounts}), priority, queued, since, has_deadline)


class Host:
    """A store with jobs, run directories, and a controller's book of promises, which `restart` loses."""

    def __init__(self, root: Path, room: Mapping[str, int] | None = None, **rules: Any) -> None:
        self.clock = HandClock()
        self.store = Store.open(root / "state.db", self.clock)
        self.dirs_root = root / "runs"
        self.dirs_root.mkdir()
        self.dirs = RunDirs(self.dirs_root, MemoryPlace(()))
        self.room = dict(room or ROOM)
        self.rules = QueueRules(**rules)
        self.woken: list[ObjectKey] = []
        self.restart()

    def restart(self) -> None:
        """Forget all that is not on record."""
        self.woken.clear()
        self.capacity = Capacity(
            lambda: self.room, self.store, self.dirs, self.clock, self.woken.append, self.rules, node_name="host"
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def cordon(self, *, closed: bool, node: str = "host") -> None:
        """Store that a node takes no new runs, or does; the book is told."""
        document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {"unschedulable": closed}}
        stored = self.store.get(ObjectKey("Node", "", node))
        before = self.store.revision()
        self.store.update({**stored, **document, "metadata": stored["metadata"]}) if stored else self.store.create(
            document
        )
        for change in self.store.changes(before, kind="Node"):
            self.capacity.look_at_node(change)

    def add_class(self, name: str, value: int, **fields: Any) -> None:
        """Store a PriorityClass."""
        self.store.create(
            {"apiVersion": f"{SCHEDULING_GROUP}/v1", "kind": "PriorityClass", "metadata": {"name": name},
             "value": value, **fields}
        )  # fmt: skip

    def add(self, name: str, namespace: str = "default", class_name: str = "", **wanted: Any) -> Job:
        """Store a job that requests so much: `cpu=2`, `memory="1Gi"`."""
        spec: Document = {"command": ["true"], "resources": {"requests": wanted}}
        if class_name:
            spec["priorityClassName"] = class_name
        document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "spec": spec}
        metadata = {"name": name, "namespace": namespace}
        return Job.model_validate(self.store.create(document | {"metadata": metadata}))

    def job(self, name: str, namespace: str = "default") -> Job:
        """Return the job as it is stored."""
        document = self.store.get(key(name, namespace))
        assert document is not None
        return Job.model_validate(document)

    def ask(self, name: str, namespace: str = "default") -> Admitted | Queued:
        """Do what a pass does for a job that wants to begin a run."""
        job = self.job(name, namespace)
        self.capacity.look_after(job)
        return self.capacity.ask(job, {})

    def begin(self, name: str, namespace: str = "default", attempt: int = 1) -> Job:
        """Do the rest of that pass: hold, make the directory, put it on record."""
        job = self.job(name, namespace)
        turn = self.capacity.ask(job, {})
        assert isinstance(turn, Admitted), turn
        self.hold(job, attempt)
        return self.record(job, attempt, turn)

    def hold(self, job: Job, attempt: int = 1) -> None:
        """Do what the step does before its record is stored."""
        self.capacity.claim(job, attempt)
        self.dirs.make(job.meta.uid, attempt)

    def record(self, job: Job, attempt: int, turn: Admitted, state: str = "Running") -> Job:
        """Store that a run was begun of the job, as it was read. Raises Conflict."""
        runs = [run.to_document() for run in job.status.runs if run.attempt != attempt]
        runs.append({"attempt": attempt, "state": state, "requests": requests.recorded(turn.need),
                     "priority": turn.priority, "startedAt": wire_micro_time(self.clock.now())})  # fmt: skip
        status: Document = {"attempts": attempt, "runs": runs}
        if turn.queued_at is not None:
            status["queuedAt"] = wire_micro_time(moment(turn.queued_at))
        return Job.model_validate(self.store.update_status(job.to_document() | {"status": status}))

    def end(self, name: str, namespace: str = "default", attempt: int = 1, *, removed: bool = True) -> None:
        """Put the end of a run on record, and perhaps remove what is left of it; then a pass looks."""
        job = self.job(name, namespace)
        runs = [run.to_document() | ({"state": "Ended"} if run.attempt == attempt else {}) for run in job.status.runs]
        status = job.status.to_document() | {"runs": runs}
        self.store.update_status(job.to_document() | {"status": status})
        if removed:
            self.remove(name, namespace, attempt)

    def remove(self, name: str, namespace: str = "default", attempt: int = 1) -> None:
        """Remove what is left of a run; then a pass looks."""
        job = self.job(name, namespace)
        shutil.rmtree(self.dirs.path(job.meta.uid, attempt), ignore_errors=True)
        self.capacity.look_after(job)

    def names_woken(self) -> list[str]:
        """Return who was woken since this was asked before."""
        names = [one.name for one in self.woken]
        self.woken.clear()
        return names


def amounts_of(turn: Admitted) -> Need:
    """Return what a job was promised, but for its place."""
    return tuple((name, amount) for name, amount in turn.need if name != RUNS)
