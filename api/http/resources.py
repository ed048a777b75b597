"""The verbs over HTTP: which of them a request is, what it sends, what it gets back.

Here: from a request to a call of the verbs or a source, and its answer. Never here: what a verb
means (`api/objects`), how an answer is shown (`tables.py`) or travels (`answers.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.errors import BadRequest, Cause, Invalid, MethodNotAllowed, Timeout
from api.http import answers, delete_options, negotiation, paths, requests, tables, watches
from api.http.creating import Creating
from api.http.feed import Feed, Threads
from api.http.negotiation import View
from api.http.paths import ResourcePath
from api.http.sources import subresources
from api.http.tables import Showing
from api.http.watches import Watch, Watcher
from api.kinds import NAMESPACE, Kind
from api.meta import GROUP, ObjectKey
from api.objects import admission, reading, selectors
from api.objects.creation import Creation
from api.objects.host_objects import Nodes, NodeVerbs
from api.objects.new_events import NewEvents, NewEventVerbs
from api.objects.patch import PatchType
from api.objects.pod_deletion import PodVerbs
from api.objects.projections import Pods, Source, Stored
from api.objects.run_events import Events, EventVerbs
from api.objects.verbs import Clock, Verbs, WriteOptions, Written
from api.ports import Explainer

_SMALL_BYTES = 16 << 10
_INCLUDE = ("None", "Metadata", "Object")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about; `namespace` None is all of them."""

    source: Source
    namespace: str | None
    name: str
    subresource: str

    @property
    def kind(self) -> Kind:
        """The kind of its objects."""
        return self.source.kind

    @property
    def space(self) -> str:
        """The namespace of one object; empty when cluster-scoped."""
        return self.namespace or ""


_Handler: TypeAlias = Callable[[Request, Target], Awaitable[Response]]

Page: TypeAlias = Callable[[Request, str, str], Awaitable[Response]]
"""Answers a request for a subresource that is read only, given the namespace and the name of its object."""


