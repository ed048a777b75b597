"""The verbs: get, list, create, replace, patch, apply, delete, over a store.

Everything that writes objects comes through here: the HTTP API, the manifest sources, and reconcilers
that create objects. Here: preconditions, retries, dry runs, namespaces. What a write makes of an
object is in `writes.py`; what an object must be, in `admission.py`. Never here: HTTP, SQL.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from api.errors import AlreadyExists, BadRequest, Cause, Conflict, Invalid, NotFound
from api.kinds import EVENT, NAMESPACE, Kind
from api.meta import GROUP, Document, ObjectKey
from api.objects import admission, listing, namespaces, ownership, patch, selectors, shapes, strategic, writes
from api.objects.admission import WriteOptions
from api.objects.creation import MOST_RETRIES, Advice, Alone, Clock, Creation, Creator, Judged, Written, too_busy
from api.objects.listing import Page
from api.objects.patch import PatchType
from api.objects.selectors import Selector
from api.ports import Storage

__all__ = ["Clock", "Judged", "Page", "Verbs", "WriteOptions", "Written"]


class Deleted(NamedTuple):
    """The last state of a deleted object, and whether it is gone or waits for its finalizers."""

    document: Document
    gone: bool


class Verbs:
    """What may be done to objects."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        judged: Judged = lambda _new, _live: None,
        advice: Advice = lambda _new: (),
    ) -> None:
        """Work on `storage`; `clock` dates the fields that managers own.

        `judged` raises Forbidden for what this host's policy does not allow. It is asked about each object whose spec
        is new, and what it was before, if it was there; the object is stored inside of what it returns. `advice` is
        given to who creates or applies.
        """
        self._advice = advice
        self._storage = storage
        self._judged = judged
        self._clock = clock
        self._creator = Creator(storage, clock, judged, advice)

    @property
    def storage(self) -> Storage:
        """What it works on."""
        return self._storage

    def bootstrap(self) -> None:
        """Make what always exists: the namespace `default`."""
        namespaces.ensure_default(self._storage)

    def revision(self) -> int:
        """Return the store's newest revision."""
        return self._storage.revision()

    def get(self, kind: Kind, namespace: str, name: str) -> Document:
        """Return an object. Raises NotFound."""
        document = self._storage.get(_key(kind, namespace, name))
        if document is None:
            raise NotFound.of(admission.about(kind, name))
        return document

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        selector: Selector = selectors.EVERYTHING,
        limit: int = 0,
        continue_: str = "",
        *,
        at_revision: int | None = None,
    ) -> Page:
        """Return objects of a kind, a page at a time; namespace None is all of them.

        Raises:
            BadRequest: the token cannot be read.
            Expired: its moment was compacted away.
        """
        return listing.list_page(
            self._storage, kind, namespace, selector, limit=limit, continue_=continue_, at_revision=at_revision
        )

    def create(self, kind: Kind, namespace: str, document: object, options: WriteOptions) -> Written:
        """Make a new object.

        Raises:
            AlreadyExists, BadRequest, Invalid, NotFound (of the namespace), Forbidden (it is ending).
        """
        return self._creator.create(Creation(kind, namespace, document, options))

    def create_all(self, creations: Sequence[Creation]) -> Sequence[Written | Exception | Alone]:
        """Make new objects as `create` does, in as few commits as can be; return each, or what `create` would raise.

        For one that cannot be made together with others, what makes it is returned.
        """
        return self._creator.create_all(creations)

    def replace(
        self, kind: Kind, namespace: str, name: str, document: object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Replace an object, or its status (PUT).

        Raises:
            NotFound, BadRequest, Invalid.
            Conflict: it changed since the sender read it.
        """
        received = admission.receive(kind, document, namespace, options, name)
        if kind.group == GROUP and not received.document["metadata"].get("resourceVersion"):
            missing = "Invalid value: 0: must be specified for an update"
            cause = Cause("metadata.resourceVersion", "FieldValueInvalid", missing)
            raise Invalid.of(admission.about_kind(kind, name), [cause])

        def change(live: Document) -> Document:
            writes.check_preconditions(kind, live, received.document)
            return writes.for_update(kind, live, received.document, options, self._clock.now(), subresource)

        return Written(
            self._rewrite(kind, namespace, name, change, options, subresource),
            created=False,
            warnings=received.warnings,
        )

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Any,
        content_type: str,
        options: WriteOptions,
        subresource: str = "",
    ) -> Written:
        """Change an object, or its status, by a merge patch, a JSON patch, or for core kinds a strategic one.

        Raises:
            NotFound, BadRequest, Invalid, UnsupportedMediaType.
            Conflict: the patch names a resourceVersion that is not the current one.
        """
        warnings: tuple[str, ...] = ()

        def patched(live: Document) -> Document:
            nonlocal warnings
            changed = _patched(kind, live, change, content_type)
            received = admission.receive(kind, changed, namespace, options, name, live)
            warnings = received.warnings
            writes.check_preconditions(kind, live, received.document)
            return writes.for_update(kind, live, received.document, options, self._clock.now(), subresource)

        return Written(
            self._rewrite(kind, namespace, name, patched, options, subresource), created=False, warnings=warnings
        )

    def apply(
        self, kind: Kind, namespace: str, name: str, document: object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Make an object have the fields of `document`, as its field manager's (server-side apply).

        Raises:
            BadRequest, Invalid, NotFound (of the namespace), Forbidden (it is ending).
            Conflict: another manager owns a field that would change, and `force` is not set.
        """
        if not options.field_manager:
            cause = Cause("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
            raise Invalid("PatchOptions.meta.k8s.io is invalid: " + str(cause), causes=[cause])
        space = namespaces.meant(kind, namespace, document)
        received = admission.receive(kind, document, space, options, name)
        key = _key(kind, space, name)
        for _ in range(MOST_RETRIES):
            live = self._storage.get(key)
            new = writes.for_apply(kind, live, received.document, options, self._clock.now(), subresource)
            try:
                if live is None:
                    self._creator.check_space(kind, new)
                    stored = self._creator.store(kind, new, options)
                else:
                    stored = self._store(kind, live, new, options, subresource)
                return Written(stored, created=live is None, warnings=received.warnings + self._advice(new))
            except (AlreadyExists, _Raced):
                continue
        raise too_busy(kind, name)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
        grace_seconds: int | None = None,
    ) -> Deleted:
        """Delete an object, or mark it as deleting while finalizers hold it; a run ends within `grace_seconds`.

        `propagation` is Background, Foreground or Orphan: what becomes of the objects that exist for it.

        Raises:
            NotFound.
            Conflict: `uid` or `resource_version` is not its own.
        """
        live = self.get(kind, namespace, name)
        if kind is NAMESPACE:
            namespaces.refuse_if_kept(name)
        revision = _revision(resource_version)
        sent = {"metadata": {"uid": uid, "resourceVersion": resource_version}}
        if dry_run:
            writes.check_preconditions(kind, live, sent)
            return Deleted(live, not live["metadata"].get("finalizers"))
        if kind is NAMESPACE:
            writes.check_preconditions(kind, live, sent)
            return self._delete_namespace(name)
        if propagation in ownership.PREPARED:
            writes.check_preconditions(kind, live, sent)
            ownership.prepare(self._storage, live, propagation)
            uid, revision = live["metadata"]["uid"], None  # What was prepared has changed it.
        last = self._storage.delete(
            _key(kind, namespace, name), uid=uid, revision=revision, grace_seconds=grace_seconds
        )
        return Deleted(last, not last["metadata"].get("finalizers"))

    def delete_collection(
        self, kind: Kind, namespace: str | None, selector: Selector = selectors.EVERYTHING, **how: Any
    ) -> Page:
        """Delete every object that `selector` takes, each as `delete` does it; return what they were."""
        page = self.list(kind, namespace, selector)
        for item in page.items:
            metadata = item["metadata"]
            try:
                self.delete(kind, metadata.get("namespace", ""), metadata["name"], uid=metadata["uid"], **how)
            except (NotFound, Conflict):
                continue  # Gone already, or another object of that name by now: not one of those listed.
        return page

    def finish_namespaces(self) -> int:
        """Let go of Terminating namespaces that are empty by now; return how many went.

        Cheap when there are none. To be called now and then, for the objects in them end by themselves.
        """
        items = self._storage.list(NAMESPACE.name).items
        ending = [item["metadata"]["name"] for item in items if "deletionTimestamp" in item["metadata"]]
        return sum(namespaces.finish(self._storage, name) for name in ending)

    def _delete_namespace(self, name: str) -> Deleted:
        namespaces.hold(self._storage, name)
        marked = self._storage.delete(namespaces.key_of(name))
        if marked.get("status", {}).get("phase") != "Terminating":
            marked = namespaces.set_phase(self._storage, marked)
        for key in sorted(namespaces.contents(self._storage, name), key=lambda key: key.kind == EVENT.name):
            try:
                self._storage.delete(key)
            except NotFound:
                continue  # It went by itself meanwhile.
        return Deleted(marked, namespaces.finish(self._storage, name))

    def _rewrite(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Document], Document],
        options: WriteOptions,
        subresource: str,
    ) -> Document:
        """Store `change(live)`, again from the newest when another write came in between.

        A change that names a resourceVersion checks it itself, and so is tried once only.
        """
        for _ in range(MOST_RETRIES):
            live = self.get(kind, namespace, name)
            try:
                return self._store(kind, live, change(live), options, subresource)
            except _Raced:
                continue
        raise too_busy(kind, name)

    def _store(
        self, kind: Kind, live: Document, document: Document, options: WriteOptions, subresource: str
    ) -> Document:
        options.admit(kind, live, document)
        if document is live:
            return live
        is_judged = not subresource and document.get("spec") != live.get("spec")
        try:
            with (self._judged(document, live) if is_judged else None) or nullcontext():
                if options.dry_run:
                    return writes.pretend(live, document, self._clock.now())
                return self._storage.update_status(document) if subresource else self._storage.update(document)
        except Conflict as error:
            raise _Raced from error
        except NotFound as error:
            raise _Raced from error


class _Raced(Exception):
    """Another write came between reading and writing."""


def _patched(kind: Kind, live: Document, change: Any, content_type: str) -> Document:
    about = admission.about_kind(kind, live["metadata"]["name"])
    if content_type == PatchType.STRATEGIC and kind.group != GROUP:
        changed = strategic.patch(live, change, shapes.of(kind.type))
    else:
        changed = patch.patch(live, change, content_type, about)
    patch.refuse_nameless(changed, about)
    return changed


def _key(kind: Kind, namespace: str, name: str) -> ObjectKey:
    return ObjectKey(kind.name, namespace if kind.namespaced else "", name)


def _revision(resource_version: str | None) -> int | None:
    if not resource_version:
        return None
    if not (resource_version.isascii() and resource_version.isdigit() and len(resource_version) < 19):
        raise BadRequest(f'cannot read resourceVersion "{resource_version[:40]}": it is not one of ours')
    return int(resource_version)
