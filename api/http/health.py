"""/healthz, /readyz, /livez and /metrics: for probes, people and Prometheus."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.http.feed import Threads
from api.ports import Exposition, Health

_WITHHELD = "reason withheld"
_EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HealthPages:
    """Answers the requests for health and metrics."""

    def __init__(self, health: Health, exposition: Exposition, threads: Threads) -> None:
        """Ask `health` and `exposition` when asked."""
        self._health = health
        self._exposition = exposition
        self._threads = threads

    async def live(self, request: Request) -> Response:
        """Say that the server answers, which is all that being alive means: a restart cures nothing else."""
        return _page("livez", {"ping": ""}, is_verbose="verbose" in request.query_params)

    async def ready(self, request: Request) -> Response:
        """Say whether every part works; why one does not is for root on the host, as anybody may ask."""
        checks = {"ping": ""} | await self._threads.call(self._health.checks)
        name = request.scope["path"].strip("/")
        if not request.state.user.is_master:
            checks = {part: wrong and _WITHHELD for part, wrong in checks.items()}
        return _page(name, checks, is_verbose="verbose" in request.query_params)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics."""
        return Response(await self._threads.call(self._exposition.render), 200, media_type=_EXPOSITION_TYPE)


def _page(name: str, checks: dict[str, str], *, is_verbose: bool) -> Response:
    failed = [part for part, wrong in checks.items() if wrong]
    if not failed and not is_verbose:
        return PlainTextResponse("ok")
    lines = [f"[-]{part} failed: {wrong}" if wrong else f"[+]{part} ok" for part, wrong in checks.items()]
    lines.append(f"{name} check {'failed' if failed else 'passed'}")
    return PlainTextResponse("\n".join(lines) + "\n", 500 if failed else 200)
