"""Between two kinds that do not know each other: what the Runtime kind's trees mean to jobs.

Jobs ask for a spec; this looks at the trees on disk, at the Runtime objects in the store and at the
catalogues at hand. A job never touches a registry: what is missing is declared, as any user would declare it.
"""

from dataclasses import replace

from api import runtime_spec
from api.conditions import ConditionStatus, find
from api.kinds import RUNTIME
from api.meta import ObjectKey
from api.ports import Storage
from api.runtime_spec import RuntimeSpec
from api.types.job import Reason
from api.types.runtime import Runtime, RuntimeReason, RuntimeVersion, VersionState
from controller.daemon.package_caches import PackageCaches
from controller.job.observed import RuntimeMissing, RuntimeMount, RuntimeReady
from controller.runtime import meaning
from controller.runtime.meaning import Hold
from controller.runtime.resolutions import Resolutions
from controller.runtime.resolve import NotInstalled, Resolved, Standing
from controller.runtime.sources.offers import Offers
from controller.runtime.trees import languages, tree
from controller.runtime.trees.installed import InstalledTrees
from controller.runtime.trees.tree import InstalledRuntime

_NOT_ON_OFFER = frozenset({RuntimeReason.RUNTIME_NOT_FOUND, RuntimeReason.PLATFORM_UNSUPPORTED})


class RuntimesForJobs:
    """Implements `controller.job.observed.Runtimes`."""

    def __init__(
        self,
        trees: InstalledTrees,
        storage: Storage,
        offers: Offers,
        caches: PackageCaches | None = None,
        *,
        enabled: bool,
    ) -> None:
        """Look at `trees`, at Runtime objects in `storage`, at the names in `offers`; not `enabled` refuses all.

        Package managers keep nothing from run to run without `caches`.
        """
        self._caches = caches
        self._trees = trees
        self._storage = storage
        self._offers = offers
        self._enabled = enabled
        self._resolutions = Resolutions()

    def find(self, spec: str, *, may_install: bool) -> RuntimeReady | RuntimeMissing:
        """Return what `spec` means now, or why it cannot be used and what to ask for."""
        if not self._enabled:
            fix = "set runtime.enabled, or drop spec.runtime to use the host's programs"
            return RuntimeMissing(Reason.RUNTIMES_DISABLED, f"runtimes are disabled on this host: {fix}")
        wanted = runtime_spec.parse(spec)
        found = self._resolutions.resolve(wanted, self._trees.scan(), self._standing)
        if isinstance(found, Resolved):
            return self._use(found.runtime)
        if not isinstance(found, NotInstalled):
            return RuntimeMissing(Reason.RUNTIME_BROKEN, found.message)
        if not may_install:
            return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, f"{found.message}; installPolicy is Never")
        if wanted.name is not None:
            return self._missing(wanted.name, wanted.wanted)
        return self._missing_language(wanted)

    def _standing(self, name: str) -> Standing:
        """Return what is known of the versions of a runtime: how they were found to be, and what holds them back."""
        declared = self._storage.get(ObjectKey(RUNTIME.name, "", name))
        held: tuple[Hold, ...] = ()
        if declared is not None and declared.get("status", {}).get("history"):
            runtime = Runtime.model_validate(declared)
            held = meaning.holds(runtime.spec, runtime.status.history)
        return Standing(self._trees.records.unhealthy(name), held)

    def _use(self, installed: InstalledRuntime) -> RuntimeReady | RuntimeMissing:
        record = self._trees.records.of(installed)
        if record is not None:
            self._trees.records.used(installed)
        found = _still_whole(installed, record.digest if record is not None else "")
        manager = installed.manifest.package_manager if installed.manifest else None
        if self._caches is None or manager is None or not isinstance(found, RuntimeReady):
            return found
        return replace(found, cache=self._caches.of(found.name, manager))

    def _missing_language(self, wanted: RuntimeSpec) -> RuntimeMissing:
        """Ask for the runtime that a language means in the catalogues, which need not be called like it."""
        known = self._offers.known()
        offered = [offer for name in known.names if (offer := languages.offer(name)) is not None]
        names = languages.choose(wanted, offered)
        if len(names) == 1:
            return self._missing(names[0], runtime_spec.LATEST)
        if names:
            message = f"{wanted} may mean {', '.join(names)}: ask for one of them by name"
            return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, message)
        if known.unread or not known.names:
            unread = ", ".join(f"registry/{name}" for name in known.unread)
            why = f"{unread} cannot be read" if unread else "no registry offers anything"
            message = f"{wanted} is not installed, and {why}: see rnx get registries, or name the runtime"
            return RuntimeMissing(Reason.RUNTIME_NOT_READY, message)
        near = sorted(offer.name for offer in offered if wanted.language in (offer.language, offer.family))
        available = f": available: {', '.join(near)}" if near else ""
        return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, f"no registry offers {wanted}{available}")

    def _missing(self, name: str, version: str) -> RuntimeMissing:
        asked = f"{name}@{version}"
        declared = self._storage.get(ObjectKey(RUNTIME.name, "", name))
        if declared is None:
            message = f"{asked} is not installed: asking for it"
            return RuntimeMissing(Reason.RUNTIME_NOT_READY, message, (name, version))
        runtime = Runtime.model_validate(declared)
        if runtime.meta.is_deleting:
            return RuntimeMissing(
                Reason.RUNTIME_NOT_READY, f"waiting for runtime/{name} to be removed, to install it anew"
            )
        is_asked, made = version in runtime.spec.versions, runtime.spec.versions[:1]
        if runtime.spec.made_by and made and not runtime_spec.matches(version, made[0]):
            message = (
                f"runtime/{name} makes {made[0]} by its {runtime.spec.made_by}: ask for {name}, or change spec.versions"
            )
            return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, message)
        if not is_asked and not runtime.spec.made_by:
            message = f"waiting for runtime/{name} to install {version}"
            return RuntimeMissing(Reason.RUNTIME_NOT_READY, message, (name, version))
        return _why_not_there(runtime, version)


