"""/, /version, /api, /apis and /openapi: what a client asks before it asks for anything. Routes and negotiation.

Never here: what is said (`discovery.py`, `openapi.py`).
"""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import NotAcceptable
from api.http import answers, discovery, negotiation
from api.http.feed import Threads
from api.http.openapi import OpenApi
from api.http.resources import not_found
from api.http.served import Served, group_path
from api.meta import Document

_OPENAPI_V2_NEEDS = "only JSON is served: use /openapi/v3, which says all that there is"
_PLAIN_PATHS = ("/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version")


class DiscoveryPages:
    """Answers the requests that find out what there is."""

    def __init__(self, served: Sequence[Served], version: str, threads: Threads) -> None:
        """Tell of `served`; `version` is runwright's own."""
        self._served = served
        self._version = version
        self._openapi = OpenApi(served, version)
        self._threads = threads

    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            Route("/", self._root),
            *_both("/version", self._say_version),
            *_both("/api", self._core),
            *_both("/apis", self._groups),
            *_both("/api/{version}", self._resources),
            *_both("/apis/{group}", self._group),
            *_both("/apis/{group}/{version}", self._resources),
            Route("/openapi/v2", self._openapi_v2),
            *_both("/openapi/v3", self._openapi_index),
            Route("/openapi/v3/{path:path}", self._openapi_document),
        ]

    async def _root(self, _request: Request) -> Response:
        versions = {(each.group, each.version) for each in self._served}
        groups = {f"/apis/{group}" for group, _ in versions if group}
        paths = {"/api", "/apis", *(f"/{group_path(*each)}" for each in versions), *groups, *_PLAIN_PATHS}
        return answers.answer({"paths": sorted(paths)})

    async def _say_version(self, _request: Request) -> Response:
        return answers.answer(discovery.version(self._version))

    async def _core(self, request: Request) -> Response:
        return self._discovered(request, discovery.core_versions(), is_core=True)

    async def _groups(self, request: Request) -> Response:
        return self._discovered(request, discovery.groups(self._served), is_core=False)

    def _discovered(self, request: Request, plain: Document, *, is_core: bool) -> Response:
        """Answer in the form asked for; the exact Content-Type is what tells clients which one it is."""
        form = negotiation.aggregation_of(request.headers.get("accept"))
        if form is None:
            response = answers.answer(plain)
        else:
            response = answers.answer(discovery.aggregated(self._served, form, is_core=is_core))
            response.headers["Content-Type"] = negotiation.aggregated_type(form)
        response.headers["Vary"] = "Accept"
        return response

    async def _group(self, request: Request) -> Response:
        return _found(discovery.group(request.path_params["group"], self._served))

    async def _resources(self, request: Request) -> Response:
        group, version = request.path_params.get("group", ""), request.path_params["version"]
        return _found(discovery.resources(group, version, self._served))

    async def _openapi_v2(self, _request: Request) -> Response:
        """Refuse: kubectl wants it as protobuf, and goes on without it as long as version 3 is there."""
        raise NotAcceptable(_OPENAPI_V2_NEEDS)

    async def _openapi_index(self, _request: Request) -> Response:
        return answers.answer(await self._threads.call(self._openapi.index))

    async def _openapi_document(self, request: Request) -> Response:
        text = await self._threads.call(self._openapi.text, request.path_params["path"].strip("/"))
        return not_found() if text is None else Response(text, media_type="application/json")


def _both(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    """Serve a path with and without a slash at its end: some clients add one and follow no redirect."""
    return [Route(path, endpoint), Route(path + "/", endpoint)]


def _found(document: object | None) -> Response:
    return not_found() if document is None else answers.answer(document)
