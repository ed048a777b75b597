"""What is asked of Runtimes in passing: for a job, or to make another runtime of; and what is asked for no longer.

Requests are declared as any user would declare them, by a field manager of their own. Invariants: what others asked
for stays theirs; nothing is taken back that is installed, or that a job may yet want.
"""

import threading
from collections.abc import Mapping, Sequence

from api import runtime_spec
from api.errors import Conflict, Invalid, NotFound
from api.kinds import JOB, RUNTIME
from api.meta import API_VERSION, Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.ports import Storage
from api.runtime_requests import ASKED_BY_JOBS, ASKED_BY_RUNTIMES
from api.types.runtime import MADE_SOURCES, Runtime

REQUEST_MANAGER = ASKED_BY_JOBS
PARENTS_MANAGER = ASKED_BY_RUNTIMES


class RuntimeRequests:
    """Implements `controller.job.act.RuntimeRequests`, and the Runtime kind's, by applying Runtime objects."""

    def __init__(self, verbs: Verbs, storage: Storage, manager: str = REQUEST_MANAGER) -> None:
        """Write with `verbs` as `manager`; `storage` tells what was asked for before."""
        self._manager = manager
        self._verbs = verbs
        self._storage = storage
        self._lock = threading.Lock()

    def request(self, name: str, version: str) -> None:
        """Ask for this version beside all that was asked for before; what others asked for stays theirs.

        A runtime that is made here is what its author says: nothing is asked of it.
        """
        with self._lock:
            stored = self._stored(name)
            if _is_made(stored):
                return
            try:
                self._apply(name, {"versions": sorted({version, *_asked_by(self._manager, stored)})})
            except Invalid:
                if not _is_made(self._stored(name)):  # Its author may have come in between.
                    raise

    def withdraw(self, name: str, versions: Sequence[str]) -> None:
        """Ask for these versions no longer; a Runtime that is there for nothing else goes with them."""
        with self._lock:
            stored = self._stored(name)
            asked = _asked_by(self._manager, stored)
            left = sorted(asked - set(versions))
            if stored is None or len(left) == len(asked):
                return
            if left or stored["spec"].get("versions", []) != sorted(asked):
                self._apply(name, {"versions": left} if left else {})
            elif any(entry["manager"] != self._manager for entry in _entries(stored)):
                self._apply(name, {"versions": []})  # Left out, it would mean the latest.
            else:
                self._delete(stored)

    def _apply(self, name: str, spec: Document) -> None:
        document = {"apiVersion": API_VERSION, "kind": RUNTIME.name, "metadata": {"name": name}, "spec": spec}
        self._verbs.apply(RUNTIME, "", name, document, WriteOptions(field_manager=self._manager, force=True))

    def _delete(self, stored: Document) -> None:
        metadata = stored["metadata"]
        try:
            self._verbs.delete(
                RUNTIME, "", metadata["name"], uid=metadata["uid"], resource_version=metadata["resourceVersion"]
            )
        except (Conflict, NotFound):
            return  # Somebody said something of it in between: it is looked at again.

    def _stored(self, name: str) -> Document | None:
        return self._storage.get(ObjectKey(RUNTIME.name, "", name))


class AskedInVain:
    """Implements `controller.runtime.kind.JobRequests`: what jobs asked for, and no job wants any more."""

    def __init__(self, requests: RuntimeRequests, storage: Storage) -> None:
        """Take back by `requests`, those of jobs; `storage` has the jobs."""
        self._requests = requests
        self._storage = storage

    def unwanted(self, runtime: Runtime, entries: Sequence[str]) -> tuple[str, ...]:
        """Return those of `entries` that only jobs asked for, all of which have ended or ask for something else."""
        managed = {"metadata": {"managedFields": list(runtime.meta.managed_fields)}}
        only_jobs = _asked_by(REQUEST_MANAGER, managed) - _asked_by_others(REQUEST_MANAGER, managed)
        asked = [entry for entry in entries if entry in only_jobs]
        if not asked:
            return ()
        wanted: set[str] = set()
        for job in self._storage.each(JOB.name, words=('"runtime"', '"resolvedRuntime"')):
            wanted |= _wants(job, runtime.meta.name)
        return tuple(entry for entry in asked if entry not in wanted)

    def withdraw(self, name: str, entries: Sequence[str]) -> None:
        """Ask for these no longer."""
        self._requests.withdraw(name, entries)


def _wants(job: Document, name: str) -> set[str]:
    """Return the entries of spec.versions of the runtime `name` that a job may ask for."""
    status = job.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed") or "deletionTimestamp" in job["metadata"]:
        return set()
    wanted: set[str] = set()
    for said in filter(None, (job["spec"].get("runtime"), status.get("resolvedRuntime"))):
        spec = runtime_spec.parse(said)
        # A language may mean any runtime; what it means is asked for as its latest.
        wanted |= {spec.wanted} if spec.name in (name, None) else set()
    return wanted


def _is_made(stored: Document | None) -> bool:
    return any((stored or {}).get("spec", {}).get(source) is not None for source in MADE_SOURCES)


def _asked_by(manager: str, stored: Document | None) -> set[str]:
    """Return the entries of spec.versions that `manager` owns."""
    entries = [entry for entry in _entries(stored) if entry["manager"] == manager]
    return set[str]().union(*(_versions(entry) for entry in entries))


def _asked_by_others(manager: str, stored: Document | None) -> set[str]:
    entries = [entry for entry in _entries(stored) if entry["manager"] != manager]
    return set[str]().union(*(_versions(entry) for entry in entries))


def _entries(stored: Document | None) -> Sequence[Document]:
    return stored["metadata"].get("managedFields", ()) if stored else ()


def _versions(entry: Mapping[str, Document]) -> set[str]:
    owned = entry.get("fieldsV1", {}).get("f:spec", {}).get("f:versions", {})
    return {member.removeprefix('v:"').removesuffix('"') for member in owned if member.startswith("v:")}
