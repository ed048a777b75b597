"""Events in their other shape, of events.k8s.io: the same objects as the core group, other names for their fields.

Reading renames what is stored, writing renames what is sent, patches too, so that nothing is kept twice.
Invariant: `eventTime` is never null to those who read this shape: clients with strict models fail on it.
Source: k8s.io/api/events/v1, type Event.
"""

from collections.abc import Iterable
from typing import Any

from api.kinds import EVENT, NEW_EVENT, Kind
from api.meta import Document, read_time, wire_micro_time
from api.objects.listing import Page
from api.objects.patch import PatchType
from api.objects.projections import Step
from api.objects.run_events import Events, EventVerbs
from api.objects.selectors import EVERYTHING, Selector
from api.objects.verbs import Deleted, Verbs, WriteOptions, Written
from api.ports import Change

_NEW_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_OLD_NAMES = {new: old for old, new in _NEW_NAMES.items()}


def to_new(document: Document) -> Document:
    """Return a stored Event as events.k8s.io shows it."""
    renamed = {_NEW_NAMES.get(name, name): value for name, value in document.items()}
    moment = document.get("eventTime") or document.get("lastTimestamp") or document.get("firstTimestamp")
    return {
        **renamed,
        "apiVersion": NEW_EVENT.api_version,
        "kind": NEW_EVENT.name,
        "eventTime": _micro(moment or document["metadata"].get("creationTimestamp")),
    }


def to_core(document: Any) -> Any:
    """Return what was sent as events.k8s.io's as it is stored; what is no object is left for others to refuse."""
    if not isinstance(document, dict):
        return document
    renamed = {_OLD_NAMES.get(name, name): value for name, value in document.items()}
    if document.get("apiVersion") == NEW_EVENT.api_version:
        renamed["apiVersion"] = EVENT.api_version
    return renamed


def patch_to_core(change: Any, content_type: str) -> Any:
    """Return a patch of the other shape as one of what is stored."""
    if content_type != PatchType.JSON or not isinstance(change, list):
        return to_core(change)
    return [_operation(each) if isinstance(each, dict) else each for each in change]


def _operation(operation: Document) -> Document:
    places = {name: _place(operation[name]) for name in ("path", "from") if isinstance(operation.get(name), str)}
    return operation | places


def _place(pointer: str) -> str:
    head, slash, rest = pointer.removeprefix("/").partition("/")
    return f"/{_OLD_NAMES.get(head, head)}{slash}{rest}" if pointer.startswith("/") else pointer


def _micro(moment: object) -> str:
    try:
        return wire_micro_time(read_time(str(moment)))
    except ValueError:
        return "1970-01-01T00:00:00.000000Z"


class NewEvents:
    """The Events in their other shape, for reading."""

    kind: Kind = NEW_EVENT
    followed: str | None = EVENT.name

    def __init__(self, verbs: Verbs) -> None:
        """Read through `verbs`."""
        self._stored = Events(verbs)

    def get(self, namespace: str, name: str) -> Document:
        """Return an event. Raises NotFound."""
        return to_new(self._stored.get(namespace, name))

    def list(
        self,
        namespace: str | None,
        selector: Selector = EVERYTHING,
        *,
        limit: int = 0,
        continue_: str = "",
        at_revision: int | None = None,
    ) -> Page:
        """Return a page of events; all of them in one when they are selected. Raises Expired, BadRequest."""
        if not selector:
            page = self._stored.list(namespace, limit=limit, continue_=continue_, at_revision=at_revision)
            return page._replace(items=tuple(to_new(item) for item in page.items))
        page = self._stored.list(namespace, at_revision=at_revision)
        shown = (to_new(item) for item in page.items)
        return Page(tuple(item for item in shown if selector.matches(item)), page.revision)

    def steps(self, change: Change) -> Iterable[Step]:
        """Return the change, renamed."""
        return tuple(
            Step(*(None if each is None else to_new(each) for each in step)) for step in self._stored.steps(change)
        )


class NewEventVerbs(EventVerbs):
    """The verbs on Events in their other shape."""

    def create(self, kind: Kind, namespace: str, document: object, options: WriteOptions) -> Written:
        """Make a new event, as `Verbs.create` does."""
        return _shown(super().create(EVENT, namespace, to_core(document), options))

    def replace(
        self, kind: Kind, namespace: str, name: str, document: object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Replace an event, as `Verbs.replace` does."""
        return _shown(super().replace(EVENT, namespace, name, to_core(document), options, subresource))

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
        """Change an event, as `Verbs.patch` does."""
        renamed = patch_to_core(change, content_type)
        return _shown(super().patch(EVENT, namespace, name, renamed, content_type, options, subresource))

    def apply(
        self, kind: Kind, namespace: str, name: str, document: object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Apply an event, as `Verbs.apply` does."""
        return _shown(super().apply(EVENT, namespace, name, to_core(document), options, subresource))

    def delete(self, kind: Kind, namespace: str, name: str, **how: Any) -> Deleted:
        """Delete an event, as `Verbs.delete` does."""
        deleted = super().delete(EVENT, namespace, name, **how)
        return deleted._replace(document=to_new(deleted.document))

    def delete_collection(self, kind: Kind, namespace: str | None, selector: Selector = EVERYTHING, **how: Any) -> Page:
        """Delete every event that `selector`, of this shape, takes; return what they were."""
        page = NewEvents(self).list(namespace, selector)
        names = frozenset(item["metadata"]["uid"] for item in page.items)
        chosen = Selector((lambda document: document["metadata"]["uid"] in names,))
        super().delete_collection(EVENT, namespace, chosen, **how)
        return page


def _shown(written: Written) -> Written:
    return written._replace(document=to_new(written.document))
