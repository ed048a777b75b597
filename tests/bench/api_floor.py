"""What the API is measured beside: routes of Starlette that do nothing, served as the API is, in a process of its own.

    python tests/bench/api_floor.py SOCKET

`PUT /kept/NAME` keeps a body, `GET /kept/NAME` answers with it; `POST /write` answers with what it is sent; `/watch` streams
every body that `POST /tell` is sent.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from api_lines import Line, Place, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

KEPT: dict[str, bytes] = {}
WATCHING: set[asyncio.Queue[bytes]] = set()


async def kept(asked: Request) -> Response:
    name = asked.path_params["name"]
    if asked.method == "PUT":
        KEPT[name] = await asked.body()
        return Response(b"")
    return Response(KEPT[name], media_type="application/json")


async def write(asked: Request) -> Response:
    return Response(await asked.body(), 201, media_type="application/json")


async def tell(asked: Request) -> Response:
    said = await asked.body()
    for queue in WATCHING:
        queue.put_nowait(said)
    return Response(b"")


async def watch(_asked: Request) -> StreamingResponse:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    WATCHING.add(queue)

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield await queue.get()
        finally:
            WATCHING.discard(queue)

    return StreamingResponse(lines(), media_type="application/json")


def main() -> None:
    routes = [
        Route("/kept/{name}", kept, methods=["GET", "PUT"]),
        Route("/write", write, methods=["POST"]),
        Route("/tell", tell, methods=["POST"]),
        Route("/watch", watch),
    ]
    app = Starlette(routes=routes)
    uvicorn.run(app, uds=sys.argv[1], http="httptools", loop="asyncio", log_level="warning", server_header=False)


@contextmanager
def a_floor(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Place]]:
    """Serve these routes on a socket in `directory` for the block."""
    place = Place(directory / "floor.sock")
    process = subprocess.Popen([sys.executable, __file__, str(place.path)])
    try:
        wait_until_it_answers(process, place)
        yield process, place
    finally:
        process.kill()  # It would wait for its streams.
        process.wait()


def wait_until_it_answers(process: subprocess.Popen[bytes], place: Place) -> None:
    """Wait for its first answer."""
    while True:
        try:
            line = Line(place)
        except OSError:
            if process.poll() is not None:
                raise SystemExit("the server beside which is measured did not start") from None
            continue
        line.ask(request("PUT", "/kept/ready", b"{}"))
        line.close()
        return


if __name__ == "__main__":
    main()
