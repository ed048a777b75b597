"""`pods/NAME/files?path=…`: files of a run, out of it and into it, as tar streams.

A GET packs, a PUT unpacks; both are done in the run, by a process of ours that is confined as the run is. Nothing is
kept here but what is on its way. What could not be copied is told at the end, and what could be was.
"""

import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, closing

from starlette.requests import Request
from starlette.responses import Response

from api.copying import wire
from api.errors import BadRequest, NotFound
from api.http import answers, runs
from api.http.feed import Threads
from api.http.presence import beside, unless_gone
from api.http.sessions import Sessions, ended, open_session, read_from, write_to
from api.objects.projections import Pods
from api.ports import RunAccess, RunSession

_MOST_PROBLEMS_BYTES = 1 << 16
_LONGEST_PATH = 4096
_BLOCK = 1 << 16


class PodFiles:
    """Answers the requests for files of runs."""

    def __init__(self, pods: Pods, access: RunAccess, threads: Threads, sessions: Sessions) -> None:
        """Go into runs by `access`, in `sessions`."""
        self._pods = pods
        self._access = access
        self._threads = threads
        self._sessions = sessions

    async def pack(self, request: Request, namespace: str, name: str) -> Response:
        """Answer with what is at a path, as a tar stream.

        Raises:
            NotFound: there is nothing there.
            BadRequest: the run is not running, or there is no path.
            TooManyRequests: too many are in runs already.
        """
        path = _path(request)
        job, attempt = await self._run(request, namespace, name)
        with ExitStack() as stack:
            stack.enter_context(self._sessions.one_more())

            async def begin() -> tuple[RunSession, bytes]:
                session = await open_session(self._sessions, lambda: self._access.copy_out(job, attempt, path))
                stack.callback(session.close)
                first = await read_from(session.stdout or 0, _BLOCK)
                if not first:
                    raise NotFound(await _why(session))
                return session, first

            session, first = await unless_gone(request.scope, begin)
            return answers.Stream(_packed(session, first), wire.MEDIA_TYPE, held=stack.pop_all())

    async def unpack(self, request: Request) -> Response:
        """Unpack the tar stream that is the body at a path.

        Raises:
            BadRequest: some of it could not be unpacked, or the run is not running.
            TooManyRequests: too many are in runs already.
        """
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        request.scope["runwright.asked"] = ("PUT", "pods")
        path = _path(request)
        job, attempt = await self._run(request, namespace, name)
        problems = bytearray()

        async def take_in() -> int:
            opening = open_session(self._sessions, lambda: self._access.copy_in(job, attempt, path))
            with closing(await opening) as session:
                code = await beside(lambda: _fed(request, session), lambda: _collect(session, problems))
                _collect_rest(session, problems)
                return code

        with self._sessions.one_more():
            code = await unless_gone(request.scope, take_in)
        if code != 0:
            raise BadRequest(problems.decode(errors="replace").strip() or "the copy was ended")
        return answers.answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    async def _run(self, request: Request, namespace: str, name: str) -> tuple[dict[str, object], int]:
        found = await self._threads.call(runs.run_of, self._pods, request, namespace, name)
        await self._threads.call(runs.refuse_ended, self._pods, namespace, name)
        return found


async def _packed(session: RunSession, first: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the stream. One that is cut short lacks the end that each has: so the client sees that it is."""
    chunk = first
    while chunk:
        yield chunk
        chunk = await read_from(session.stdout or 0, _BLOCK)


async def _fed(request: Request, session: RunSession) -> int:
    """Give the body to it and return its exit code."""
    await _feed(request, session)
    session.close_stdin()
    return await ended(session)


async def _feed(request: Request, session: RunSession) -> None:
    """Give the body to it. If it takes no more, it has said why; the rest is let pass."""
    takes = True
    async for chunk in request.stream():
        if not takes or session.stdin is None:
            continue
        try:
            await write_to(session.stdin, chunk)
        except OSError:
            takes = False


async def _collect(session: RunSession, problems: bytearray) -> None:
    while session.stderr is not None and (chunk := await read_from(session.stderr, _BLOCK)):
        problems += chunk[: max(0, _MOST_PROBLEMS_BYTES - len(problems))]


def _collect_rest(session: RunSession, problems: bytearray) -> None:
    with contextlib.suppress(OSError):
        if session.stderr is not None:
            problems += os.read(session.stderr, _MOST_PROBLEMS_BYTES)


async def _why(session: RunSession) -> str:
    problems = bytearray()
    await ended(session)
    _collect_rest(session, problems)
    return problems.decode(errors="replace").strip() or "the copy was ended"


def _path(request: Request) -> str:
    path: str = request.query_params.get("path", "")
    if not path or "\0" in path or len(path) > _LONGEST_PATH:
        raise BadRequest("cannot copy files of a run: say which by path=…")
    return path
