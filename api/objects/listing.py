"""Lists in pages: every page shows the moment of the first, and says how to go on.

A continue token holds the revision and the last key; it is opaque to clients. Never here: HTTP.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from api.errors import Expired
from api.kinds import Kind
from api.meta import Document, ObjectKey
from api.objects import continue_tokens
from api.objects.selectors import EVERYTHING, Selector
from api.ports import Storage

_BATCH = 500

Forms: TypeAlias = Callable[[Document], Sequence[Document]]
"""Returns the objects that a stored one is shown as, always the same of the same."""


class _Place(NamedTuple):
    """Where a list goes on: after this object, and after so many forms of the next one."""

    key: ObjectKey | None = None
    forms: int = 0


def _as_it_is(document: Document) -> Sequence[Document]:
    return (document,)


class Page(NamedTuple):
    """Objects as they were at `revision`; `continue_` is empty on the last page.

    `remaining` is None where nobody can know it without reading on.
    """

    items: tuple[Document, ...]
    revision: int
    continue_: str = ""
    remaining: int | None = None


def list_page(
    storage: Storage,
    kind: Kind,
    namespace: str | None,
    selector: Selector = EVERYTHING,
    *,
    limit: int = 0,
    continue_: str = "",
    at_revision: int | None = None,
    forms: Forms | None = None,
) -> Page:
    """Return one page of the objects of a kind that `selector` takes; `limit` 0 is all of them.

    With `forms`, of what each is shown as.

    Raises:
        BadRequest: the token cannot be read.
        Expired: the moment it is about was compacted away: list again from the start.
    """
    place = _Place()
    if continue_:
        at_revision, place = _read_token(kind, continue_)
    if not selector and forms is None and not place.forms:
        listing = storage.list(kind.name, namespace, at_revision=at_revision, after=place.key, limit=limit)
        more = listing.remaining > 0 and bool(listing.items)
        token = _token(listing.revision, _Place(ObjectKey.of(listing.items[-1]))) if more else ""
        return Page(listing.items, listing.revision, token, listing.remaining if more else None)
    return _selected(storage, kind, namespace, selector, limit, place, at_revision, forms or _as_it_is)


def _selected(
    storage: Storage,
    kind: Kind,
    namespace: str | None,
    selector: Selector,
    limit: int,
    place: _Place,
    at_revision: int | None,
    forms: Forms,
) -> Page:
    """Read on until enough objects match; what does not match costs no more than its reading."""
    found: list[Document] = []
    while True:
        size = _BATCH if limit else 0
        batch = storage.list(kind.name, namespace, at_revision=at_revision, after=place.key, limit=size)
        at_revision = batch.revision
        for item in batch.items:
            shown = forms(item)
            for number in range(place.forms, len(shown)):
                if selector.matches(shown[number]):
                    if limit and len(found) == limit:
                        return Page(tuple(found), batch.revision, _token(batch.revision, _Place(place.key, number)))
                    found.append(shown[number])
            place = _Place(ObjectKey.of(item))
        if not batch.remaining or not batch.items:
            return Page(tuple(found), batch.revision)


def _token(revision: int, place: _Place) -> str:
    held = {"rv": revision, "ns": "", "name": ""} | ({"forms": place.forms} if place.forms else {})
    held |= {"ns": place.key.namespace, "name": place.key.name} if place.key else {}
    return continue_tokens.write(held)


def _read_token(kind: Kind, token: str) -> tuple[int, _Place]:
    held = continue_tokens.read(token)
    revision, namespace, name, forms = held.get("rv"), held.get("ns"), held.get("name"), held.get("forms", 0)
    if not (isinstance(namespace, str) and isinstance(name, str)):
        raise continue_tokens.unreadable()
    if not (isinstance(revision, int) and isinstance(forms, int) and forms >= 0):
        raise continue_tokens.unreadable()
    if not 0 <= revision < 1 << 63:
        raise Expired("The provided continue parameter is of no revision that ever was: list again without it")
    return revision, _Place(ObjectKey(kind.name, namespace, name) if name else None, forms)
