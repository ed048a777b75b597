"""Runtimes and registries of this host, put together: where trees are, who fetches, who builds, who tries them out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

from api import quantity
from api.objects.verbs import Verbs
from controller.daemon import builds
from controller.daemon.host import Host
from controller.daemon.job_asks import JobAsks
from controller.daemon.paths import Paths
from controller.daemon.probing import RuntimeProber
from controller.daemon.runtime_requests import PARENTS_MANAGER, AskedInVain, RuntimeRequests
from controller.daemon.settings import Settings
from controller.engine.clock import Clock
from controller.engine.recorder import Recorder
from controller.registry import fetch, platforms
from controller.registry.cache import CatalogueCache
from controller.registry.kind import RegistryKind
from controller.runtime.build.recipe import RecipeBuilder
from controller.runtime.inspections import Pace
from controller.runtime.installer import RuntimeMetrics
from controller.runtime.kind import RuntimeKind
from controller.runtime.pressure import DiskLimits
from controller.runtime.sources.offers import Offers
from controller.runtime.trees import install


@dataclass(frozen=True, slots=True)
class RuntimesHere:
    """The parts that others need: both kinds, what registries offer, what jobs ask for, what is closed at the end."""

    kind: RuntimeKind
    registries: RegistryKind
    offers: Offers
    requests: RuntimeRequests
    job_asks: JobAsks
    catalogues: CatalogueCache
    platform: str
    http_client: httpx.Client


def open_runtimes(
    settings: Settings, paths: Paths, host: Host, clock: Clock, verbs: Verbs, recorder: Recorder,
    metrics: CollectorRegistry, why_not_held: Callable[[], str], prober: RuntimeProber | None,
) -> RuntimesHere:  # fmt: skip
    """Return the parts; `why_not_held` says why builds cannot be limited, and without a `prober` nothing is tried."""
    http_client = fetch.new_client(paths.credentials)
    catalogues = CatalogueCache(paths.registry_cache, http_client, clock)
    release = Path("/etc/os-release")
    platform = platforms.host_platform(release.read_text() if release.exists() else "", host.machine)
    build_host = builds.build_host(paths, settings, host.memory_bytes, why_not_held)
    place = install.Host(
        paths.runtimes,
        platform,
        clock,
        http_client,
        quantity.to_bytes(settings.runtime.minimum_free),
        build_recipe=RecipeBuilder(build_host, platform, clock),
    )
    offers = Offers(verbs.storage, catalogues)
    requests = RuntimeRequests(verbs, verbs.storage)
    parents, job_asks = RuntimeRequests(verbs, verbs.storage, PARENTS_MANAGER), JobAsks(verbs.storage, clock)
    kind = RuntimeKind(
        place, verbs.storage, offers, recorder, RuntimeMetrics(metrics),
        enabled=settings.runtime.enabled, parents=parents,
        requests=AskedInVain(verbs, verbs.storage, (requests, parents), job_asks), builds=build_host, prober=prober,
        pace=Pace(settings.runtime.verify_seconds, quantity.to_bytes(settings.runtime.verify_rate)),
        limits=DiskLimits(settings.runtime.disk_used_percent),
    )  # fmt: skip
    registries = RegistryKind(catalogues, clock, recorder)
    return RuntimesHere(kind, registries, offers, requests, job_asks, catalogues, platform, http_client)
