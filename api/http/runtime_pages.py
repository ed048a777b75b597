"""`registries/NAME/catalogue` and `runtimes/NAME/log`: what a registry offers, and what a runtime's build said."""

import threading

from starlette.requests import Request
from starlette.responses import Response

from api import runtime_spec
from api.errors import BadRequest
from api.http import answers, requests
from api.http.feed import Threads
from api.http.logs import busy, streamed
from api.kinds import REGISTRY, RUNTIME
from api.objects.verbs import Verbs
from api.ports import BuildLogs, Catalogues


class RuntimePages:
    """Answers the requests for catalogues and build logs."""

    def __init__(
        self, verbs: Verbs, catalogues: Catalogues, build_logs: BuildLogs, threads: Threads, follow_threads: Threads
    ) -> None:
        """Ask `catalogues` and `build_logs`; those who follow a log hold one of `follow_threads` while they wait."""
        self._verbs = verbs
        self._catalogues = catalogues
        self._build_logs = build_logs
        self._threads = threads
        self._follow_threads = follow_threads

    async def catalogue(self, request: Request, _namespace: str, name: str) -> Response:
        """Answer with what a registry offers; `refresh=true` asks it anew, however young what is kept is.

        Raises:
            NotFound: there is no such Registry.
            ServiceUnavailable: it cannot be read, and nothing is kept of it.
        """
        registry = await self._threads.call(self._verbs.get, REGISTRY, "", name)
        refresh = requests.is_set(request, "refresh")
        return answers.answer(await self._follow_threads.call(self._catalogues.offered, registry, refresh=refresh))

    async def log(self, request: Request, _namespace: str, name: str) -> Response:
        """Answer with the log of a build: of `version`, or of the one that was built last.

        Raises:
            NotFound: there is no such Runtime, or it was not built here.
            TooManyRequests: too many follow logs already.
        """
        version = request.query_params.get("version", "")
        if version and not runtime_spec.is_version(version):
            raise BadRequest(f'cannot read the log of version "{version[:40]}": it must be an exact version')
        runtime = await self._threads.call(self._verbs.get, RUNTIME, "", name)
        if self._follow_threads.are_busy:
            raise busy()
        stopped = threading.Event()
        follow = requests.is_set(request, "follow")
        chunks = self._build_logs.read(runtime, version, follow=follow, stopped=stopped.is_set)
        first = await self._follow_threads.call(next, chunks, None)
        return answers.Stream(streamed(self._follow_threads, first, chunks, stopped), "text/plain")
