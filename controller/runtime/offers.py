"""What the registries of this host offer, asked in the order of their priority."""

from api.kinds import REGISTRY
from api.ports import Storage
from api.types.registry import Registry
from api.types.runtime import RuntimeReason
from controller.engine.errors import TerminalError, TransientError
from controller.registry import catalogue, location
from controller.registry.cache import CatalogueCache
from controller.registry.catalogue import RuntimeNotFound
from controller.runtime.install import Package


class Offers:
    """The catalogues of all enabled Registry objects."""

    def __init__(self, storage: Storage, cache: CatalogueCache) -> None:
        """Read Registry objects from `storage` and their catalogues from `cache`."""
        self._storage = storage
        self._cache = cache

    def find(self, name: str, version: str | None, registry: str | None) -> Package:
        """Return how to get `name` at `version` (None is the latest), from `registry` if one is named.

        Raises:
            TransientError: RuntimeNotFound, or RegistryUnavailable when a registry that might have it cannot be read.
        """
        missing, unavailable = [], []
        for candidate in self._registries(registry):
            try:
                where = location.locate(candidate.spec.url)
                cached = self._cache.get(where, ttl_seconds=candidate.spec.cache_seconds)
                entry = catalogue.find(cached.catalogue, name, version)
                return Package(entry, location.archive_url(where, entry.download_url), candidate.meta.name)
            except RuntimeNotFound as error:
                missing.append(f"registry/{candidate.meta.name}: {error.message}")
            except (TransientError, TerminalError) as error:
                unavailable.append(f"registry/{candidate.meta.name}: {error.message}")
        raise _not_offered(name, version, registry, missing, unavailable)

    def _registries(self, only: str | None) -> list[Registry]:
        found = [Registry.model_validate(item) for item in self._storage.list(REGISTRY.name).items]
        usable = [r for r in found if r.spec.enabled and not r.meta.is_deleting and only in (None, r.meta.name)]
        return sorted(usable, key=lambda r: (-r.spec.priority, r.meta.name))


def _not_offered(
    name: str, version: str | None, registry: str | None, missing: list[str], unavailable: list[str]
) -> TransientError:
    what = f"{name}@{version or 'latest'}"
    if unavailable:
        reason = RuntimeReason.REGISTRY_UNAVAILABLE
        return TransientError(reason, f"cannot look up {what}: {'; '.join(unavailable + missing)}")
    if missing:
        return TransientError(RuntimeReason.RUNTIME_NOT_FOUND, f"cannot install {what}: {'; '.join(missing)}")
    asked = f"there is no enabled registry/{registry}" if registry else "there is no enabled Registry"
    return TransientError(RuntimeReason.REGISTRY_UNAVAILABLE, f"cannot look up {what}: {asked}: declare one")