class Resources:
    """Answers the requests for resources."""

    def __init__(
        self,
        sources: Mapping[tuple[str, str, str], Source],
        verbs: Verbs,
        feed: Feed,
        threads: Threads,
        clock: Clock,
        explainer: Explainer,
        pages: Mapping[tuple[str, str], Page],
    ) -> None:
        """Serve `sources`, by group, version and plural, and `pages`, by kind and subresource."""
        self._creating = Creating(verbs, threads)
        self._sources = sources
        self._verbs = verbs
        self._feed = feed
        self._threads = threads
        self._clock = clock
        self._explainer = explainer
        self._pages = pages
        self._reading: dict[str, _Handler] = {"GET": self._get, "LIST": self._list, "WATCH": self._watch}
        self._writing: dict[str, _Handler] = {
            "POST": self._create,
            "PUT": self._replace,
            "PATCH": self._patch,
            "APPLY": self._patch,
            "DELETE": self._delete,
            "DELETECOLLECTION": self._delete_collection,
        }

    async def answer(self, request: Request) -> Response:
        """Answer a request below /api or /apis.

        Raises:
            ApiError: it is refused.
        """
        target = self._target(paths.parse(request.scope["path"]))
        if target is None:
            return not_found()
        verb = _verb(request, target)
        request.scope["runwright.asked"] = (verb, target.kind.plural)
        if target.subresource not in ("", "status"):
            return await self._answer_special(request, target)
        if verb in self._writing and not _takes(target.source, verb):
            raise _not_allowed()
        return await (self._writing | self._reading)[verb](request, target)

    def _target(self, path: ResourcePath | None) -> Target | None:
        source = None if path is None else self._sources.get((path.group, path.version, path.plural))
        if path is None or source is None:
            return None
        kind = source.kind
        if kind.namespaced:
            if path.name and not path.namespace:
                return None
        elif path.namespace:
            return None
        if path.subresource and path.subresource not in subresources(source):
            return None
        return Target(source, path.namespace or None, path.name, path.subresource)

    async def _get(self, request: Request, target: Target) -> Response:
        showing = self._showing(request, target)
        document = await self._threads.call(target.source.get, target.space, target.name)
        return answers.answer(tables.one(showing, document))

    async def _list(self, request: Request, target: Target) -> Response:
        showing, query = self._showing(request, target), request.query_params
        selector = selectors.parse(target.kind, query.get("labelSelector"), query.get("fieldSelector"))
        # Below 0 it is none, as for Kubernetes. Source: apiserver, storage/etcd3/store.go, GetList.
        limit, continue_ = max(0, requests.signed_number(request, "limit")), query.get("continue", "")
        at_revision, at_least = _wanted_revision(request)

        def read() -> Response:
            page = target.source.list(
                target.namespace, selector, limit=limit, continue_=continue_, at_revision=at_revision
            )
            if page.revision < at_least:
                raise Timeout(f"Too large resource version: {at_least}, current: {page.revision}")
            return answers.answer(tables.many(showing, page))

        return await self._threads.call(read)  # With its showing: a long list takes a while to write.

    async def _watch(self, request: Request, target: Target) -> Response:
        if target.source.followed is None:
            raise _not_allowed()
        showing, query = self._showing(request, target), request.query_params
        watch = Watch(
            target.namespace,
            selectors.parse(target.kind, query.get("labelSelector"), query.get("fieldSelector")),
            showing.view,
            watches.since_of(query.get("resourceVersion", "")),
            bookmarks=requests.is_set(request, "allowWatchBookmarks"),
            include=showing.include,
        )
        seconds = requests.signed_number(request, "timeoutSeconds")
        watch = watch if not seconds else replace(watch, seconds=float(seconds))
        if "sendInitialEvents" in query:
            watch = await self._with_initial(request, watch)
        watcher = Watcher(watch, target.source, self._feed, self._threads, self._clock.now)
        return answers.Stream(watcher.lines(), "application/json")

    async def _with_initial(self, request: Request, watch: Watch) -> Watch:
        if request.query_params.get("resourceVersionMatch") != "NotOlderThan":
            why = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            causes = [Cause("sendInitialEvents", "FieldValueForbidden", why)]
            raise Invalid(f"ListOptions.meta.k8s.io is invalid: sendInitialEvents: {why}", causes=causes)
        if requests.is_set(request, "sendInitialEvents"):
            return replace(watch, since=None, ends_initial=watch.bookmarks)
        if watch.since is None:
            return replace(watch, since=await self._threads.call(self._verbs.revision))
        return watch

    async def _create(self, request: Request, target: Target) -> Response:
        if target.kind.namespaced and target.namespace is None:
            raise _not_allowed()
        options = requests.write_options(request)
        body, (document, repeated) = await self._body(request, target.kind, options)
        creation = Creation(target.kind, target.space, document, options)
        if isinstance(target.source, Stored) and len(body) <= _SMALL_BYTES:
            written = await self._creating.create(creation)
        else:
            written = await self._threads.call(self._verbs_of(target).create, *creation)
        return _written(written, repeated)

    async def _replace(self, request: Request, target: Target) -> Response:
        options = requests.write_options(request)
        _, (document, repeated) = await self._body(request, target.kind, options)
        written = await self._threads.call(
            self._verbs_of(target).replace,
            target.kind,
            target.space,
            target.name,
            document,
            options,
            target.subresource,
        )
        return _written(written, repeated)

    async def _body(
        self, request: Request, kind: Kind, options: WriteOptions
    ) -> tuple[bytes, tuple[object, tuple[str, ...]]]:
        """Return the body, the object in it, and warnings of fields that it has twice."""
        body, type_ = await requests.body_of(request), requests.media_type(request)
        read = await self._read(body, lambda: _with_repeated(kind, requests.read_object(body, type_), options))
        return body, read

    async def _read(self, body: bytes, read: Callable[[], tuple[Any, tuple[str, ...]]]) -> tuple[Any, tuple[str, ...]]:
        """Return what is read from a body: a large one beside the event loop, which all others wait for."""
        return read() if len(body) <= _SMALL_BYTES else await self._threads.call(read)

    async def _patch(self, request: Request, target: Target) -> Response:
        type_ = requests.media_type(request)
        is_apply = type_ == PatchType.APPLY
        options = requests.write_options(request, is_apply=is_apply)
        takes_strategic = target.kind.group != GROUP
        body = await requests.body_of(request)

        def read() -> tuple[Any, tuple[str, ...]]:
            change = requests.read_patch(body, type_, takes_strategic=takes_strategic)
            return _with_repeated(target.kind, change, options)

        change, repeated = await self._read(body, read)
        if is_apply:
            written = await self._threads.call(
                self._verbs_of(target).apply,
                target.kind,
                target.space,
                target.name,
                change,
                options,
                target.subresource,
            )
        else:
            written = await self._threads.call(
                self._verbs_of(target).patch,
                target.kind,
                target.space,
                target.name,
                change,
                type_,
                options,
                target.subresource,
            )
        return _written(written, repeated)

    async def _delete(self, request: Request, target: Target) -> Response:
        options = await delete_options.read(request)
        preconditions = options.get("preconditions") or {}
        deleted = await self._threads.call(
            self._verbs_of(target).delete,
            target.kind,
            target.space,
            target.name,
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            propagation=options["propagationPolicy"] or "Background",
            dry_run=requests.is_dry_run(options.get("dryRun") or []),
            grace_seconds=options.get("gracePeriodSeconds"),
        )
        if not deleted.gone:
            return answers.answer(deleted.document)
        uid = deleted.document["metadata"]["uid"]
        return answers.answer(answers.success(admission.about(target.kind, target.name), uid))

    async def _delete_collection(self, request: Request, target: Target) -> Response:
        if target.kind is NAMESPACE or (target.kind.namespaced and target.namespace is None):
            raise _not_allowed()
        query, options = request.query_params, await delete_options.read(request)
        selector = selectors.parse(target.kind, query.get("labelSelector"), query.get("fieldSelector"))
        dry_run = requests.is_dry_run(options.get("dryRun") or [])
        page = await self._threads.call(
            self._verbs_of(target).delete_collection,
            target.kind,
            target.namespace,
            selector,
            dry_run=dry_run,
            propagation=options["propagationPolicy"] or "Background",
            grace_seconds=options["gracePeriodSeconds"],
        )
        return answers.answer(tables.many(self._plain(target.kind), page))

    async def _answer_special(self, request: Request, target: Target) -> Response:
        if request.method != "GET":
            raise _not_allowed()
        if target.subresource == "explain":
            key = ObjectKey(target.kind.name, target.space, target.name)
            await self._threads.call(target.source.get, target.space, target.name)
            return answers.answer(await self._threads.call(self._explainer.explain, key))
        page = self._pages[target.kind.name, target.subresource]
        return await page(request, target.space, target.name)

    def _verbs_of(self, target: Target) -> Verbs:
        match target.source:
            case NewEvents():
                return NewEventVerbs(self._verbs.storage, self._clock)
            case Events():
                return EventVerbs(self._verbs.storage, self._clock)
            case Pods() as pods:
                return PodVerbs(self._verbs.storage, self._clock, pods)
            case Nodes() as nodes:
                return NodeVerbs(self._verbs.storage, self._clock, nodes)
            case _:
                return self._verbs

    def _showing(self, request: Request, target: Target) -> Showing:
        include = request.query_params.get("includeObject") or "Metadata"
        if include not in _INCLUDE:
            raise BadRequest(f'cannot show objects with includeObject="{include[:40]}": use {", ".join(_INCLUDE)}')
        return Showing(target.kind, negotiation.view_of(request.headers.get("accept")), self._clock.now(), include)

    def _plain(self, kind: Kind) -> Showing:
        return Showing(kind, View.PLAIN, self._clock.now())


