"""The application: which path is answered by whom, and what happens to errors.

Every refusal becomes a Status here, and every bug a 500 without details and one logged traceback.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import kinds
from api.access.directory import Directory
from api.errors import ApiError
from api.file_ports import Artifacts, Uploads
from api.http import answers, metrics_group, reviews
from api.http.artifacts import ArtifactPages
from api.http.audit import Audit
from api.http.authorization import Access, Gate
from api.http.certificates import CertificatePages
from api.http.discovery_pages import DiscoveryPages
from api.http.exec import PodStreams, UpgradeRequired
from api.http.feed import Feed, Threads
from api.http.files import PodFiles
from api.http.health import HealthPages
from api.http.load import Load
from api.http.logs import PodLogs
from api.http.port_forward import PodPorts
from api.http.protection import USUAL_BOUNDS, Bounds, Protection
from api.http.resources import Resources, not_found
from api.http.runtime_pages import RuntimePages
from api.http.secrets_key import SecretsKeyPages
from api.http.served import served
from api.http.sessions import ENTERING_THREADS, Sessions
from api.http.sources import sources_of
from api.http.uploads import UploadPages
from api.http.usage import NodeUsages, PodUsages
from api.objects.projections import Manifests, Pods, Source
from api.objects.verbs import Clock, Verbs
from api.ports import (
    BuildLogs,
    Catalogues,
    Explainer,
    Exposition,
    Health,
    HostReport,
    ManifestReports,
    RunAccess,
    RunLogs,
    RunUsages,
    Storage,
)

log = logging.getLogger(__name__)

OnRequest: TypeAlias = Callable[[str, str, int, float], None]
"""Told of each request: verb, resource, HTTP code, and the seconds until its answer began."""

STORE_THREADS = 16
LOG_THREADS = 64
_STREAMS = ("attach", "exec", "portforward")
_POD = "/api/v1/namespaces/{namespace}/pods/{name}"
HEALTH_THREADS = 2  # Of their own: they answer however busy the others are.
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the API serves and asks: the layers above it, behind their ports."""

    verbs: Verbs
    storage: Storage
    clock: Clock
    run_logs: RunLogs
    run_access: RunAccess
    run_usages: RunUsages
    uploads: Uploads
    artifacts: Artifacts
    build_logs: BuildLogs
    catalogues: Catalogues
    explainer: Explainer
    health: Health
    exposition: Exposition
    manifests: ManifestReports
    host: HostReport
    node_name: str
    version: str


def _ignore_request(_verb: str, _resource: str, _code: int, _seconds: float) -> None:
    """Measure nothing."""


def build_app(
    surroundings: Surroundings,
    on_request: OnRequest = _ignore_request,
    access: Access | None = None,
    bounds: Bounds = USUAL_BOUNDS,
    load: Load | None = None,
) -> Starlette:
    """Return the application, to be run by `server.ApiServer`; `app.state.end_streams()` ends its watches and uploads.

    Without `access`, only root and the daemon's own user get in, unrecorded. What works on the store counts in `load`.
    """
    kinds.import_definitions()
    access = access or Access()
    threads = Threads(STORE_THREADS, load=load)
    feed = Feed(surroundings.storage, threads)
    pods = Pods(surroundings.verbs, surroundings.node_name)
    sources = _sources(surroundings, pods)
    slow = Threads(LOG_THREADS, abandoning=True)
    logs = PodLogs(pods, surroundings.run_logs, threads, slow)
    sessions = Sessions(Threads(ENTERING_THREADS))
    files = PodFiles(pods, surroundings.run_access, threads, sessions)
    of_runtimes = RuntimePages(surroundings.verbs, surroundings.catalogues, surroundings.build_logs, threads, slow)
    pages = {
        (kinds.POD.name, "log"): logs.answer,
        **{(kinds.POD.name, what): UpgradeRequired(pods, threads).answer for what in _STREAMS},
        (kinds.POD.name, "files"): files.pack,
        (kinds.JOB.name, "artifacts"): ArtifactPages(surroundings.verbs, surroundings.artifacts).answer,
        (kinds.RUNTIME.name, "log"): of_runtimes.log,
        (kinds.REGISTRY.name, "catalogue"): of_runtimes.catalogue,
    }
    uploads = UploadPages(surroundings.verbs, surroundings.uploads)
    resources = Resources(sources, surroundings.verbs, feed, threads, surroundings.clock, surroundings.explainer, pages)
    everything = served(sources.values(), (*reviews.REVIEWS, metrics_group.PODS, metrics_group.NODES))
    discovered = DiscoveryPages(everything, surroundings.version, threads)
    routes: list[BaseRoute] = [
        *CertificatePages(surroundings.verbs, access.authority, threads).routes(),
        *SecretsKeyPages(access.secrets_key, threads).routes(),
        *uploads.routes(),
        *_of_runs(surroundings, pods, files, threads, sessions, slow),
        *discovered.routes(),
        *reviews.routes(),
        *_of_health(surroundings),
        Route("/api/{rest:path}", resources.answer, methods=_METHODS),
        Route("/apis/{rest:path}", resources.answer, methods=_METHODS),
        Route("/{rest:path}", _answer_not_found, methods=_METHODS),
    ]
    middleware = [*_around(surroundings, on_request, access), Middleware(Protection, bounds=bounds)]
    app = Starlette(routes=routes, middleware=middleware, lifespan=_following(feed))
    _let_end(app, feed, uploads)
    return app


