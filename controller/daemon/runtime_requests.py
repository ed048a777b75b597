"""What is asked of Runtimes in passing: for a job, or to make another runtime of; and what is asked for no longer.

Requests are declared as any user would declare them, by a field manager of their own. Invariants: what others asked
for stays theirs; nothing is taken back that a job may yet want, or that a
Runtime is made of.
"""

import contextlib
import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from api import runtime_spec
from api.errors import Conflict, Invalid, NotFound
from api.kinds import RUNTIME
from api.meta import API_VERSION, Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.ports import Storage
from api.runtime_requests import ASKED_BY_JOBS, ASKED_BY_RUNTIMES, ASKING_MANAGERS
from api.types.runtime import MADE_SOURCES, Runtime
from controller.daemon.job_asks import JobAsks
from controller.runtime.choosing import made_of

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
                self._apply(name, {"versions": sorted({version, *_asked_by({self._manager}, stored)})})
            except Invalid:
                if not _is_made(self._stored(name)):  # Its author may have come in between.
                    raise

    def withdraw(self, name: str, versions: Sequence[str]) -> None:
        """Ask for these versions no longer; what others asked for stays."""
        with self._lock:
            stored = self._stored(name)
            asked = _asked_by({self._manager}, stored)
            left = sorted(asked - set(versions))
            if stored is None or len(left) == len(asked):
                return
            is_all = not left and set(stored["spec"].get("versions", ())) == asked
            # Left out, it would mean the latest where nobody else says anything.
            self._apply(name, {"versions": left} if left or is_all else {})

    def _apply(self, name: str, spec: Document) -> None:
        document = {"apiVersion": API_VERSION, "kind": RUNTIME.name, "metadata": {"name": name}, "spec": spec}
        self._verbs.apply(RUNTIME, "", name, document, WriteOptions(field_manager=self._manager, force=True))

    def _stored(self, name: str) -> Document | None:
        return self._storage.get(ObjectKey(RUNTIME.name, "", name))


class AskedInVain:
    """Implements `controller.runtime.kind.Requests`: what was asked for in passing, and nobody wants any more."""

    def __init__(self, verbs: Verbs, storage: Storage, requests: Sequence[RuntimeRequests], jobs: JobAsks) -> None:
        """Take back by `requests`, those of jobs and of runtimes; `jobs` says what jobs ask for, `storage` the rest."""
        self._verbs = verbs
        self._storage = storage
        self._requests = tuple(requests)
        self._jobs = jobs

    def unwanted(self, runtime: Runtime, entries: Sequence[str]) -> tuple[str, ...]:
        """Return those of `entries` that were asked for in passing alone, by who has ended or asks for another now."""
        name, managed = runtime.meta.name, {"metadata": {"managedFields": list(runtime.meta.managed_fields)}}
        in_passing = _asked_by(ASKING_MANAGERS, managed) - _asked_by_others(managed)
        left = self._jobs.unwanted(name, [entry for entry in entries if entry in in_passing])
        if not left:
            return ()
        specs = [runtime_spec.parse(said) for said in chain.from_iterable(made_of(self._storage).values())]
        # A language may mean any runtime.
        wanted = {spec.wanted for spec in specs if spec.name in (name, None)}
        return tuple(entry for entry in left if entry not in wanted)

    def withdraw(self, name: str, entries: Sequence[str]) -> None:
        """Ask for these no longer; a Runtime that is there for nothing else goes with them."""
        stored = self._storage.get(ObjectKey(RUNTIME.name, "", name))
        if stored is None:
            return
        is_all = set(stored["spec"].get("versions", ())) <= set(entries)
        if is_all and all(entry["manager"] in ASKING_MANAGERS for entry in _entries(stored)):
            self._delete(stored["metadata"])
            return
        for each in self._requests:
            each.withdraw(name, entries)

    def _delete(self, metadata: Document) -> None:
        uid, revision = metadata["uid"], metadata["resourceVersion"]
        with contextlib.suppress(
            Conflict, NotFound
        ):  # Somebody said something of it in between: it is looked at again.
            self._verbs.delete(RUNTIME, "", metadata["name"], uid=uid, resource_version=revision)


def _is_made(stored: Document | None) -> bool:
    return any((stored or {}).get("spec", {}).get(source) is not None for source in MADE_SOURCES)


def _asked_by(managers: Collection[str], stored: Document | None) -> set[str]:
    """Return the entries of spec.versions that `managers` own."""
    entries = [entry for entry in _entries(stored) if entry["manager"] in managers]
    return set[str]().union(*(_versions(entry) for entry in entries))


def _asked_by_others(stored: Document | None) -> set[str]:
    entries = [entry for entry in _entries(stored) if entry["manager"] not in ASKING_MANAGERS]
    return set[str]().union(*(_versions(entry) for entry in entries))


def _entries(stored: Document | None) -> Sequence[Document]:
    return stored["metadata"].get("managedFields", ()) if stored else ()


def _versions(entry: Mapping[str, Document]) -> set[str]:
    owned = entry.get("fieldsV1", {}).get("f:spec", {}).get("f:versions", {})
    return {member.removeprefix('v:"').removesuffix('"') for member in owned if member.startswith("v:")}