def not_found() -> Response:
    """Return the answer to a path that is nothing here, as a Kubernetes server gives it."""
    return PlainTextResponse("404 page not found\n", 404)


def _takes(source: Source, verb: str) -> bool:
    """Whether objects of a source may be written so."""
    if isinstance(source, Pods):
        return verb in ("DELETE", "DELETECOLLECTION")
    if isinstance(source, Nodes):
        return verb in ("PUT", "PATCH", "APPLY")
    return isinstance(source, Stored | NewEvents)


def _not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def _verb(request: Request, target: Target) -> str:
    """Return the verb as metrics and policies name it."""
    method = request.method
    if method == "GET" and not target.name:
        return "WATCH" if requests.is_set(request, "watch") else "LIST"
    if method == "PATCH" and requests.media_type(request) == PatchType.APPLY:
        method = "APPLY"
    if method == "DELETE" and not target.name:
        _refuse_empty_name(request)
        method = "DELETECOLLECTION"
    needs_name = method in ("PUT", "PATCH", "APPLY", "DELETE")
    if (needs_name and not target.name) or (method == "POST" and target.name):
        raise _not_allowed()
    if target.subresource and method in ("POST", "DELETE"):
        raise _not_allowed()
    if method not in ("GET", "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"):
        raise _not_allowed()
    return method


def _refuse_empty_name(request: Request) -> None:
    """Refuse `…/jobs/`, which is `…/jobs/$NAME` of somebody whose NAME is not set: it never means all."""
    if request.scope["path"].endswith("/"):
        raise BadRequest(
            'cannot delete an object without a name: the path ends in "/": name it; who means all leaves "/" out'
        )


def _wanted_revision(request: Request) -> tuple[int | None, int]:
    """Return the revision that a list must show, if any, and the one that it may not be older than."""
    match_ = request.query_params.get("resourceVersionMatch", "")
    since = watches.since_of(request.query_params.get("resourceVersion", ""))
    if match_ not in ("", "Exact", "NotOlderThan"):
        raise BadRequest(f'cannot list with resourceVersionMatch="{match_[:40]}": use Exact or NotOlderThan')
    if match_ == "Exact" and since is None:
        raise BadRequest("cannot list with resourceVersionMatch=Exact: it needs a resourceVersion other than 0")
    return (since, 0) if match_ == "Exact" else (None, since or 0)


def _with_repeated(kind: Kind, value: object, options: WriteOptions) -> tuple[object, tuple[str, ...]]:
    return value, _repeated(kind, value, options)


def _repeated(kind: Kind, value: object, options: WriteOptions) -> tuple[str, ...]:
    """Return a warning for each field that the text gave twice, or refuse it if that was asked for."""
    found = tuple(f'duplicate field "{path}"' for path in reading.repeated_fields(value))
    if options.field_validation == "Strict":
        admission.refuse_unreadable(kind, found)
    return () if options.field_validation == "Ignore" else found


def _written(written: Written, repeated: tuple[str, ...]) -> Response:
    return answers.answer(written.document, 201 if written.created else 200, (*repeated, *written.warnings))
