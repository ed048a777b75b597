"""Answers: JSON, Status, warnings, and streams that end when their client does.

Here: how an answer travels. Never here: what it says.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any

import anyio
import pydantic_core
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import About, ApiError
from api.meta import Document

SLOWEST_READER_SECONDS = 30.0
"""How long a stream waits for its client to read on before it lets it go."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_json(value: Any) -> bytes:
    """Return compact JSON; half surrogates, which UTF-8 cannot carry, become question marks."""
    try:
        return pydantic_core.to_json(value)  # In a quarter of the time.
    except ValueError:
        return _encode(value).encode(errors="replace")


def answer(document: Any, code: int = 200, warnings: Sequence[str] = ()) -> Response:
    """Return a JSON answer, with a Warning header for each of `warnings`."""
    response = Response(to_json(document) + b"\n", code, media_type="application/json")
    for warning in warnings:
        response.headers.append("Warning", f'299 - "{_header_text(warning)}"')
    return response


def refusal(error: ApiError) -> Response:
    """Return the Status of an error."""
    response = answer(error.status(), error.code)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def success(about: About, uid: str) -> Document:
    """Return the Status of a deletion that is complete."""
    details = {"name": about.name, "group": about.group, "kind": about.kind, "uid": uid}
    details = {name: value for name, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _header_text(text: str) -> str:
    printable = "".join(character if " " <= character <= "~" else "?" for character in text[:500])
    return printable.replace("\\", "\\\\").replace('"', '\\"')


class CutShort(Exception):
    """A stream cannot go on: its client is to see that it is not whole, and to ask again, to be told why."""


class Stream(Response):
    """A chunked answer: headers at once, each chunk as it comes, over when the client is gone.

    A client that does not read for `SLOWEST_READER_SECONDS` is cut off, so that what waits for it
    never grows; it sees a broken connection and starts again from the last thing that it read.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
        held: AbstractContextManager[object] | None = None,
    ) -> None:
        """Send `chunks`, which are closed in the end whatever happens, and `held` is let go of.

        A generator that was never begun lets go of nothing, and the headers may be as far as it gets.
        """
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._chunks = chunks
        self._held = held or nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        with self._held:
            await self._send(receive, send)

    async def _send(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        is_complete = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
            is_complete = await self._send_chunks(send)
            tasks.cancel_scope.cancel()
        if is_complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_chunks(self, send: Send) -> bool:
        async with aclosing(self._chunks) as chunks:
            try:
                async for chunk in chunks:
                    if not chunk:
                        continue
                    with anyio.move_on_after(SLOWEST_READER_SECONDS) as patience:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    if patience.cancelled_caught:
                        return False
            except CutShort:
                return False
        return True


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
