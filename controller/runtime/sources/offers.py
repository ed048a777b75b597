"""What the registries of this host offer, asked in the order of their priority.

Of the registries that have a runtime's name only those of the highest priority count, whatever versions others have;
where several of them offer what is wanted it is nobody's guess which one is meant.
Invariant: a registry that cannot be read, or whose object cannot, costs what only it offers and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from pydantic import ValidationError

from api import runtime_spec
from api.kinds import REGISTRY
from api.meta import Document
from api.ports import Storage
from api.types.registry import Registry
from api.types.runtime import RuntimeReason
from controller.engine.errors import TerminalError, TransientError
from controller.registry import catalogue
from controller.registry.access import Access
from controller.registry.cache import CatalogueCache
from controller.registry.catalogue import Catalogue, Entry, RuntimeNotFound, Wanted
from controller.registry.upstream import Upstream, upstream_of
from controller.runtime.sources.registry import Package

_FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """The names of all runtimes offered, as far as catalogues are at hand; `unread` are registries of which none is."""

    names: tuple[str, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one registry has for a wish."""

    registry: Registry
    upstream: Upstream
    entry: Entry

    def package(self) -> Package:
        url, *mirrors = self.upstream.archive_urls(self.entry.download_url)
        return Package(self.entry, url, self.registry.meta.name, tuple(mirrors), self.upstream.access)


@dataclass(slots=True)
class _Search:
    """What was found of one name on the way through the registries, and why nothing was."""

    missing: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    def failed(self, registry: Registry, error: TransientError | TerminalError) -> None:
        """Note why a registry offers nothing."""
        where = self.missing if isinstance(error, RuntimeNotFound) else self.unavailable
        where.append(f"registry/{registry.meta.name}: {error.message}")


