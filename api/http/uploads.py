"""`namespaces/NS/uploads/NAME`: contents of files for jobs on their way in, of any size, gone on with after a break.

A PUT sends a content, or with `Content-Range: bytes FIRST-LAST/TOTAL` a part of it, in order; with `bytes */TOTAL` and
no body it asks whether there is room, and for what is here. A GET says how many bytes are here, and the content's
digest once it is whole. NAME is chosen by the sender, for whom alone it counts; if it is `sha256:HEX`, the content must
have that digest, and a GET says whether the namespace has handed it in already.
Many that are small come in one POST to `uploads`, as `upload_packs` has them; one with JSON, `{"digests": […]}`, says
which of these are missing.
Here: the requests. Never here: how bodies come (`long_bodies.py`), and where contents are kept.
"""

import re
from contextlib import aclosing

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api import upload_packs
from api.errors import BadRequest, NotFound
from api.file_ports import Uploads, UploadSink, UploadState
from api.http import answers
from api.http.authorization import user_in
from api.http.feed import Threads
from api.http.long_bodies import LongBody, pieces_of
from api.http.requests import body_of, media_type
from api.kinds import NAMESPACE
from api.meta import API_VERSION, GROUP, VERSION, Document
from api.objects import reading
from api.objects.verbs import Verbs
from api.types.job_file import DIGEST

_ALL = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/uploads"
PATH = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/uploads/{{name}}"
_THREADS = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})")


class UploadPages:
    """Answers the requests for uploads."""

    def __init__(self, verbs: Verbs, uploads: Uploads) -> None:
        """Keep what comes by `uploads`."""
        self._verbs = verbs
        self._uploads = uploads
        self._threads = Threads(_THREADS)
        self._coming: set[LongBody] = set()

    def end(self) -> None:
        """Break off what is on its way, for the server is about to stop: whoever sends it goes on with it later."""
        for body in tuple(self._coming):
            body.break_off()

    def routes(self) -> list[BaseRoute]:
        """Return where they are served."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(PATH, self.receive, methods=["PUT"]),
            Route(_ALL, self.take, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Say how far an upload is.

        Raises:
            NotFound: nothing of it is here.
        """
        namespace, name = _place(request, "GET")
        state = await self._threads.call(self._state, namespace, user_in(request).name, name)
        if state is None:
            raise NotFound(f'uploads "{name}" not found')
        return _answer(namespace, name, state)

    async def receive(self, request: Request) -> Response:
        """Take what is sent.

        Raises:
            BadRequest: it does not say how much it is.
            Conflict: the upload is not as far as where this goes on, or another request writes to it.
            Invalid: the content is another one than it was to be.
            TooLarge, Forbidden, ServiceUnavailable, TooManyRequests: there is no room for it.
        """
        namespace, name = _place(request, "PUT")
        offset, total = _extent(request)
        await self._threads.call(self._verbs.get, NAMESPACE, "", namespace)
        sender = user_in(request).name
        here = await self._threads.call(self._state, namespace, sender, name) if offset is None else None
        if here is not None and here.digest:
            return _answer(namespace, name, here)
        sink = await self._threads.call(self._uploads.begin, namespace, sender, name, offset, total)
        try:
            await self._write(request, sink, offset or 0)
            state = await self._threads.call(sink.finish)
        finally:
            with anyio.CancelScope(shield=True):
                await self._threads.call(sink.__exit__)
        return _answer(namespace, name, state)

    async def take(self, request: Request) -> Response:
        """Take a pack of contents, or say which of some digests are missing.

        Raises:
            BadRequest: the body is neither.
            Invalid: a content is another one than it was to be.
            TooLarge, Forbidden, ServiceUnavailable: there is no room for it.
        """
        request.scope["runwright.asked"] = ("POST", "uploads")
        namespace, body = request.path_params["namespace"], await body_of(request)
        await self._threads.call(self._verbs.get, NAMESPACE, "", namespace)
        if media_type(request) == upload_packs.MEDIA_TYPE:
            status = await self._threads.call(self._take, namespace, body)
        else:
            status = await self._threads.call(self._missing, namespace, body)
        return answers.answer({"kind": "UploadReview", "apiVersion": API_VERSION, "status": status})

    def _take(self, namespace: str, body: bytes) -> Document:
        try:
            contents = upload_packs.unpack(body)
        except upload_packs.BadPack as error:
            raise BadRequest(f"cannot read the pack of contents: {error}") from error
        self._uploads.take(namespace, contents)
        return {"contents": len(contents), "receivedBytes": sum(len(each.body) for each in contents)}

    def _missing(self, namespace: str, body: bytes) -> Document:
        said = reading.read_json(body)
        digests = said.get("digests") if isinstance(said, dict) else None
        if not isinstance(digests, list) or len(digests) > upload_packs.MOST_ASKED:
            raise BadRequest(f'cannot read the digests: send {{"digests": […]}} with {upload_packs.MOST_ASKED} at most')
        for each in digests:
            if not (isinstance(each, str) and DIGEST.fullmatch(each)):
                raise BadRequest(f"cannot read the digest {str(each)[:80]!r}: it is sha256: and 64 hexadecimal digits")
        return {"missing": [each for each in digests if self._uploads.present(namespace, each) is None]}

    def _state(self, namespace: str, sender: str, name: str) -> UploadState | None:
        size = self._uploads.present(namespace, name) if DIGEST.fullmatch(name) else None
        return UploadState(size, name) if size is not None else self._uploads.state(namespace, sender, name)

    async def _write(self, request: Request, sink: UploadSink, offset: int) -> None:
        """Write what comes while more of it comes. What had come before it broke off is written too."""
        async with aclosing(pieces_of(request, offset, self._coming)) as body:
            async for pieces, give_back in body:
                await self._threads.call(sink.write, pieces, give_back)


def _place(request: Request, verb: str) -> tuple[str, str]:
    request.scope["runwright.asked"] = (verb, "uploads")
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    if not (DIGEST.fullmatch(name) or _NAME.fullmatch(name)):
        why = "it must be letters, digits, - and _, or sha256: and 64 hexadecimal digits"
        raise BadRequest(f'cannot name an upload "{name[:80]}": {why}')
    return namespace, name


def _extent(request: Request) -> tuple[int | None, int]:
    """Return where the body begins in the content, None if it is none of it, and how large that is."""
    said = request.headers.get("content-range")
    length = request.headers.get("content-length", "")
    if said is None:
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise BadRequest("cannot take an upload whose size is not known: send Content-Length or Content-Range")
        return 0, int(length)
    found = _RANGE.fullmatch(said)
    if found and found[1] is None and length == "0":
        return None, int(found[3])
    first, last, total = map(int, found.groups()) if found and found[1] else (1, 0, 0)
    if not first <= last < total:
        raise BadRequest(f'cannot read Content-Range "{said[:60]}": write bytes FIRST-LAST/TOTAL')
    if length and length != str(last + 1 - first):
        raise BadRequest(f"cannot take an upload: Content-Range is of {last + 1 - first} bytes, the body of {length}")
    return first, total


def _answer(namespace: str, name: str, state: UploadState) -> Response:
    status = {"receivedBytes": state.received_bytes} | ({"digest": state.digest} if state.digest else {})
    metadata = {"namespace": namespace, "name": name}
    return answers.answer({"kind": "Upload", "apiVersion": API_VERSION, "metadata": metadata, "status": status})
