"""What the registries of this host offer, asked in the order of their priority.

Invariant: a registry that cannot be read, or whose object cannot, costs what only it offers and nothing else.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from api.kinds import REGISTRY
from api.meta import Document
from api.ports import Storage
from api.types.registry import Registry
from api.types.runtime import RuntimeReason
from controller.engine.errors import TerminalError, TransientError
from controller.registry import catalogue, location
from controller.registry.cache import CatalogueCache
from controller.registry.catalogue import Entry, RuntimeNotFound
from controller.registry.location import Location
from controller.runtime.install import Package

_FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """The names of all runtimes offered, as far as catalogues are at hand; `unread` are registries of which none is."""

    names: tuple[str, ...]
    unread: tuple[str, ...]


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
                entry = self._entry(where, candidate.spec.cache_seconds, name, version)
                return Package(entry, location.archive_url(where, entry.download_url), candidate.meta.name)
            except RuntimeNotFound as error:
                missing.append(f"registry/{candidate.meta.name}: {error.message}")
            except (TransientError, TerminalError) as error:
                unavailable.append(f"registry/{candidate.meta.name}: {error.message}")
        raise _not_offered(name, version, registry, missing, unavailable)

    def known(self) -> Known:
        """Return what is offered by the catalogues at hand; asks no registry and waits for none."""
        names: set[str] = set()
        unread = []
        for candidate in self._registries(None):
            try:
                offered = self._cache.peek(location.locate(candidate.spec.url))
            except TerminalError:
                offered = None
            if offered is None:
                unread.append(candidate.meta.name)
            else:
                names |= offered.entries.keys()
        return Known(tuple(sorted(names)), tuple(unread))

    def _entry(self, where: Location, cache_seconds: int, name: str, version: str | None) -> Entry:
        kept = self._cache.get(where, ttl_seconds=cache_seconds)
        try:
            return catalogue.find(kept.catalogue, name, version)
        except RuntimeNotFound:
            # It may have been published a moment ago: a kept catalogue says what there is, not what there is not.
            fresh = self._cache.get(where, ttl_seconds=min(cache_seconds, _FRESH_SECONDS))
            return catalogue.find(fresh.catalogue, name, version)

    def _registries(self, only: str | None) -> list[Registry]:
        found = [registry for item in self._storage.list(REGISTRY.name).items if (registry := _read(item))]
        usable = [r for r in found if r.spec.enabled and not r.meta.is_deleting and only in (None, r.meta.name)]
        return sorted(usable, key=lambda r: (-r.spec.priority, r.meta.name))


def _read(document: Document) -> Registry | None:
    try:
        return Registry.model_validate(document)
    except ValidationError:
        return None  # Its own controller says what is wrong with it.


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