def _let_end(app: Starlette, feed: Feed, uploads: UploadPages) -> None:
    """Give the application what ends that would go on for as long as clients want."""

    def end_streams() -> None:
        feed.end()
        uploads.end()

    app.state.feed = feed
    app.state.end_streams = end_streams


def _sources(surroundings: Surroundings, pods: Pods) -> dict[tuple[str, str, str], Source]:
    manifests = Manifests(surroundings.verbs, surroundings.manifests)
    return sources_of(surroundings.verbs, pods, manifests, surroundings.host, kinds.KINDS)


def _around(surroundings: Surroundings, on_request: OnRequest, access: Access) -> list[Middleware]:
    """Return what every request passes, from the outside in."""
    directory, clock = Directory(surroundings.storage), surroundings.clock
    return [
        Middleware(Audit, log=access.audit, clock=clock),
        Middleware(_Guard, on_request=on_request),
        Middleware(Gate, directory=directory, access=access, clock=clock),
    ]


def _of_health(surroundings: Surroundings) -> list[BaseRoute]:
    health = HealthPages(surroundings.health, surroundings.exposition, Threads(HEALTH_THREADS))
    return [
        Route("/livez", health.live),
        Route("/readyz", health.ready),
        Route("/healthz", health.ready),
        Route("/metrics", health.metrics),
    ]


def _of_runs(
    surroundings: Surroundings, pods: Pods, files: PodFiles, threads: Threads, sessions: Sessions, slow: Threads
) -> list[BaseRoute]:
    """Return what is served of runs beside objects: streams into them, their files, what they use."""
    streams = PodStreams(pods, surroundings.run_access, surroundings.run_logs, threads, sessions, slow)
    ports = PodPorts(pods, surroundings.run_access, threads, sessions)
    usages = PodUsages(surroundings.run_usages, surroundings.clock, threads)
    of_host = NodeUsages(surroundings.host, surroundings.node_name, surroundings.clock, threads)
    return [
        WebSocketRoute(f"{_POD}/portforward", ports.serve),
        WebSocketRoute(f"{_POD}/{{what}}", streams.serve),
        *(Route(f"{_POD}/{what}", UpgradeRequired(pods, threads).answer_post, methods=["POST"]) for what in _STREAMS),
        Route(f"{_POD}/files", files.unpack, methods=["PUT"]),
        Route(f"{metrics_group.ROOT}/nodes", of_host.answer),
        Route(f"{metrics_group.ROOT}/nodes/{{name}}", of_host.answer),
        Route(f"{metrics_group.ROOT}/pods", usages.answer),
        Route(f"{metrics_group.ROOT}/namespaces/{{namespace}}/pods", usages.answer),
        Route(f"{metrics_group.ROOT}/namespaces/{{namespace}}/pods/{{name}}", usages.answer),
    ]


def _following(feed: Feed) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            yield
            feed.end()
            tasks.cancel_scope.cancel()

    return lifespan


async def _answer_not_found(_request: Request) -> Response:
    return not_found()


class _Guard:
    """Turns what is raised into answers, and tells of each request."""

    def __init__(self, app: ASGIApp, on_request: OnRequest) -> None:
        """Stand around `app`."""
        self._app = app
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer for it if need be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, has_started = monotonic(), False

        async def sending(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                verb, resource = scope.get("runwright.asked", (scope["method"], "other"))
                self._on_request(verb, resource, message["status"], monotonic() - begun)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ApiError as error:
            await answers.refusal(error)(scope, receive, sending)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("request failed", extra={"method": scope["method"], "path": scope["path"]})
            if not has_started:
                await answers.refusal(ApiError("Internal error occurred"))(scope, receive, sending)
