"""Lists in pages: every page shows the moment of the first, and says how to go on.

A continue token holds the revision and the last key; it is opaque to clients. Never here: HTTP.
"""

import base64
import binascii
import json
from typing import NamedTuple

from api.errors import BadRequest, Expired
from api.kinds import Kind
from api.meta import Document, ObjectKey
from api.objects.selectors import EVERYTHING, Selector
from api.ports import Storage

_BATCH = 500


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
) -> Page:
    """Return one page of the objects of a kind that `selector` takes; `limit` 0 is all of them.

    Raises:
        BadRequest: the token cannot be read.
        Expired: the moment it is about was compacted away: list again from the start.
    """
    after: ObjectKey | None = None
    if continue_:
        at_revision, after = _read_token(kind, continue_)
    if not selector:
        listing = storage.list(kind.name, namespace, at_revision=at_revision, after=after, limit=limit)
        more = listing.remaining > 0 and bool(listing.items)
        token = _token(listing.revision, listing.items[-1]) if more else ""
        return Page(listing.items, listing.revision, token, listing.remaining if more else None)
    return _selected(storage, kind, namespace, selector, limit, after, at_revision)


def _selected(
    storage: Storage,
    kind: Kind,
    namespace: str | None,
    selector: Selector,
    limit: int,
    after: ObjectKey | None,
    at_revision: int | None,
) -> Page:
    """Read on until enough objects match; what does not match costs no more than its reading."""
    found: list[Document] = []
    while True:
        batch = storage.list(kind.name, namespace, at_revision=at_revision, after=after, limit=_BATCH if limit else 0)
        at_revision = batch.revision
        for item in batch.items:
            if selector.matches(item):
                if limit and len(found) == limit:
                    return Page(tuple(found), batch.revision, _token(batch.revision, found[-1]))
                found.append(item)
        if not batch.remaining or not batch.items:
            return Page(tuple(found), batch.revision)
        after = ObjectKey.of(batch.items[-1])


def _token(revision: int, last: Document) -> str:
    key = ObjectKey.of(last)
    text = json.dumps({"rv": revision, "ns": key.namespace, "name": key.name}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(kind: Kind, token: str) -> tuple[int, ObjectKey]:
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        held = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        revision, namespace, name = held["rv"], held["ns"], held["name"]
    except (ValueError, binascii.Error, KeyError, TypeError, RecursionError):
        raise BadRequest("continue key is not valid: list again without it") from None
    if not isinstance(revision, int) or not isinstance(namespace, str) or not isinstance(name, str):
        raise BadRequest("continue key is not valid: list again without it")
    if not 0 <= revision < 1 << 63:
        raise Expired("The provided continue parameter is of no revision that ever was: list again without it")
    return revision, ObjectKey(kind.name, namespace, name)