class Offers:
    """The catalogues of all enabled Registry objects."""

    def __init__(self, storage: Storage, cache: CatalogueCache) -> None:
        """Read Registry objects from `storage` and their catalogues from `cache`."""
        self._storage = storage
        self._cache = cache

    def find(self, name: str, wanted: Wanted, registry: str | None, asked: str = "") -> Package:
        """Return how to get `name`, from `registry` if one is named.

        `wanted` is an exact version, or a predicate of versions; of several the latest is taken, None is any.
        `asked` is how the versions of a predicate are called in messages, such as ^1.3.

        Raises:
            TransientError: RuntimeNotFound; RegistryUnavailable when a registry that might have it cannot be read;
                Ambiguous when several registries of one priority offer it.
        """
        search = _Search()
        for group in _by_priority(self._registries(registry)):
            offers = [offer for each in group if (offer := self._offer(each, name, wanted, search))]
            if len(offers) > 1:
                raise _ambiguous(_what(name, wanted, asked), offers)
            if offers:
                try:
                    return offers[0].package()
                except TerminalError as error:
                    search.failed(offers[0].registry, error)
            if any(self._has(each, name) for each in group):
                break
        raise _not_offered(_what(name, wanted, asked), registry, search)

    def versions(self, name: str, registry: str | None) -> tuple[str, ...]:
        """Return all versions of `name` that `find` chooses from, lowest first; none if no registry has the name.

        Raises:
            TransientError: RegistryUnavailable, no registry has it and one that might cannot be read.
        """
        search = _Search()
        for group in _by_priority(self._registries(registry)):
            found: set[str] = set()
            for each in group:
                try:
                    found |= self._catalogue(upstream_of(each.spec), each, name).entries.get(name, {}).keys()
                except (TransientError, TerminalError) as error:
                    search.failed(each, error)
            if found:
                return tuple(sorted(found, key=runtime_spec.version_order))
        if search.unavailable:
            raise _not_offered(_what(name, None), registry, search)
        return ()

    def access(self, registry: str) -> Access:
        """Return with what right the server of `registry` is asked, for an archive that lies there.

        Raises:
            TransientError: RegistryUnavailable, there is no such enabled registry.
            TerminalError: InvalidLocation, its URL says nothing.
        """
        for each in self._registries(registry):
            return upstream_of(each.spec).access
        raise _not_offered(_what(registry, None), registry, _Search())

    def known(self) -> Known:
        """Return what is offered by the catalogues at hand; asks no registry and waits for none."""
        names: set[str] = set()
        unread = []
        for candidate in self._registries(None):
            offered = self._peek(candidate)
            if offered is None:
                unread.append(candidate.meta.name)
            else:
                names |= offered.entries.keys()
        return Known(tuple(sorted(names)), tuple(unread))

    def _offer(self, registry: Registry, name: str, wanted: Wanted, search: _Search) -> _Offer | None:
        try:
            upstream = upstream_of(registry.spec)
            return _Offer(registry, upstream, self._entry(upstream, registry.spec.cache_seconds, name, wanted))
        except (TransientError, TerminalError) as error:
            search.failed(registry, error)
            return None

    def _entry(self, upstream: Upstream, cache_seconds: int, name: str, wanted: Wanted) -> Entry:
        kept = self._cache.get(upstream, ttl_seconds=cache_seconds)
        try:
            return catalogue.find(kept.catalogue, name, wanted)
        except RuntimeNotFound:
            # It may have been published a moment ago: a kept catalogue says what there is, not what there is not.
            fresh = self._cache.get(upstream, ttl_seconds=min(cache_seconds, _FRESH_SECONDS))
            return catalogue.find(fresh.catalogue, name, wanted)

    def _catalogue(self, upstream: Upstream, registry: Registry, name: str) -> Catalogue:
        seconds = registry.spec.cache_seconds
        kept = self._cache.get(upstream, ttl_seconds=seconds).catalogue
        if name in kept.entries:
            return kept
        return self._cache.get(upstream, ttl_seconds=min(seconds, _FRESH_SECONDS)).catalogue

    def _has(self, registry: Registry, name: str) -> bool:
        """Whether the catalogue of a registry that was asked just now has `name`."""
        offered = self._peek(registry)
        return offered is not None and name in offered.entries

    def _peek(self, registry: Registry) -> Catalogue | None:
        try:
            return self._cache.peek(upstream_of(registry.spec))
        except TerminalError:
            return None

    def _registries(self, only: str | None) -> list[Registry]:
        found = [registry for item in self._storage.list(REGISTRY.name).items if (registry := _read(item))]
        usable = [r for r in found if r.spec.enabled and not r.meta.is_deleting and only in (None, r.meta.name)]
        return sorted(usable, key=lambda r: (-r.spec.priority, r.meta.name))


def _by_priority(registries: list[Registry]) -> Iterable[list[Registry]]:
    return [list(group) for _, group in groupby(registries, key=lambda registry: registry.spec.priority)]


def _read(document: Document) -> Registry | None:
    try:
        return Registry.model_validate(document)
    except ValidationError:
        return None  # Its own controller says what is wrong with it.


def _what(name: str, wanted: Wanted, asked: str = "") -> str:
    said = asked if callable(wanted) else wanted
    return f"{name}@{said or runtime_spec.LATEST}"


def _ambiguous(what: str, offers: list[_Offer]) -> TransientError:
    candidates = ", ".join(f"registry/{offer.registry.meta.name} ({offer.entry.version})" for offer in offers)
    return TransientError(
        RuntimeReason.AMBIGUOUS,
        f"cannot tell which {what} is meant: {candidates} of one priority offer it: "
        "name one in spec.registry, or give them different priorities",
    )


def _not_offered(what: str, registry: str | None, search: _Search) -> TransientError:
    if search.unavailable:
        reason = RuntimeReason.REGISTRY_UNAVAILABLE
        return TransientError(reason, f"cannot look up {what}: {'; '.join(search.unavailable + search.missing)}")
    if search.missing:
        return TransientError(RuntimeReason.RUNTIME_NOT_FOUND, f"cannot install {what}: {'; '.join(search.missing)}")
    asked = f"there is no enabled registry/{registry}" if registry else "there is no enabled Registry"
    fix = "declare one, or set spec.enabled of that which there is" if registry else "declare one"
    return TransientError(RuntimeReason.REGISTRY_UNAVAILABLE, f"cannot look up {what}: {asked}: {fix}")
