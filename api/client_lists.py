"""Long lists, as a client gets them: in pages, and as one document in the end."""

from collections.abc import Mapping, Sequence

from api.client_transport import Transport
from api.errors import Expired
from api.meta import Document

PAGE = 500
_OF_A_PAGE = ("continue", "remainingItemCount")


def whole(transport: Transport, path: str, params: Mapping[str, str | Sequence[str]]) -> Document:
    """Return the list at `path` with the items of all its pages.

    A list that is too old to go on with is asked for anew, at once: whoever waits for it wants what is there now.

    Raises:
        ApiError: the server refused.
        Unreachable: nobody answered.
    """
    first = page = _page(transport, path, {**params, "limit": str(PAGE)})
    items = [*(page.get("items") or ())]
    while token := (page.get("metadata") or {}).get("continue"):
        try:
            page = _page(transport, path, {**params, "limit": str(PAGE), "continue": token})
        except Expired:
            return _page(transport, path, params)
        items += page.get("items") or ()
    metadata = {name: value for name, value in (first.get("metadata") or {}).items() if name not in _OF_A_PAGE}
    return {**first, "metadata": metadata, "items": items}


def _page(transport: Transport, path: str, params: Mapping[str, str | Sequence[str]]) -> Document:
    return transport.send("GET", path, params=params).document
