"""Between two kinds that do not know each other: what the Runtime kind's trees mean to jobs.

Jobs ask for a spec; this looks at the trees on disk and at the Runtime objects in the store. A job
never touches a registry: what is missing is declared, as any user would declare it.
"""

import os
import threading
from pathlib import Path

from api import runtime_spec
from api.conditions import ConditionStatus, find
from api.kinds import RUNTIME
from api.meta import API_VERSION, Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.ports import Storage
from api.runtime_spec import RuntimeSpec
from api.types.job import Reason
from api.types.runtime import Runtime
from controller.job.observed import RuntimeMissing, RuntimeMount, RuntimeReady
from controller.runtime import resolve, tree
from controller.runtime.resolve import NotInstalled, Resolved
from controller.runtime.tree import InstalledRuntime

REQUEST_MANAGER = "runwright/jobs"


class InstalledTrees:
    """The runtime trees on disk, read again only when a directory changed."""

    def __init__(self, root: Path) -> None:
        """Read below `root`."""
        self._root = root
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._found: tuple[InstalledRuntime, ...] = ()

    def scan(self) -> tuple[InstalledRuntime, ...]:
        """Return what is installed now. Raises TransientError when the root cannot be read."""
        stamp = self._stamp_now()
        with self._lock:
            if stamp != self._stamp:
                self._found, self._stamp = tree.scan(self._root), stamp
            return self._found

    def _stamp_now(self) -> tuple[tuple[str, int], ...]:
        """The times of the root and of the directories in it: an install, a removal or an edit changes one."""
        try:
            with os.scandir(self._root) as entries:
                below = [entry for entry in entries if not entry.name.startswith(".")]
            return ((".", os.stat(self._root).st_mtime_ns), *sorted((e.name, e.stat().st_mtime_ns) for e in below))
        except OSError:
            return ()


class RuntimesForJobs:
    """Implements `controller.job.observed.Runtimes`."""

    def __init__(self, trees: InstalledTrees, storage: Storage, *, enabled: bool) -> None:
        """Look at `trees` and at Runtime objects in `storage`; not `enabled` refuses all."""
        self._trees = trees
        self._storage = storage
        self._enabled = enabled

    def find(self, spec: str, *, may_install: bool) -> RuntimeReady | RuntimeMissing:
        """Return what `spec` means now, or why it cannot be used and what to ask for."""
        if not self._enabled:
            fix = "set runtime.enabled, or drop spec.runtime to use the host's programs"
            return RuntimeMissing(Reason.RUNTIMES_DISABLED, f"runtimes are disabled on this host: {fix}")
        wanted = runtime_spec.parse(spec)
        found = resolve.resolve(wanted, self._trees.scan())
        if isinstance(found, Resolved):
            return _ready(found.runtime)
        if not isinstance(found, NotInstalled):
            return RuntimeMissing(Reason.RUNTIME_BROKEN, found.message)
        if not may_install:
            return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, f"{found.message}; installPolicy is Never")
        return self._missing(wanted, found)

    def _missing(self, wanted: RuntimeSpec, found: NotInstalled) -> RuntimeMissing:
        name, version = runtime_name(wanted), wanted.version or runtime_spec.LATEST
        declared = self._storage.get(ObjectKey(RUNTIME.name, "", name))
        if declared is None:
            return RuntimeMissing(
                Reason.RUNTIME_NOT_READY, f"{wanted} is not installed: asking for it", (name, version)
            )
        runtime = Runtime.model_validate(declared)
        request = None if version in runtime.spec.versions else (name, version)
        ready = find(runtime.status.conditions, "Ready")
        if request is None and ready is not None and ready.status is ConditionStatus.FALSE:
            return RuntimeMissing(
                Reason.RUNTIME_NOT_READY, f"waiting for runtime/{name}: {ready.reason}: {ready.message}"
            )
        return RuntimeMissing(Reason.RUNTIME_NOT_READY, f"waiting for runtime/{name} to install {version}", request)


def runtime_name(wanted: RuntimeSpec) -> str:
    """Return the name of the runtime that a spec most likely means in a registry.

    >>> runtime_name(runtime_spec.parse("python:3.11+ml"))
    'python-3.11-ml'
    """
    if wanted.name is not None:
        return wanted.name
    return "-".join([str(wanted.language), str(wanted.language_version), *wanted.tags])


def _ready(installed: InstalledRuntime) -> RuntimeReady:
    manifest = installed.manifest
    assert manifest is not None
    environment = dict(manifest.environment)
    if manifest.path_prepend:
        environment["PATH_PREPEND"] = manifest.path_prepend
    return RuntimeReady(
        name=installed.name,
        version=installed.version or "",
        path=str(installed.path),
        mounts=tuple(RuntimeMount(m.source, m.target, m.readonly, m.selective) for m in manifest.mounts),
        environment=environment,
        min_memory_bytes=manifest.requirements.min_memory_bytes,
    )


class RuntimeRequests:
    """Implements `controller.job.act.RuntimeRequests` by applying Runtime objects."""

    def __init__(self, verbs: Verbs, storage: Storage) -> None:
        """Write with `verbs`; `storage` tells what was asked for before."""
        self._verbs = verbs
        self._storage = storage
        self._lock = threading.Lock()

    def request(self, name: str, version: str) -> None:
        """Ask for this version beside all that jobs asked for before; what others asked for stays theirs."""
        with self._lock:
            wanted = sorted({version, *self._asked_before(name)})
            document = {"apiVersion": API_VERSION, "kind": RUNTIME.name, "metadata": {"name": name}}
            document["spec"] = {"versions": wanted}
            self._verbs.apply(RUNTIME, "", name, document, WriteOptions(field_manager=REQUEST_MANAGER, force=True))

    def _asked_before(self, name: str) -> set[str]:
        stored = self._storage.get(ObjectKey(RUNTIME.name, "", name))
        entries = stored["metadata"].get("managedFields", []) if stored else []
        mine: Document = next((entry for entry in entries if entry["manager"] == REQUEST_MANAGER), {})
        owned = mine.get("fieldsV1", {}).get("f:spec", {}).get("f:versions", {})
        return {member.removeprefix('v:"').removesuffix('"') for member in owned if member.startswith("v:")}