def _why_not_there(runtime: Runtime, version: str) -> RuntimeMissing:
    """Say what keeps a version from being installed that the Runtime is asked for: its own trouble, not others'."""
    name, own = runtime.meta.name, _told_of(runtime, version)
    if own is not None and own.reason in _NOT_ON_OFFER:
        return RuntimeMissing(Reason.RUNTIME_NOT_FOUND, own.message)
    if own is not None and own.message:
        said = filter(None, (f"waiting for runtime/{name}", own.reason, own.message))
        return RuntimeMissing(Reason.RUNTIME_NOT_READY, ": ".join(said))
    ready = find(runtime.status.conditions, "Ready")
    if own is None and ready is not None and ready.status is ConditionStatus.FALSE:
        message = f"waiting for runtime/{name}: {ready.reason}: {ready.message}"
        return RuntimeMissing(Reason.RUNTIME_NOT_READY, message)
    return RuntimeMissing(Reason.RUNTIME_NOT_READY, f"waiting for runtime/{name} to install {version}")


def _told_of(runtime: Runtime, version: str) -> RuntimeVersion | None:
    """Return what the status says of the version that is asked for, or of the one that a range means."""
    missing = [each for each in runtime.status.versions if each.state is not VersionState.INSTALLED]
    meant = [each for each in missing if runtime_spec.is_version(each.version)]
    exactly = (each for each in missing if each.version == version)
    return next(exactly, next((each for each in meant if runtime_spec.matches(version, each.version)), None))


def _still_whole(installed: InstalledRuntime, digest: str) -> RuntimeReady | RuntimeMissing:
    """Look once more at the one tree that is going to be used: what was found may be from an earlier look."""
    is_nested = installed.version is not None and installed.path.name == installed.version
    now = tree.inspect(installed.path, installed.path.parent.name if is_nested else None)
    if now.problems:
        why = f"cannot use {installed.spec} in {installed.path}: {'; '.join(now.problems)}: install it again"
        return RuntimeMissing(Reason.RUNTIME_BROKEN, why)
    return _ready(now, digest)


def _ready(installed: InstalledRuntime, digest: str) -> RuntimeReady:
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
        digest=digest,
    )
